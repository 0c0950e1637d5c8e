#pragma once

#include <lariat/base/clock.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lariat {

/// How large a pool of threads may grow and what it is called.
struct thread_pool_options {
    std::size_t most_threads = 0;  ///< 0: min(32, cores + 4)
    /// Work beyond this, of what no thread is free for, waits outside: see thread_pool. 0: no bound
    std::size_t most_queued = 0;
    duration idle_after = std::chrono::seconds(5);  ///< a thread without work for so long ends
    /// Its threads are called "<name>-1", "<name>-2", ...; the system shows 15 characters, so a
    /// long name is shortened before the dash.
    std::string name = "lariat-pool";

    thread_pool_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

/// Counters of one pool, of one moment. At every moment
/// submitted == ended + taken_back + running + queued + waiting.
struct thread_pool_stats {
    std::size_t threads = 0;       ///< now, idle ones included
    std::size_t idle = 0;          ///< now
    std::size_t running = 0;       ///< now
    std::size_t queued = 0;        ///< now
    std::size_t waiting = 0;       ///< now: for room in the queue
    std::uint64_t submitted = 0;   ///< in all
    std::uint64_t ended = 0;       ///< in all: ran to its end
    std::uint64_t taken_back = 0;  ///< in all: cancelled before it began
};

/// What becomes of work that has not begun when its pool is shut down.
enum class pool_shutdown : std::uint8_t {
    finish,         ///< it is done
    cancel_queued,  ///< it never runs; who waits for it gets closed_error
};

}  // namespace lariat

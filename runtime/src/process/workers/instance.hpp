#pragma once

#include <lariat/cores/loop_thread.hpp>
#include <lariat/loop/call.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/workers.hpp>

#include "process/workers/worker.hpp"

#include <optional>
#include <string>

namespace lariat::detail {

/// How a worker ended.
struct worker_end {
    bool well = false;   ///< its function returned of itself, or it had been told to end
    bool lost = false;   ///< the fork server is gone, and with it whoever could replace a worker
    std::string reason;  ///< if not well: "signal 9", "exit code 3", "std::runtime_error: ..."
};

/// One worker that runs: a process or a thread.
///
/// States       starting -> ready (it said so) -> leaving (ask_to_end, or somebody else) -> ended;
///              any -> ended
struct worker_instance {
    /// Starts it. Errors: what process::start or a thread's start throws.
    worker_instance(worker_function function, const workers_options& options, unsigned index,
                    unsigned count, std::optional<unsigned> core);

    /// Its function is cancelled, once.
    void ask_to_end() noexcept;
    /// A thread cannot be.
    void kill() noexcept;
    /// Suspends until it has ended. Once. Of a process that nobody can tell of it kills what is
    /// left.
    [[nodiscard]] task<worker_end> wait_end();

    unsigned index;
    shared_counters counters;
    unique_fd desk;
    process child;
    loop_thread thread;
    time_point started;
    bool ready = false;
    bool leaving = false;
    bool closed = false;  ///< it said that it has closed its listeners
    bool ended = false;
    call_handle deadline;  ///< when it is killed, unless it is ready, or has ended, before

    [[nodiscard]] int pid() const noexcept;
};

}  // namespace lariat::detail

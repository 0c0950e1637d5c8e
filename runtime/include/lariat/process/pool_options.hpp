#pragma once

#include <lariat/process/packed_call.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat {

/// How many processes a pool has, and what they are like.
struct process_pool_options {
    std::size_t count = 0;  ///< 0: as many as there are cores that this process may use
    /// A worker that has taken so many calls finishes them, and another takes its place; 0: never.
    /// A chunk of a map is one call.
    std::size_t max_tasks_per_child = 0;
    /// Whether worker i stays on the core i modulo those that this process may use. Not said: if
    /// there are as many workers as cores; fewer would crowd on the first ones, together with the
    /// next program's that does the same, while others are idle.
    std::optional<bool> pin;
    /// Workers are called "<name>-1", "<name>-2", ...
    std::string name = "pool";
    /// A worker that is terminated gets SIGTERM, and SIGKILL after so long; and kill_on_cancel
    /// waits so long.
    std::chrono::milliseconds grace{2000};
    /// A call that was cancelled while it ran and has not ended after the grace period has its
    /// worker killed. What else that had begun fails with worker_died.
    bool kill_on_cancel = false;
    /// run_options::brief_spin of a worker's loop, which always expects a call: calls that follow
    /// each other soon find it awake (10 us there and back, and 100 or more with sleeps). Off, it
    /// sleeps as soon as it has nothing to do.
    bool brief_spin = true;
    /// In its place: a worker's loop always looks for news for so long before it sleeps, as
    /// run_options::spin, and keeps its core from others meanwhile. For workers that have cores to
    /// themselves.
    std::chrono::microseconds spin{0};
    /// So many workers in a row that do not come up (that end before their initializer has, or
    /// cannot be started while no other worker lives) end the pool: pool_start_error. One that had
    /// come up does not count, however it ends; if it had no call, the next is started after a
    /// pause, of 320 ms at last.
    ///
    /// A worker that cannot be started (no descriptors left, no processes) while another lives does
    /// not end the pool: it goes on with fewer, tries again after such a pause, and says so, once
    /// until all are there again, to the loop's report hook.
    std::size_t most_start_failures = 5;

    process_pool_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    explicit process_pool_options(std::size_t how_many) : count(how_many) {}

    /// What every worker calls before anything else, and again in those that replace it: a function
    /// or task with arguments that can be copied. They are kept as the parameters' types: what a
    /// pointer to characters names need not outlive this.
    template <class Fn, class... Args>
    void set_initializer(Fn fn, Args... args) {
        if constexpr (detail::can_be_sent<Fn, detail::call_result::dropped>()) {
            using arguments = typename detail::call_signature<Fn>::arguments;
            static_assert(sizeof...(Args) == std::tuple_size_v<arguments>,
                          "as many arguments as the initializer has parameters");
            initializer = [fn = std::move(fn), kept = arguments(std::move(args)...)] {
                return std::apply(
                    [&fn](const auto&... each) {
                        return detail::pack_call<detail::call_result::dropped>(fn, each...);
                    },
                    kept);
            };
        }
    }
    /// Library use.
    std::function<detail::packed_call()> initializer;
};

/// Counters of one pool, of one moment. At every moment submitted == done + queued + running.
struct process_pool_stats {
    std::size_t workers = 0;      ///< now: processes
    std::uint64_t submitted = 0;  ///< calls, in all; a chunk of a map is one
    std::uint64_t done = 0;       ///< in all, however they ended
    std::size_t queued = 0;       ///< now: with no worker
    std::size_t running = 0;      ///< now: with a worker, though it may not have begun them
    std::uint64_t started = 0;    ///< processes, in all
    std::uint64_t died = 0;       ///< processes, in all: not because they were told to end
    /// Workers that did not come up, in all: that could not be started, or ended before their
    /// initializer had.
    std::uint64_t start_failures = 0;
};

/// How far a map has come; given to it by its options, and read at any time, by the pool's loop. It
/// begins anew with every map: when that is awaited, or the first result of an imap is. Of two at a
/// time each has its own.
class map_progress {
 public:
    /// Items: of a map, those whose calls have ended with a result; of an imap, those whose results
    /// were given.
    [[nodiscard]] std::size_t done() const noexcept { return done_; }
    /// Items in all. Of an imap over a range that does not know its size: those that were read so
    /// far, options.ahead calls more than were done at most.
    [[nodiscard]] std::size_t total() const noexcept { return total_; }
    /// Whether total() is what it will be: at once if the range knows its size, else when it was
    /// read to its end.
    [[nodiscard]] bool total_known() const noexcept { return known_; }

    /// Library use.
    void begin(std::size_t total) noexcept {
        total_ = total;
        done_ = 0;
        known_ = true;
    }
    void begin_unknown() noexcept {
        begin(0);
        known_ = false;
    }
    void read(std::size_t items) noexcept {
        if (!known_) total_ += items;
    }
    void read_all() noexcept { known_ = true; }
    void add(std::size_t items) noexcept { done_ += items; }

 private:
    std::size_t done_ = 0;
    std::size_t total_ = 0;
    bool known_ = false;
};

/// How a map is cut into calls. A number alone is the size of a chunk.
struct map_options {
    map_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    map_options(std::size_t items) : chunk(items) {}  // NOLINT(google-explicit-constructor)

    /// Items a call. 0: map makes sixteen chunks a worker, or chunks of 16,384, and smaller ones of
    /// the last items, so that the workers end together; imap takes single items. No chunk of map's
    /// own making has more than 200 descriptors, or more than 16 results that can only be moved.
    std::size_t chunk = 0;
    /// Of imap: calls that are submitted beyond those whose results were taken. 0: 256 a worker,
    /// or fewer with 16 MiB of arguments.
    std::size_t ahead = 0;
    /// Outlives the map, or the imap's generator.
    map_progress* progress = nullptr;
};

}  // namespace lariat

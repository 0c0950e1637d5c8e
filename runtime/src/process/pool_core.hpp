#pragma once

#include <lariat/base/list.hpp>
#include <lariat/base/result.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/process/pool_call.hpp>
#include <lariat/process/pool_options.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/join_handle.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include "loop/expectation.hpp"
#include "process/pool_worker.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lariat::detail {

/// A pool: the calls that wait, and the places for workers, each with a task that keeps it filled.
///
/// States       open -> closing (close: what was submitted is finished; or failed: too many workers
///              did not come up) -> terminated (terminate, the end of the run) -> ended (the last
///              worker has gone); from open to terminated as well
/// Invariant 1  a call that has not begun is never lost: it is in a queue here or on a worker's
///              list, with its arguments; one that has ended keeps none
/// Invariant 2  a worker that has room and nothing to do does not stand beside one with calls that
///              it cannot begin yet, or does not for twice late_after
/// Threads      one loop
class process_pool_core : public std::enable_shared_from_this<process_pool_core> {
 public:
    explicit process_pool_core(const process_pool_options& chosen);
    process_pool_core(const process_pool_core&) = delete;
    process_pool_core& operator=(const process_pool_core&) = delete;
    ~process_pool_core();

    /// Starts workers and what looks after them. Errors: those of process::start.
    void start();
    /// Errors: closed_error; pool_start_error.
    void require_open(bool of_begun_map = false) const;
    /// See submit_call and cancel_call. A call of a map that has begun is taken though the pool is
    /// closed.
    void submit(worker_call& call, bool of_begun_map = false);
    [[nodiscard]] bool cancel(worker_call& call) noexcept;
    /// Until it ends a map counts as submitted, whole: the workers stay for the rest of it.
    void map_began() noexcept { ++maps_; }
    void map_ended() noexcept;
    void close() noexcept;
    void terminate() noexcept;
    [[nodiscard]] task<> wait_ended();

    [[nodiscard]] bool closing() const noexcept { return closing_; }
    [[nodiscard]] std::size_t count() const noexcept { return places_.size(); }
    [[nodiscard]] process_pool_stats stats() const noexcept;

    // For its workers.
    [[nodiscard]] const process_pool_options& options() const noexcept { return options_; }
    [[nodiscard]] int bell() const noexcept { return bell_.get(); }
    [[nodiscard]] scheduler& home() const noexcept { return *home_; }
    [[nodiscard]] std::uint64_t next_id() noexcept { return ++last_id_; }
    [[nodiscard]] int core_of(std::size_t at) const noexcept;
    /// Takes what lies on the worker's board.
    void look_at(pool_worker& worker) noexcept;

 private:
    struct place {
        std::unique_ptr<pool_worker> worker;
        cancel_scope* pause = nullptr;  ///< before the next attempt
        /// Workers in a row that ended before they had begun a call, or could not be started.
        std::size_t unused = 0;
    };
    struct pump_call : runnable {
        std::shared_ptr<process_pool_core> of;  ///< while it is scheduled
    };
    class place_guard;

    // The policy: who gets what.
    void pump_later() noexcept;
    void pump() noexcept;
    void distribute(list<pool_link>& queue, bool tasks) noexcept;
    [[nodiscard]] pool_worker* least_loaded(bool for_task) const noexcept;
    void hand_over(pool_worker& worker, worker_call& call) noexcept;
    void relieve() noexcept;
    void take_from(pool_worker& loaded) noexcept;
    void retire() noexcept;
    [[nodiscard]] bool nothing_to_come() const noexcept;

    void end(worker_call& call, worker_call::ending how) noexcept;
    void fail_queued(worker_call::ending how) noexcept;
    void enqueue(worker_call& call, bool first) noexcept;
    void answered(pool_worker& worker, const answer_header& head, parcel&& body) noexcept;
    void settled(pool_worker& worker, worker_call& call, worker_call::ending how) noexcept;

    // A worker's life.
    [[nodiscard]] static task<> tend(std::shared_ptr<process_pool_core> self, std::size_t at);
    [[nodiscard]] static task<> attend(process_pool_core& self, pool_worker& worker);
    [[nodiscard]] static task<> watch(pool_worker& worker);
    [[nodiscard]] static task<> read(process_pool_core& self, pool_worker& worker);
    [[nodiscard]] static task<> listen(std::shared_ptr<process_pool_core> self);
    [[nodiscard]] bool hear(pool_worker& worker, result<std::optional<parcel>>&& message) noexcept;
    void take_message(pool_worker& worker, parcel&& message) noexcept;
    void worker_ended(std::size_t at) noexcept;
    void give_up_calls(pool_worker& worker) noexcept;
    void start_again(std::size_t at) noexcept;
    [[nodiscard]] bool needs_nobody() const noexcept;
    [[nodiscard]] duration pause(const place& before) const noexcept;
    void could_not_start(std::size_t at, const char* why) noexcept;
    void note_failure(const std::string& what) noexcept;
    [[nodiscard]] std::size_t living() const noexcept;
    void place_over() noexcept;

    process_pool_options options_;
    scheduler* home_;
    std::vector<int> cores_;  ///< where workers are pinned, if they are
    unique_fd bell_;
    std::vector<place> places_;
    std::size_t live_places_ = 0;
    join_handle<> listener_;
    list<pool_link> plain_;  // functions that wait for a worker
    list<pool_link> tasks_;
    std::size_t maps_ = 0;  // that have begun and not ended
    pump_call pump_;
    expectation answers_;  // while calls run
    wait_queue enders_;
    std::string broken_;        // why no worker comes up
    std::size_t failures_ = 0;  // workers in a row that did not come up
    bool said_short_ = false;   // since all places had a worker: that some have none
    std::uint64_t last_id_ = 0;
    process_pool_stats counts_;
    bool closing_ = false;
    bool terminated_ = false;
};

}  // namespace lariat::detail

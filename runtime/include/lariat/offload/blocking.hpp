#pragma once

#include <lariat/base/list.hpp>
#include <lariat/loop/future.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/offload/pool_options.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace lariat::detail {

struct blocking_job;

/// What a job hears beside being run; either may be null.
struct job_hooks {
    /// The pool was shut down and it will not run. The job is free again.
    void (*dropped)(blocking_job&, bool was_in_line) noexcept = nullptr;
    /// It came from the line into the queue. Called under the pool's lock: no call into the pool.
    void (*admitted)(blocking_job&) noexcept = nullptr;
};

/// A piece of work for a pool's thread.
///
/// States       free -> queued (submit) -> running (a worker) -> free; free -> in line (submit to
///              a full queue) -> queued; queued or in line -> free (withdraw, or dropped)
/// Lifetime     its owner's; the pool touches it until `run` is called and not after
struct blocking_job : list_link {
    using action = void (*)(blocking_job&) noexcept;

    explicit blocking_job(action work, const job_hooks* hears = nullptr) noexcept
        : run(work), hooks(hears) {}
    action run;
    const job_hooks* hooks;
    bool in_line = false;  ///< the pool's
};

/// Threads for what can only be done by blocking one: the engine of thread_pool and offload.
///
/// One pool for the process is the usual one: a loop a core, each with threads of its own, would
/// make many that mostly sleep, while what they wait for (disk, name server) is one for all.
///
/// Order        work begins in the order of submission. Of the idle threads the one that worked
///              last is called, its caches are warm and the others may end
/// Threads      any. Its own run where the process's main thread may, whoever made them: work that
///              a pinned loop hands over is not pinned
/// Lifetime     its end finishes what was submitted and waits for it. A forked child has the shared
///              pool anew, without threads; another pool it can only destroy
/// Allocation   a record a thread; none for work
/// Limits       threads and queue, see thread_pool_options; what finds the queue full stands in a
///              line, which is made of who waits. Workers block all signals, so that these reach
///              the program's own threads
class LARIAT_EXPORT blocking_pool {
 public:
    explicit blocking_pool(const thread_pool_options& options = thread_pool_options());
    blocking_pool(const blocking_pool&) = delete;
    blocking_pool& operator=(const blocking_pool&) = delete;
    ~blocking_pool();

    /// The process's own: made when first asked for; its idle threads end and are joined at exit.
    [[nodiscard]] static blocking_pool& shared();
    /// How that is made. Errors: std::logic_error once it is.
    static void configure_shared(const thread_pool_options& options);

    /// Pre: the job is free. Returns true if it is in the queue, false if it stands in line.
    /// Errors: closed_error after a shutdown; std::system_error when there is no thread and none
    /// can be made. The job is then still the caller's.
    bool submit(blocking_job& job) { return enqueue(job, true); }
    /// The same; false, and the job is still the caller's, if it would have to stand in line.
    [[nodiscard]] bool try_submit(blocking_job& job) { return enqueue(job, false); }
    /// Takes it back; false if it runs or has run.
    [[nodiscard]] bool withdraw(blocking_job& job) noexcept;
    /// Takes it back if it still stands in line.
    [[nodiscard]] bool leave_line(blocking_job& job) noexcept;
    /// For a job of several steps, while it runs: true if others wait; it then stands behind them
    /// and must return at once, to be run again (or dropped).
    [[nodiscard]] bool give_way(blocking_job& job) noexcept;

    /// Refuses work from now on. Idempotent; what one call left to finish another may cancel.
    void shut(pool_shutdown how) noexcept;
    /// Pre: shut. Set when all work is done and the last thread is about to end.
    [[nodiscard]] future<> when_ended();
    /// Pre: shut; not on a thread of its own.
    void wait_ended();

    /// Ends the threads that have nothing to do, and waits until they are gone: before a fork, say.
    void end_idle();

    [[nodiscard]] thread_pool_stats stats() const;
    [[nodiscard]] std::size_t most_threads() const noexcept;

 private:
    struct state;
    [[nodiscard]] bool enqueue(blocking_job& job, bool may_stand_in_line);

    std::unique_ptr<state> state_;
};

/// Waits for a job that lies in the awaiting frame; the loop hears of its end through its mailbox,
/// at one wake a burst.
class LARIAT_EXPORT blocking_wait : public wait_point,
                                    public single_step,
                                    protected blocking_job,
                                    private posted {
 public:
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        start();
        park(party_of(frame), frame);
    }

 protected:
    blocking_wait(blocking_pool& pool, blocking_job::action work) noexcept;
    /// Pre: not awaited yet.
    blocking_wait(blocking_wait&& other) noexcept;
    ~blocking_wait();

    /// On the worker, the last thing it does with this.
    void finished() noexcept;
    /// Errors: `cancelled`; closed_error if the pool was shut down before it began.
    void check() const {
        throw_if_cut();
        if (dropped_) [[unlikely]]
            throw_dropped();
    }

 private:
    void start();
    static void arrived(posted& message, end how);
    static void dropped(blocking_job& job, bool was_in_line) noexcept;
    [[noreturn]] static void throw_dropped();
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;
    static const job_hooks hooks_of_wait;

    blocking_pool* pool_;
    std::shared_ptr<mailbox> box_;
    bool in_flight_ = false;
    bool dropped_ = false;
};

template <class Fn>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] blocking_awaiter
    : public blocking_wait {
    using value = std::invoke_result_t<Fn&>;

 public:
    /// fn is made of these where it stays.
    template <class... Args>
    explicit blocking_awaiter(blocking_pool& pool, Args&&... makes_fn)
        : blocking_wait(pool, &perform), fn_(std::forward<Args>(makes_fn)...) {}
    blocking_awaiter(blocking_awaiter&& other) noexcept(std::is_nothrow_move_constructible_v<Fn>)
        : blocking_wait(static_cast<blocking_wait&&>(other)), fn_(std::move(other.fn_)) {}

    value await_resume() {
        check();
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
        return slot_.take();
    }

 private:
    static void perform(blocking_job& job) noexcept {
        auto& self = static_cast<blocking_awaiter&>(job);
        try {
            if constexpr (std::is_void_v<value>) {
                self.fn_();
            } else {
                self.slot_.return_value(self.fn_());
            }
        } catch (...) {
            self.failure_ = std::current_exception();
        }
        self.finished();
    }

    Fn fn_;
    std::exception_ptr failure_;
    result_slot<value> slot_;
};

/// Calls fn() on a thread of the pool.
///
/// Suspends until it has returned · Returns its result · Errors: its exception; closed_error once
/// the pool was shut down; std::system_error when no thread can be made · Cancel: before it began
/// it never runs; once it runs it is awaited, and the cancellation stays pending · Borrows nothing:
/// fn lies in the awaiting frame.
template <class Fn>
[[nodiscard]] auto run_blocking(blocking_pool& pool, Fn&& fn) {
    return blocking_awaiter<std::decay_t<Fn>>(pool, std::forward<Fn>(fn));
}
template <class Fn>
    requires std::is_invocable_v<std::decay_t<Fn>&>
[[nodiscard]] auto run_blocking(Fn&& fn) {
    return run_blocking(blocking_pool::shared(), std::forward<Fn>(fn));
}

}  // namespace lariat::detail

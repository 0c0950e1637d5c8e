#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/list.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace lariat::detail {

/// A piece of work for a pool's thread.
///
/// States       free -> queued (submit) -> running (a worker) -> free; queued -> free (withdraw)
/// Lifetime     its owner's; the pool touches it until `run` is called and not after
struct blocking_job : list_link {
    using action = void (*)(blocking_job&) noexcept;

    explicit blocking_job(action work) noexcept : run(work) {}
    action run;
};

struct blocking_limits {
    std::size_t most_threads = 0;                   ///< 0: min(32, cores + 4)
    duration idle_after = std::chrono::seconds(5);  ///< a thread without work for so long ends

    blocking_limits() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

struct blocking_stats {
    std::size_t threads = 0;  ///< now, idle ones included
    std::size_t idle = 0;     ///< now
    std::size_t queued = 0;   ///< now
    std::size_t running = 0;  ///< now
};

/// Threads for what can only be done by blocking one: files, name resolution.
///
/// One pool for the process is the usual one: a loop a core, each with threads of its own, would
/// make many that mostly sleep, while what they wait for (disk, name server) is one for all.
///
/// Order        work begins in the order of submission
/// Threads      any
/// Lifetime     its end waits for what runs. A forked child has the shared pool anew, without
///              threads
/// Allocation   a record a thread; none for work
/// Limits       threads, see blocking_limits; the queue has none: it is made of who waits. Workers
///              block all signals, so that these reach the program's own threads
class LARIAT_EXPORT blocking_pool {
 public:
    explicit blocking_pool(const blocking_limits& limits = blocking_limits());
    blocking_pool(const blocking_pool&) = delete;
    blocking_pool& operator=(const blocking_pool&) = delete;
    ~blocking_pool();

    /// The process's own: made when first asked for; its idle threads end and are joined at exit.
    [[nodiscard]] static blocking_pool& shared();

    /// Pre: not queued. Errors: std::system_error when there is no thread and none can be made; the
    /// job is then still the caller's.
    void submit(blocking_job& job);
    /// Takes it back; false if it runs or has run.
    [[nodiscard]] bool withdraw(blocking_job& job) noexcept;

    /// Ends the threads that have nothing to do, and waits until they are gone: before a fork, say.
    void end_idle();

    [[nodiscard]] blocking_stats stats() const;

 private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Waits for a job that lies in the awaiting frame; the loop hears of its end through its mailbox,
/// at one wake a burst.
class LARIAT_EXPORT blocking_wait : public wait_point, protected blocking_job, private posted {
 public:
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        start();
        park(*frame.promise().who, frame);
    }

 protected:
    blocking_wait(blocking_pool& pool, blocking_job::action work) noexcept;
    /// Pre: not awaited yet.
    blocking_wait(blocking_wait&& other) noexcept;
    ~blocking_wait();

    /// On the worker, the last thing it does with this.
    void finished() noexcept;

 private:
    void start();
    static void arrived(posted& message, end how);
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    blocking_pool* pool_;
    std::shared_ptr<mailbox> box_;
    bool in_flight_ = false;
};

template <class Fn>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] blocking_awaiter
    : public blocking_wait {
    using value = std::invoke_result_t<Fn&>;

 public:
    blocking_awaiter(blocking_pool& pool, Fn fn)
        : blocking_wait(pool, &perform), fn_(std::move(fn)) {}
    blocking_awaiter(blocking_awaiter&& other) noexcept(std::is_nothrow_move_constructible_v<Fn>)
        : blocking_wait(std::move(other)), fn_(std::move(other.fn_)) {}

    value await_resume() {
        throw_if_cut();
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
/// Suspends until it has returned · Returns its result · Errors: its exception; std::system_error
/// when no thread can be made · Cancel: before it began it never runs; once it runs it is awaited,
/// and the cancellation stays pending · Borrows nothing: fn lies in the awaiting frame.
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

#pragma once

#include <lariat/loop/call.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/loop/options.hpp>
#include <lariat/task/spawn.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace lariat {

namespace detail {

struct loop_state;

template <class Fn>
struct posted_call final : posted {
    explicit posted_call(Fn call) : posted(&finish), fn(std::move(call)) {}
    static void finish(posted& base, end how) {
        auto* self = static_cast<posted_call*>(&base);
        const std::unique_ptr<posted_call> owner(self);
        if (how == end::call) self->fn();
    }
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }
    Fn fn;
};

/// Leaves fn() in a loop's mailbox; false once that loop has closed.
template <class Fn>
[[nodiscard]] bool post_to(mailbox& box, Fn&& fn) {
    using call = posted_call<std::decay_t<Fn>>;
    static_assert(alignof(call) <= alignof(std::max_align_t),
                  "a call's function may not be aligned beyond 16 bytes; let it hold a unique_ptr");
    auto message = std::make_unique<call>(std::forward<Fn>(fn));
    if (!box.post(*message)) return false;
    message.release();
    return true;
}

}  // namespace detail

struct loop_stats {
    driver_stats driver;
    std::string backend_reason;  ///< why io_uring is not used; empty if it is, or was not asked for
    std::uint64_t turns = 0;
    std::uint64_t legs = 0;  ///< how often something ready was run
    std::size_t tasks = 0;   ///< now, owned by the root scope
    std::size_t timers = 0;  ///< now
};

/// One thread's loop: drives the kernel, timers and tasks. `run` makes one; an explicit loop can be
/// run several times.
///
/// Order        what became ready runs in that order; timers by deadline; the kernel is asked at
///              least every 128 legs
/// Threads      made, run and closed on one thread; post() from any
/// Lifetime     closing waits for the operations of everything that still uses it
/// Errors       std::logic_error for a second running loop on a thread, or a closed loop
class LARIAT_EXPORT loop {
 public:
    explicit loop(const run_options& options = run_options());
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;
    ~loop();

    /// The one that runs on this thread. Errors: stops with the rule where none does.
    [[nodiscard]] static loop& current() noexcept;

    /// Runs until `main` has ended and what it spawned, which is then cancelled, has too.
    ///
    /// Returns its result · Errors: its exception; task_cancelled if it was cancelled; the first
    /// failure of a spawned task that nobody took.
    template <class T>
    T run(task<T> main) {
        session running(*this);
        join_handle<T> handle = spawn(std::move(main));
        drive(handle.who());
        finish_run(handle.who());
        return handle.take_outcome().value();
    }

    /// CLOCK_MONOTONIC, or the simulator's clock.
    [[nodiscard]] time_point now() const noexcept;

    /// Calls fn() at the next turn, after `delay`, or at `when`. It runs outside of any task; what
    /// it throws goes to the report hook. Pre: this loop runs on this thread (else: post). Cost:
    /// one small record.
    template <class Fn>
    call_handle call_soon(Fn&& fn) {
        detail::scheduled_call& call = detail::make_call(std::forward<Fn>(fn));
        schedule_soon(call, this_scheduler);
        return call_handle(call);
    }
    template <class Fn>
    call_handle call_at(time_point when, Fn&& fn) {
        detail::scheduled_call& call = detail::make_call(std::forward<Fn>(fn));
        schedule_at(call, when, this_scheduler);
        return call_handle(call);
    }
    template <class Fn>
    call_handle call_later(duration delay, Fn&& fn) {
        return call_at(saturating_add(now(), delay), std::forward<Fn>(fn));
    }

    /// Calls fn() on the loop's thread. Any thread. Returns false once the loop has closed; what
    /// was taken is called in a run, or dropped (destroyed) by close.
    template <class Fn>
    [[nodiscard("false: the loop has closed and will not call it")]] bool post(Fn&& fn) {
        return detail::post_to(*box(), std::forward<Fn>(fn));
    }
    /// For threads that may outlive the loop: post through it with detail::post_to.
    [[nodiscard]] const std::shared_ptr<mailbox>& box() const noexcept;

    [[nodiscard]] loop_stats stats() const;
    /// Ends what still uses the loop and gives back its kernel objects. Pre: not running.
    /// Idempotent.
    void close() noexcept;

 private:
    /// This loop is the thread's running one for as long as it lives.
    class session {
     public:
        explicit session(loop& which);
        session(const session&) = delete;
        ~session();

     private:
        loop& loop_;
    };

    void drive(party& main);
    void finish_run(party& main);
    // With the thread's running one, which the caller finds at less cost than the library.
    void schedule_soon(detail::scheduled_call& call, scheduler* here) const noexcept;
    void schedule_at(detail::scheduled_call& call, time_point when, scheduler* here) const noexcept;

    std::unique_ptr<detail::loop_state> state_;
};

/// Makes a loop, runs `main` on it, closes it: the whole of most programs' main().
template <class T>
T run(const run_options& options, task<T> main) {
    loop own(options);
    return own.run(std::move(main));
}
template <class T>
T run(task<T> main) {
    return run(run_options(), std::move(main));
}

}  // namespace lariat

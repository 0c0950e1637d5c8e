#pragma once

#include <lariat/base/config.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

/// Runs something one time, whoever comes first; the others wait until it is done.
///
///     co_await connected.call([&]() -> lariat::task<> { co_await connect(); });
///
/// Order        first come, first served: if it fails, the next in line tries
/// Threads      one loop
/// Lifetime     outlives those who wait (asserted)
/// Allocation   a frame while it is not done yet; then none
class LARIAT_EXPORT once {
    class turn;
    class attempt;

 public:
    template <class Fn>
    class call_awaiter;

    /// Runs fn(), and awaits it if it is a task, unless somebody has; if somebody is at it, waits
    /// for the end of that first. Pre: fn does not call the same once again.
    ///
    /// Errors: what fn throws, if it was this call that ran it; the next in line then runs its own
    /// fn · Cancel: the same.
    template <class Fn>
    [[nodiscard]] call_awaiter<std::decay_t<Fn>> call(Fn&& fn) {
        return call_awaiter<std::decay_t<Fn>>(*this, std::forward<Fn>(fn));
    }
    [[nodiscard]] bool done() const noexcept { return done_; }

 private:
    template <class Fn>
    task<> run(Fn fn);
    void succeed() noexcept;
    void fail() noexcept;

    wait_queue line_;
    party* runner_ = nullptr;  // who is at it
    bool done_ = false;
};

/// Waits until it is done, or this task's turn to do it: true.
class once::turn : public line_point, public single_step {
 public:
    explicit turn(once& which) noexcept : line_point(kind_of_wait), once_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait(p)) return pass(p, frame);
        park(p, frame);
        once_->line_.add(*this);
        return true;
    }
    [[nodiscard]] bool await_resume() const {
        throw_if_cut();
        return mine_;
    }

 private:
    friend class once;

    [[nodiscard]] bool must_wait(party& p) noexcept;
    static const wait_kind kind_of_wait;

    once* once_;
    bool mine_ = false;
};

/// Passes the turn on if it ends by an exception.
class once::attempt {
 public:
    explicit attempt(once& which) noexcept : once_(&which) {}
    attempt(const attempt&) = delete;
    attempt& operator=(const attempt&) = delete;
    ~attempt() {
        if (once_ != nullptr) once_->fail();
    }
    void succeed() noexcept { std::exchange(once_, nullptr)->succeed(); }

 private:
    once* once_;
};

template <class Fn>
task<> once::run(Fn fn) {
    const bool mine = co_await turn(*this);
    if (!mine) co_return;
    attempt now(*this);
    if constexpr (has_co_await_operator<std::invoke_result_t<Fn&>>) {
        co_await std::invoke(fn);
    } else {
        std::invoke(fn);
    }
    now.succeed();
}

template <class Fn>
class [[nodiscard("call() does nothing until it is awaited: co_await it")]] once::call_awaiter
    : public awaiter_base {
 public:
    call_awaiter(once& which, Fn fn) noexcept(std::is_nothrow_move_constructible_v<Fn>)
        : once_(&which), fn_(std::move(fn)) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        if (!once_->done_) {
            return running_.emplace(once_->run(std::move(fn_))).await_suspend(frame);
        }
        party& p = party_of(frame);
        if (this_scheduler->spend()) [[likely]]
            return frame;
        p.requeue(frame);
        return std::noop_coroutine();
    }
    void await_resume() {
        if (running_) running_->await_resume();
    }

 private:
    once* once_;
    Fn fn_;
    std::optional<task<>::awaiter> running_;
};

}  // namespace lariat

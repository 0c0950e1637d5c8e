#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/task/promise.hpp>

#include <memory>
#include <optional>

namespace lariat {

template <class T = void>
class task;

namespace detail {

/// Where nothing is to be destroyed nobody but who asks needs to know whether there is a value, and
/// who asks knows. Else like an optional.
template <class T>
struct plain_value {
    plain_value() noexcept {}
    template <class... Args>
    void emplace(Args&&... args) {
        std::construct_at(std::addressof(value), std::forward<Args>(args)...);
    }
    T& operator*() noexcept { return value; }
    union {
        T value;
    };
};

template <class T>
struct result_slot {
    static_assert(alignof(T) <= alignof(std::max_align_t),
                  "a task's result may not be aligned beyond 16 bytes; return a unique_ptr to it");

    template <class U = T>
        requires std::constructible_from<T, U&&>
    void return_value(U&& result) {
        value.emplace(std::forward<U>(result));
    }
    [[nodiscard]] T take() noexcept(std::is_nothrow_move_constructible_v<T>) {
        return std::move(*value);
    }
    std::conditional_t<std::is_trivially_copyable_v<T>, plain_value<T>, std::optional<T>> value;
};

template <class T>
struct result_slot<T&> {
    void return_value(T& result) noexcept { value = std::addressof(result); }
    [[nodiscard]] T& take() const noexcept { return *value; }
    T* value = nullptr;
};

template <>
struct result_slot<void> {
    void return_void() const noexcept {}
    void take() const noexcept {}
};

/// Ends a frame: goes on with the one that awaits it, or marks its party finished.
struct final_awaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
        promise_base& promise = frame.promise();
        if (promise.goes_on()) [[likely]]
            return promise.continuation_frame();
        if (const std::coroutine_handle<> next = promise.continue_with()) return next;
        party& p = party_of(frame);
        p.leaf = frame;
        p.state = party_state::finished;
        return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

/// In debug mode names a task that never ran.
LARIAT_EXPORT void report_if_forgotten(std::coroutine_handle<> frame) noexcept;

}  // namespace detail

template <class T>
struct task_promise : promise_base, detail::result_slot<T> {
    explicit task_promise(std::source_location made = std::source_location::current()) noexcept {
        where = made;
    }
    task<T> get_return_object() noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    detail::final_awaiter final_suspend() const noexcept { return {}; }

    /// Pre: finished.
    T take_result() {
        if (goes_on()) [[likely]]
            return this->take();
        if (failed()) std::rethrow_exception(failure());
        return this->take();
    }
};

/// A coroutine that starts when it is awaited (or spawned, or gathered) and gives one result.
///
/// Order        a child runs in its awaiter's place: no turn of the loop lies between
/// Threads      one loop
/// Lifetime     owns its frame; one that is destroyed without having been awaited never runs, and
///              debug mode names it. Parameters taken by reference must outlive the await
/// Allocation   one frame, from the thread's recycling allocator
template <class T>
class [[nodiscard("a task does nothing until it is awaited: co_await it, or spawn it")]] task {
 public:
    using promise_type = task_promise<T>;
    using value_type = T;

    task() noexcept = default;
    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    task& operator=(task&& other) noexcept {
        if (this != &other) {
            reset();
            frame_ = std::exchange(other.frame_, {});
        }
        return *this;
    }
    ~task() { reset(); }

    /// False once it was moved from (awaited, spawned, gathered).
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

    class awaiter;
    awaiter operator co_await() && noexcept { return awaiter(std::move(*this)); }

    /// Library use: hands the frame over, or looks at it.
    [[nodiscard]] std::coroutine_handle<promise_type> release() noexcept {
        return std::exchange(frame_, {});
    }
    [[nodiscard]] std::coroutine_handle<promise_type> frame() const noexcept { return frame_; }

 private:
    void reset() noexcept {
        if (!frame_) return;
        // One that has begun is not destroyed before it has ended; but not every one begins.
        if (!frame_.done()) [[unlikely]]
            detail::report_if_forgotten(frame_);
        std::exchange(frame_, {}).destroy();
    }

    std::coroutine_handle<promise_type> frame_;
};

/// Cost: a frame, no turn of the loop. Cancel: the child's awaits throw; the result of a finished
/// child is delivered.
template <class T>
class task<T>::awaiter : public awaiter_base {
 public:
    explicit awaiter(task&& awaited) noexcept : awaited_(std::move(awaited)) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
        detail::require(static_cast<bool>(awaited_.frame_),
                        "this task was moved from or awaited before; a task can be awaited once");
        promise_type& child = awaited_.frame_.promise();
        party& p = party_of(caller);
        child.set_continuation(caller);
        if (this_scheduler->spend()) [[likely]]
            return awaited_.frame_;
        // The budget is also the trampoline: where transfers are no tail calls, the stack unwinds
        // here.
        p.requeue(awaited_.frame_);
        return std::noop_coroutine();
    }

    T await_resume() {
        promise_type& child = awaited_.frame_.promise();
        if (!child.goes_on()) [[unlikely]]  // who was awaited had a continuation, until it failed
            std::rethrow_exception(child.failure());
        return child.take();
    }

 private:
    task awaited_;
};

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}

}  // namespace lariat

#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/waiter.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace lariat {

/// What every awaiter of Lariat derives from: its await_suspend takes a coroutine whose promise is
/// a promise_base; party_of() says which party waits.
struct awaiter_base {};

/// An awaiter that may be awaited inside a cancelled scope.
struct ignores_cancellation {};

/// A wait_point of which nothing is left to do once it was cut: its `cut` undid everything, and all
/// that await_resume would do is throw. A timeout then spares itself the exception.
struct single_step {};

template <class Awaitable>
concept has_co_await_operator =
    requires(Awaitable&& a) { std::forward<Awaitable>(a).operator co_await(); };

template <class Awaitable>
[[nodiscard]] decltype(auto) as_awaiter(Awaitable&& awaitable) noexcept {
    if constexpr (has_co_await_operator<Awaitable>) {
        return std::forward<Awaitable>(awaitable).operator co_await();
    } else {
        static_assert(
            std::is_base_of_v<awaiter_base, std::remove_cvref_t<Awaitable>>,
            "co_await takes a task (as an rvalue: co_await std::move(t)) or one of Lariat's "
            "awaitables; "
            "bring a foreign callback in through lariat::promise and co_await its future");
        return std::forward<Awaitable>(awaitable);
    }
}

template <class Awaitable>
using awaiter_of = std::remove_cvref_t<decltype(as_awaiter(std::declval<Awaitable>()))>;
template <class Awaitable>
using await_result = decltype(std::declval<awaiter_of<Awaitable>&>().await_resume());

namespace detail {
[[noreturn]] LARIAT_EXPORT void throw_cancelled();
}

namespace detail {

template <class Waiter>
struct basic_wait_point : awaiter_base, Waiter {
    explicit basic_wait_point(const wait_kind& what) noexcept : Waiter(what) {}
    explicit basic_wait_point(set_later later) noexcept : Waiter(later) {}
    basic_wait_point(wait_line& line, set_later later) noexcept
        requires std::constructible_from<Waiter, wait_line&, set_later>
        : Waiter(line, later) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void throw_if_cut() const {
        if (this->was_cut()) [[unlikely]]
            throw_cancelled();
    }
};

}  // namespace detail

/// An awaiter that is one waiter: derive, write await_suspend (park or pass) and await_resume.
struct wait_point : detail::basic_wait_point<waiter> {
    using basic_wait_point::basic_wait_point;
};
/// The same for one that waits in a line.
struct line_point : detail::basic_wait_point<line_waiter> {
    using basic_wait_point::basic_wait_point;
};

/// The part of a coroutine's promise that every kind shares. It lies at one offset in every frame
/// (results aligned beyond 16 bytes are refused), so a frame's address is enough to walk a trace.
struct LARIAT_EXPORT promise_base {
    promise_base() noexcept = default;
    ~promise_base() {
        // Two steps, or the compiler makes both comparisons before it branches.
        if (!goes_on()) [[unlikely]] {
            if (outermost_failed()) [[unlikely]]
                drop_failure();
        }
    }
    promise_base(const promise_base&) = delete;
    promise_base& operator=(const promise_base&) = delete;

    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        deallocate_frame(frame, bytes);
    }

    /// Every await passes here: it notes its place and throws `cancelled` if its scope says so.
    template <class Awaitable>
    decltype(auto) await_transform(Awaitable&& awaitable,
                                   std::source_location here = std::source_location::current()) {
        where = here;
        if constexpr (!std::is_base_of_v<ignores_cancellation, std::remove_cvref_t<Awaitable>>) {
            if (this_scheduler->current->cancel_pending) [[unlikely]]
                detail::throw_cancelled();
        }
        return as_awaiter(std::forward<Awaitable>(awaitable));
    }

    /// The failure takes the continuation's place, and that goes to where the party goes on until
    /// continue_with() asks for it, at the frame's end.
    void unhandled_exception() noexcept {
        this_scheduler->current->leaf = continuation();
        fail(std::current_exception());
    }

    /// The frame that awaits this one; null for the outermost, and once it has failed.
    [[nodiscard]] std::coroutine_handle<> continuation() const noexcept {
        return goes_on() ? continuation_frame() : std::coroutine_handle<>();
    }
    /// Pre: goes_on().
    [[nodiscard]] std::coroutine_handle<> continuation_frame() const noexcept {
        return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(state_));
    }
    /// Pre: not failed.
    void set_continuation(std::coroutine_handle<> frame) noexcept {
        state_ = reinterpret_cast<std::uintptr_t>(frame.address());
    }
    void clear_continuation() noexcept { state_ = mark; }
    /// Says that a party has this frame: it need not begin (its scope may be cancelled), and nobody
    /// forgot it then.
    void take_up() noexcept { state_ = taken_up; }
    [[nodiscard]] bool untouched() const noexcept { return state_ == mark; }
    /// Pre: the body has ended. Returns where its party goes on; null after the outermost.
    [[nodiscard]] std::coroutine_handle<> continue_with() const noexcept {
        if (goes_on()) [[likely]]
            return continuation_frame();
        return failed() ? this_scheduler->current->leaf : std::coroutine_handle<>();
    }

    /// Neither failed nor the outermost.
    [[nodiscard]] bool goes_on() const noexcept { return (state_ & mark) == 0; }
    [[nodiscard]] bool failed() const noexcept { return !goes_on() && state_ > taken_up; }
    /// Pre: it has no continuation.
    [[nodiscard]] bool outermost_failed() const noexcept { return state_ > taken_up; }
    /// Pre: failed.
    [[nodiscard]] std::exception_ptr failure() const noexcept;
    void fail(std::exception_ptr why) noexcept;
    /// Null if it had not failed; it has not afterwards.
    [[nodiscard]] std::exception_ptr take_failure() noexcept;

    [[nodiscard]] static promise_base& of(std::coroutine_handle<> frame) noexcept {
        return std::coroutine_handle<promise_base>::from_address(frame.address()).promise();
    }

    std::source_location where;  ///< of the last await

 private:
    LARIAT_SAVES_REGISTERS void drop_failure() noexcept { (void)take_failure(); }

    static constexpr std::uintptr_t mark = 1;
    static constexpr std::uintptr_t taken_up = mark | 2;

    // The continuation's address; or, with the mark, the one word of the failure's exception_ptr,
    // or none: the two have one place in every frame, and no failure has a continuation.
    std::uintptr_t state_ = mark;
};

/// The party whose leg runs now: the one that awaits `frame`'s await.
template <class Promise>
[[nodiscard]] party& party_of(std::coroutine_handle<Promise>) noexcept {
    static_assert(std::is_base_of_v<promise_base, Promise>,
                  "Lariat's awaitables are awaited in a lariat::task or a generator of Lariat's");
    return *this_scheduler->current;
}

}  // namespace lariat

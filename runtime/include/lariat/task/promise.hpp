#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/waiter.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace lariat {

/// What every awaiter of Lariat derives from: its await_suspend takes a coroutine whose promise is
/// a promise_base, and so learns which party waits.
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

/// An awaiter that is one waiter: derive, write await_suspend (park or pass) and await_resume.
struct wait_point : awaiter_base, waiter {
    explicit wait_point(const wait_kind& what) noexcept : waiter(what) {}
    explicit wait_point(set_later later) noexcept : waiter(later) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void throw_if_cut() const {
        if (was_cut()) [[unlikely]]
            detail::throw_cancelled();
    }
};

/// The part of a coroutine's promise that every kind shares. It lies at one offset in every frame
/// (results aligned beyond 16 bytes are refused), so a frame's address is enough to walk a trace.
struct LARIAT_EXPORT promise_base {
    promise_base() noexcept = default;
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
            if (who->cancel_pending) [[unlikely]]
                detail::throw_cancelled();
        }
        return as_awaiter(std::forward<Awaitable>(awaitable));
    }

    void unhandled_exception() noexcept { failure = std::current_exception(); }

    [[nodiscard]] static promise_base& of(std::coroutine_handle<> frame) noexcept {
        return std::coroutine_handle<promise_base>::from_address(frame.address()).promise();
    }

    party* who = nullptr;  ///< set when the frame is first awaited or started
    std::coroutine_handle<>
        continuation;  ///< the frame that awaits this one; null for the outermost
    std::exception_ptr failure;
    std::source_location where;  ///< of the last await
};

}  // namespace lariat

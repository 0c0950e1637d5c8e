#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

/// How a verb ends inside a timeout that was asked for a result. A wait without an error code of
/// its own (a sleep, an event) has the timeout's; what it throws all the same, is thrown.
template <class Awaiter>
auto finish_in_timeout(Awaiter& awaiter) {
    if constexpr (finishes_nothrow<Awaiter>) {
        return awaiter.finish_nothrow();
    } else if constexpr (std::is_void_v<decltype(awaiter.await_resume())>) {
        awaiter.await_resume();
        return result<void>();
    } else {
        return result<std::decay_t<decltype(awaiter.await_resume())>>(awaiter.await_resume());
    }
}

template <class Awaiter>
concept codes_in_timeout = finishes_nothrow<Awaiter> || std::is_base_of_v<waiter, Awaiter>;

template <class Awaitable>
class [[nodiscard("a timeout does nothing until it is awaited")]] timeout_awaiter
    : public scoped_awaiter<Awaitable> {
    using base = scoped_awaiter<Awaitable>;
    using value = typename base::value;

 public:
    timeout_awaiter(time_point deadline, Awaitable&& awaitable)
        : base(std::forward<Awaitable>(awaitable)), deadline_(deadline) {}
    timeout_awaiter(timeout_awaiter&& other) noexcept(detail::moves_nothrow<Awaitable>)
        : base(static_cast<base&&>(other)), deadline_(other.deadline_) {}

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        scope_.expires_at(deadline_);
        return this->begin(scope_, frame);
    }
    value await_resume() {
        if constexpr (std::is_void_v<value>) {
            if (!this->end(scope_, [](auto& inner) { inner.await_resume(); }))
                throw timeout_error();
        } else if constexpr (std::is_reference_v<value>) {
            std::remove_reference_t<value>* kept = nullptr;
            this->end(scope_, [&](auto& inner) { kept = &inner.await_resume(); });
            if (kept == nullptr) throw timeout_error();
            return static_cast<value>(*kept);
        } else {
            std::optional<value> kept;
            if (!this->end(scope_, [&](auto& inner) { kept.emplace(inner.await_resume()); }))
                throw timeout_error();
            return std::move(*kept);
        }
    }
    /// For nothrow(): the verb's own result, or errc::timed_out.
    auto finish_nothrow()
        requires codes_in_timeout<typename base::inner_type>
    {
        using ended = decltype(finish_in_timeout(std::declval<typename base::inner_type&>()));
        std::optional<ended> kept;
        if (!this->end(scope_, [&](auto& inner) { kept.emplace(finish_in_timeout(inner)); }))
            return ended(make_error_code(errc::timed_out));
        return std::move(*kept);
    }

 private:
    cancel_scope scope_;
    time_point deadline_;
};

/// Awaits with cancellation from outside held off.
template <class Awaitable>
class [[nodiscard("a shield does nothing until it is awaited")]] shield_awaiter
    : public scoped_awaiter<Awaitable>,
      public ignores_cancellation {
    using base = scoped_awaiter<Awaitable>;
    struct shield_scope : cancel_scope {
        shield_scope() noexcept : cancel_scope(true) {}
    };

 public:
    explicit shield_awaiter(Awaitable&& awaitable) : base(std::forward<Awaitable>(awaitable)) {}
    shield_awaiter(shield_awaiter&& other) noexcept(detail::moves_nothrow<Awaitable>)
        : base(std::move(other)) {}

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        return this->begin(scope_, frame);
    }
    typename base::value await_resume() {
        return this->end_uncut(scope_,
                               [](auto& inner) -> decltype(auto) { return inner.await_resume(); });
    }
    auto finish_nothrow()
        requires finishes_nothrow<typename base::inner_type>
    {
        return this->end_uncut(scope_, [](auto& inner) { return inner.finish_nothrow(); });
    }

 private:
    shield_scope scope_;
};

}  // namespace detail

/// Awaits it, but not beyond `deadline`: then it is cancelled, awaited to its end, and
/// timeout_error is thrown. Only its own completion decides: a result that came before the cut is
/// delivered.
///
/// Errors: its own; timeout_error · Cancel: one from outside passes through, also if time ran out
/// in the same turn · Cost: one timer, no frame.
template <class Awaitable>
auto timeout_at(time_point deadline, Awaitable&& awaitable) {
    return detail::timeout_awaiter<Awaitable>(deadline, std::forward<Awaitable>(awaitable));
}

/// The same, `length` from this call.
template <class Awaitable>
auto timeout(duration length, Awaitable&& awaitable) {
    const time_point now = detail::required_scheduler("lariat::timeout").now();
    return timeout_at(saturating_add(now, length), std::forward<Awaitable>(awaitable));
}

/// Awaits it in a scope that cancellation from outside does not reach: for a last message, a flush,
/// a rollback. It works inside a cancelled scope too. The cancellation waits for the next await.
template <class Awaitable>
auto shield(Awaitable&& awaitable) {
    return detail::shield_awaiter<Awaitable>(std::forward<Awaitable>(awaitable));
}

}  // namespace lariat

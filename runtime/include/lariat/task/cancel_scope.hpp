#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/result.hpp>
#include <lariat/task/held_awaiter.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/scope.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

template <class Awaitable>
class scoped_awaiter;

/// A stretch of work with a way to cancel it, by hand or at a deadline.
///
///     lariat::cancel_scope scope;
///     scope.expires_after(2s);
///     bool finished = co_await scope.run(download(url));   // false: this scope cut it short
///
/// Order        level-triggered: once cancelled, every await inside throws until the scope ends
/// Threads      one loop
/// Lifetime     outlives the run() it is used for; used once
/// Allocation   none
class LARIAT_EXPORT cancel_scope : private inner_scope, private timer_entry {
 public:
    cancel_scope() noexcept : timer_entry(&due) {}
    ~cancel_scope();

    /// Ends the work inside with `cancelled`. Before run(): the work does not begin.
    void cancel() noexcept { inner_scope::cancel(); }
    void expires_at(time_point deadline) noexcept;
    void expires_after(duration length) noexcept;
    [[nodiscard]] bool is_cancelled() const noexcept { return inner_scope::is_cancelled(); }
    /// Whether it was its deadline that cancelled it.
    [[nodiscard]] bool expired() const noexcept { return expired_; }

    /// Awaits it inside this scope.
    ///
    /// Returns true when it ended by itself, false when this scope cut it (for work with a result:
    /// an optional) · Errors: its own · Cancel: one from outside passes through as `cancelled`.
    template <class Awaitable>
    auto run(Awaitable&& awaitable);

 private:
    template <class Awaitable>
    friend class scoped_awaiter;

    static void due(timer_entry& self) noexcept;
    void arm() noexcept;
    void begin(party& p) noexcept;
    /// Leaves; true when what escaped as `cancelled` was this scope's doing.
    [[nodiscard]] bool end() noexcept;

    time_point deadline_ = forever;
    bool expired_ = false;

 protected:
    /// A scope that cancellation from outside does not reach.
    explicit cancel_scope(bool shields) noexcept : cancel_scope() { marks_.shields = shields; }
};

/// Runs an awaitable inside a scope of the awaiting party: no party, no frame of its own.
template <class Awaitable>
class scoped_awaiter : public awaiter_base {
 public:
    using inner_type = typename detail::held_awaiter<Awaitable>::type;
    using value = typename detail::held_awaiter<Awaitable>::value;

    explicit scoped_awaiter(Awaitable&& awaitable) : inner_(std::forward<Awaitable>(awaitable)) {}
    /// Pre: not awaited yet.
    scoped_awaiter(scoped_awaiter&& other) noexcept(detail::moves_nothrow<Awaitable>)
        : inner_(std::move(other.inner_)) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

 protected:
    template <class Promise>
    std::coroutine_handle<> begin(cancel_scope& scope, std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        scope.begin(p);
        if (p.cancel_pending) [[unlikely]] {
            inner_.decline();
            if (this_scheduler->spend()) [[likely]]
                return frame;
            p.requeue(frame);
            return std::noop_coroutine();
        }
        try {
            return inner_.suspend(frame);
        } catch (...) {  // it did not begin, for want of memory perhaps: await_resume never comes
            (void)scope.end();
            throw;
        }
    }
    /// The value, or nothing if `scope` cut it. `put` stores the value before the scope is left.
    template <class Put>
    bool end(cancel_scope& scope, Put&& put) {
        bool cut = !inner_.begun() || inner_.known_cut();
        if (!cut) {
            try {
                put(*inner_);
            } catch (const cancelled&) {
                cut = true;
            } catch (...) {
                (void)scope.end();
                throw;
            }
        }
        const bool ours = scope.end();
        if (cut && !ours) detail::throw_cancelled();
        return !cut;
    }
    /// What `take` takes from the awaiter, where nothing but the scope's end is to be done.
    template <class Take>
    decltype(auto) end_uncut(cancel_scope& scope, Take&& take) {
        struct leaver {
            cancel_scope& scope;
            ~leaver() { (void)scope.end(); }
        } const leave{scope};
        return take(*inner_);
    }

 private:
    detail::held_awaiter<Awaitable> inner_;
};

namespace detail {

template <class Awaitable>
class [[nodiscard("it does nothing until it is awaited")]] run_awaiter
    : public scoped_awaiter<Awaitable> {
    using base = scoped_awaiter<Awaitable>;
    using value = typename base::value;

 public:
    run_awaiter(cancel_scope& scope, Awaitable&& awaitable)
        : base(std::forward<Awaitable>(awaitable)), scope_(&scope) {}

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        return this->begin(*scope_, frame);
    }
    auto await_resume() {
        if constexpr (std::is_void_v<value>) {
            return this->end(*scope_, [](auto& inner) { inner.await_resume(); });
        } else {
            static_assert(!std::is_reference_v<value>,
                          "run() gives no references; return a pointer");
            std::optional<value> kept;
            this->end(*scope_, [&](auto& inner) { kept.emplace(inner.await_resume()); });
            return kept;
        }
    }
    /// For nothrow(): the verb's own result; within it, what run() gives.
    auto finish_nothrow()
        requires finishes_nothrow<typename base::inner_type>
    {
        using ended = decltype(std::declval<typename base::inner_type&>().finish_nothrow());
        using given = std::conditional_t<std::is_void_v<value>, bool, std::optional<value>>;
        std::optional<ended> kept;
        if (!this->end(*scope_, [&](auto& inner) { kept.emplace(inner.finish_nothrow()); }))
            return result<given>(given());
        if (!*kept) return result<given>(kept->error());
        if constexpr (std::is_void_v<value>) {
            return result<given>(true);
        } else {
            return result<given>(given(std::move(**kept)));
        }
    }

 private:
    cancel_scope* scope_;
};

}  // namespace detail

template <class Awaitable>
auto cancel_scope::run(Awaitable&& awaitable) {
    return detail::run_awaiter<Awaitable>(*this, std::forward<Awaitable>(awaitable));
}

}  // namespace lariat

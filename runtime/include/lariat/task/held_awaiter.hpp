#pragma once

#include <lariat/task/promise.hpp>

#include <coroutine>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat::detail {

template <class Awaitable>
inline constexpr bool moves_nothrow =
    std::is_lvalue_reference_v<Awaitable> || std::is_nothrow_move_constructible_v<Awaitable>;

/// An awaitable and, once it is awaited, its awaiter: for what puts something around another await.
///
/// Lifetime     the awaiter is built in place, as it need not be movable; until then this may be
///              moved
/// Allocation   none
template <class Awaitable>
class held_awaiter {
    using made = decltype(as_awaiter(std::declval<Awaitable>()));  // a reference: it is one already
    struct holder {
        explicit holder(Awaitable& from) : awaiter(as_awaiter(std::forward<Awaitable>(from))) {}
        made awaiter;
    };

 public:
    using type = std::remove_reference_t<made>;
    using value = decltype(std::declval<type&>().await_resume());

    explicit held_awaiter(Awaitable&& awaitable) : awaitable_(std::forward<Awaitable>(awaitable)) {}
    /// Pre: not begun.
    held_awaiter(held_awaiter&& other) noexcept(moves_nothrow<Awaitable>)
        : awaitable_(std::forward<Awaitable>(other.awaitable_)) {}

    /// Awaits it in the place of `frame`. Returns what runs next: the value of an await_suspend.
    template <class Promise>
    std::coroutine_handle<> suspend(std::coroutine_handle<Promise> frame) {
        type& inner = made_.emplace(awaitable_).awaiter;
        if (inner.await_ready()) return frame;
        using suspended = decltype(inner.await_suspend(frame));
        if constexpr (std::is_void_v<suspended>) {
            inner.await_suspend(frame);
            return std::noop_coroutine();
        } else if constexpr (std::is_same_v<suspended, bool>) {
            if (inner.await_suspend(frame)) return std::noop_coroutine();
            return frame;
        } else {
            return inner.await_suspend(frame);
        }
    }
    /// It will not be awaited: its scope was cancelled before. What it owns goes now.
    void decline() {
        if constexpr (!std::is_lvalue_reference_v<Awaitable>) {
            [[maybe_unused]] const auto gone = std::move(awaitable_);
        }
    }
    [[nodiscard]] bool begun() const noexcept { return made_.has_value(); }
    /// Whether it is known without asking for its result that it ended as `cancelled`.
    [[nodiscard]] bool known_cut() noexcept {
        if constexpr (std::is_base_of_v<single_step, type>) {
            return made_->awaiter.was_cut();
        } else if constexpr (requires(type& inner) { inner.known_cut(); }) {
            return made_->awaiter.known_cut();
        } else {
            return false;
        }
    }

    /// Pre: begun().
    [[nodiscard]] type& operator*() noexcept { return made_->awaiter; }
    [[nodiscard]] type* operator->() noexcept { return std::addressof(made_->awaiter); }

 private:
    Awaitable awaitable_;
    std::optional<holder> made_;
};

}  // namespace lariat::detail

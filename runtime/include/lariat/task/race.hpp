#pragma once

#include <lariat/task/child_tasks.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace lariat {

/// Who came first in a race, and with what.
template <class T>
struct race_result {
    std::size_t index;
    T value;
};

namespace detail {

/// The first child that ends by itself decides; the rest are cancelled.
class race_wait : public child_wait {
 public:
    race_wait() noexcept : child_wait(&race_wait::first_wins, told_of::all) {}

 protected:
    static void first_wins(group_core& group, party& p) noexcept {
        auto& children = static_cast<child_set&>(group);
        if (children.is_cancelled() || p.outcome == party_outcome::cancelled) return;
        children.first = &p;
        children.cancel();
    }
    [[nodiscard]] bool won(const party& p) const noexcept { return children_.first == &p; }
};

template <class T, class... Rest>
struct common_result {
    static constexpr bool same = (std::is_same_v<stored<T>, stored<Rest>> && ...);
    using type = std::conditional_t<same, stored<T>, std::variant<stored<T>, stored<Rest>...>>;
};

template <class... T>
class [[nodiscard("race does nothing until it is awaited")]] race_awaiter
    : public few_children<race_wait, T...> {
    using common = common_result<T...>;
    using value = typename common::type;

 public:
    using few_children<race_wait, T...>::few_children;

    race_result<value> await_resume() {
        this->children_.leave();
        return winner<0>();
    }

 private:
    template <std::size_t I>
    race_result<value> winner() {
        if constexpr (I == sizeof...(T)) {
            throw_cancelled();
        } else {
            if (!this->won(this->who_ran(I))) return winner<I + 1>();
            if constexpr (common::same) {
                return {I, take_stored(this->template work<I>())};
            } else {
                return {I, value(std::in_place_index<I>, take_stored(this->template work<I>()))};
            }
        }
    }
};

template <class T>
class [[nodiscard("race does nothing until it is awaited")]] race_all_awaiter
    : public many_children<race_wait, T> {
 public:
    using many_children<race_wait, T>::many_children;

    race_result<stored<T>> await_resume() {
        this->children_.leave();
        std::size_t first = 0;
        while (first < this->count() && !this->won(this->who_ran(first))) ++first;
        if (first == this->count()) throw_cancelled();
        return {first, take_stored(this->work(first))};
    }
};

}  // namespace detail

/// Runs all of them at once, started as gather starts them; the first to end decides, by value or
/// by exception, and the others are cancelled and awaited. What a loser finished in the same turn
/// is discarded, its failure too: where nothing may be lost, use select.
///
/// Returns race_result{index, value}; a variant where the types differ, std::monostate for void ·
/// Errors: the first one's exception · Cancel: cancels all, waits for them, then throws.
template <class... Awaitables>
    requires(sizeof...(Awaitables) > 0)
auto race(Awaitables&&... awaitables) {
    return detail::race_awaiter<detail::result_of<std::decay_t<Awaitables>>...>(
        detail::to_task(std::forward<Awaitables>(awaitables))...);
}

/// The same for any number. Pre: not empty.
template <class T>
auto race(std::vector<task<T>> tasks) {
    detail::require(!tasks.empty(), "a race needs at least one task");
    return detail::race_all_awaiter<T>(std::move(tasks));
}

}  // namespace lariat

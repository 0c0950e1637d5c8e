#pragma once

#include <lariat/task/gather.hpp>

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
class race_wait : public gather_wait {
 public:
    race_wait() noexcept : gather_wait(&race_wait::first_wins) {}
    race_wait(race_wait&& other) noexcept : gather_wait(std::move(other)) {}

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
class [[nodiscard("race does nothing until it is awaited")]] race_awaiter : public race_wait {
    using common = common_result<T...>;
    using value = typename common::type;

 public:
    explicit race_awaiter(task<T>... tasks) : tasks_(std::move(tasks)...) {}
    race_awaiter(race_awaiter&& other) noexcept
        : race_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        children_.enter(p);
        start_all(std::index_sequence_for<T...>());
        await_children(p, frame);
    }

    race_result<value> await_resume() {
        children_.leave();
        return winner<0>();
    }

 private:
    template <std::size_t... I>
    void start_all(std::index_sequence<I...>) noexcept {
        (children_.start_child(parties_[I], std::get<I>(tasks_)), ...);
    }
    template <std::size_t I>
    race_result<value> winner() {
        if constexpr (I == sizeof...(T)) {
            throw_cancelled();
        } else {
            if (!won(parties_[I])) return winner<I + 1>();
            if constexpr (common::same) {
                return {I, take_stored(std::get<I>(tasks_))};
            } else {
                return {I, value(std::in_place_index<I>, take_stored(std::get<I>(tasks_)))};
            }
        }
    }

    std::tuple<task<T>...> tasks_;
    std::array<party, sizeof...(T)> parties_;
};

template <class T>
class [[nodiscard("race does nothing until it is awaited")]] race_all_awaiter : public race_wait {
 public:
    explicit race_all_awaiter(std::vector<task<T>> tasks) : tasks_(std::move(tasks)) {}
    race_all_awaiter(race_all_awaiter&& other) noexcept
        : race_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        require(!tasks_.empty(), "a race needs at least one task");
        party& p = *frame.promise().who;
        parties_ = std::make_unique<party[]>(tasks_.size());
        children_.enter(p);
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            children_.start_child(parties_[i], tasks_[i]);
        }
        await_children(p, frame);
    }

    race_result<stored<T>> await_resume() {
        children_.leave();
        std::size_t first = 0;
        while (first < tasks_.size() && !won(parties_[first])) ++first;
        if (first == tasks_.size()) throw_cancelled();
        return {first, take_stored(tasks_[first])};
    }

 private:
    std::vector<task<T>> tasks_;
    std::unique_ptr<party[]> parties_;
};

}  // namespace detail

/// Runs all of them at once; the first to end decides, by value or by exception, and the others are
/// cancelled and awaited. What a loser finished in the same turn is discarded, its failure too:
/// where nothing may be lost, use select.
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
    return detail::race_all_awaiter<T>(std::move(tasks));
}

}  // namespace lariat

#pragma once

#include <lariat/task/gather.hpp>
#include <lariat/task/join_handle.hpp>
#include <lariat/task/outcome.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

template <class T>
outcome<T> outcome_of(const party& p, const task<T>& done) {
    return outcome<T>(p.outcome, done.frame());
}

class settle_wait : public gather_wait {
 public:
    settle_wait() noexcept : gather_wait([](group_core&, party&) noexcept {}) {}
    settle_wait(settle_wait&& other) noexcept : gather_wait(std::move(other)) {}

 protected:
    /// What was cancelled from outside is no outcome of the children.
    void end_settling(bool any_cancelled) {
        children_.leave();
        if (any_cancelled && who->cancel_pending) throw_cancelled();
    }
};

template <class... T>
class [[nodiscard("settled does nothing until it is awaited")]] settled_awaiter
    : public settle_wait {
 public:
    explicit settled_awaiter(task<T>... tasks) : tasks_(std::move(tasks)...) {}
    settled_awaiter(settled_awaiter&& other) noexcept
        : settle_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        children_.enter(p);
        start_all(std::index_sequence_for<T...>());
        await_children(p, frame);
    }

    auto await_resume() {
        bool any_cancelled = false;
        for (const party& p : parties_) any_cancelled |= p.outcome == party_outcome::cancelled;
        end_settling(any_cancelled);
        return take_all(std::index_sequence_for<T...>());
    }

 private:
    template <std::size_t... I>
    void start_all(std::index_sequence<I...>) noexcept {
        (children_.start_child(parties_[I], std::get<I>(tasks_)), ...);
    }
    template <std::size_t... I>
    auto take_all(std::index_sequence<I...>) {
        if constexpr (sizeof...(T) == 1) {
            return outcome_of(parties_[0], std::get<0>(tasks_));
        } else {
            return std::tuple<outcome<T>...>(outcome_of(parties_[I], std::get<I>(tasks_))...);
        }
    }

    std::tuple<task<T>...> tasks_;
    std::array<party, sizeof...(T)> parties_;
};

template <class T>
class [[nodiscard("settled does nothing until it is awaited")]] settled_all_awaiter
    : public settle_wait {
 public:
    explicit settled_all_awaiter(std::vector<task<T>> tasks) : tasks_(std::move(tasks)) {}
    settled_all_awaiter(settled_all_awaiter&& other) noexcept
        : settle_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = *frame.promise().who;
        parties_ = std::make_unique<party[]>(tasks_.size());
        children_.enter(p);
        if (tasks_.empty()) return pass(p, frame);
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            children_.start_child(parties_[i], tasks_[i]);
        }
        await_children(p, frame);
        return true;
    }

    std::vector<outcome<T>> await_resume() {
        bool any_cancelled = false;
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            any_cancelled |= parties_[i].outcome == party_outcome::cancelled;
        }
        end_settling(any_cancelled);
        std::vector<outcome<T>> outcomes;
        outcomes.reserve(tasks_.size());
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            outcomes.push_back(outcome_of(parties_[i], tasks_[i]));
        }
        return outcomes;
    }

 private:
    std::vector<task<T>> tasks_;
    std::unique_ptr<party[]> parties_;
};

template <class T>
class [[nodiscard("settled does nothing until it is awaited")]] settled_handle_awaiter
    : public join_awaiter {
 public:
    explicit settled_handle_awaiter(join_handle<T> handle) noexcept
        : join_awaiter(handle.who()), handle_(std::move(handle)) {}
    settled_handle_awaiter(settled_handle_awaiter&&) noexcept = default;

    outcome<T> await_resume() {
        throw_if_cut();
        return handle_.take_outcome();
    }

 private:
    join_handle<T> handle_;
};

}  // namespace detail

/// Waits for a spawned task and gives its outcome instead of throwing. Cancel: stops waiting.
template <class T>
auto settled(join_handle<T> handle) {
    return detail::settled_handle_awaiter<T>(std::move(handle));
}
template <class T>
task<std::vector<outcome<T>>> settled(std::vector<join_handle<T>> handles) {
    std::vector<outcome<T>> outcomes;
    outcomes.reserve(handles.size());
    for (join_handle<T>& handle : handles) {
        outcomes.push_back(co_await detail::settled_handle_awaiter<T>(std::move(handle)));
    }
    co_return outcomes;
}

/// Runs tasks at once, waits for all, and gives each one's outcome: no failure cancels the others.
///
/// Returns an outcome for one task, a tuple for several, a vector for a vector · Cancel: cancels
/// all and waits for them, then throws if any of them was ended by it.
template <class... T>
    requires(sizeof...(T) > 0)
auto settled(task<T>... tasks) {
    return detail::settled_awaiter<T...>(std::move(tasks)...);
}
template <class T>
auto settled(std::vector<task<T>> tasks) {
    return detail::settled_all_awaiter<T>(std::move(tasks));
}

}  // namespace lariat

#pragma once

#include <lariat/task/child_set.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

/// Parks the awaiting party until the children have ended, and settles who is to blame.
class gather_wait : public wait_point {
 public:
    explicit gather_wait(group_core::child_action on_finished) noexcept
        : wait_point(children_wait), children_(on_finished) {}
    gather_wait(gather_wait&& other) noexcept
        : wait_point(std::move(other)), children_(other.children_.child_finished) {}

 protected:
    void await_children(party& p, std::coroutine_handle<> frame) noexcept {
        children_.waiting = this;
        park(p, frame);
    }
    void end_wait(bool any_cancelled) {
        children_.leave();
        if (children_.any_failed()) children_.throw_failures();
        if (any_cancelled) throw_cancelled();
    }

    child_set children_;
};

template <class... T>
class [[nodiscard("gather does nothing until it is awaited")]] gather_awaiter : public gather_wait {
    static constexpr bool all_void = (std::is_void_v<T> && ...);

 public:
    explicit gather_awaiter(task<T>... tasks)
        : gather_wait(&child_set::fail_fast), tasks_(std::move(tasks)...) {}
    gather_awaiter(gather_awaiter&& other) noexcept
        : gather_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        children_.enter(p);
        if constexpr (sizeof...(T) == 0) {
            return pass(p, frame);
        } else {
            start_all(std::index_sequence_for<T...>());
            await_children(p, frame);
            return true;
        }
    }

    auto await_resume() {
        bool any_cancelled = false;
        for (const party& p : parties_) any_cancelled |= p.outcome == party_outcome::cancelled;
        end_wait(any_cancelled);
        if constexpr (!all_void) return take_all(std::index_sequence_for<T...>());
    }

 private:
    template <std::size_t... I>
    void start_all(std::index_sequence<I...>) noexcept {
        (children_.start_child(parties_[I], std::get<I>(tasks_)), ...);
    }
    template <std::size_t... I>
    std::tuple<stored<T>...> take_all(std::index_sequence<I...>) {
        return std::tuple<stored<T>...>(take_stored(std::get<I>(tasks_))...);
    }

    std::tuple<task<T>...> tasks_;
    std::array<party, sizeof...(T)> parties_;
};

template <class T>
class [[nodiscard("gather does nothing until it is awaited")]] gather_all_awaiter
    : public gather_wait {
 public:
    explicit gather_all_awaiter(std::vector<task<T>> tasks)
        : gather_wait(&child_set::fail_fast), tasks_(std::move(tasks)) {}
    gather_all_awaiter(gather_all_awaiter&& other) noexcept
        : gather_wait(std::move(other)), tasks_(std::move(other.tasks_)) {}

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

    auto await_resume() {
        bool any_cancelled = false;
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            any_cancelled |= parties_[i].outcome == party_outcome::cancelled;
        }
        end_wait(any_cancelled);
        if constexpr (!std::is_void_v<T>) {
            std::vector<stored<T>> results;
            results.reserve(tasks_.size());
            for (const task<T>& done : tasks_) results.push_back(take_stored(done));
            return results;
        }
    }

 private:
    std::vector<task<T>> tasks_;
    std::unique_ptr<party[]> parties_;
};

}  // namespace detail

/// Runs all of them at once and waits for all.
///
/// Order        they start in the order given; results come in that order
/// Returns      a tuple (std::monostate for void; void if all are void)
/// Errors       the first failure cancels the rest; one is thrown as itself, several as error_group
/// Cancel       cancels all, waits for them, then throws
/// Allocation   none: the parties lie in the awaiting frame
template <class... Awaitables>
auto gather(Awaitables&&... awaitables) {
    return detail::gather_awaiter<detail::result_of<std::decay_t<Awaitables>>...>(
        detail::to_task(std::forward<Awaitables>(awaitables))...);
}

/// The same for any number: a vector of results, or void. Allocation: one block.
template <class T>
auto gather(std::vector<task<T>> tasks) {
    return detail::gather_all_awaiter<T>(std::move(tasks));
}

}  // namespace lariat

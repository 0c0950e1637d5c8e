#pragma once

#include <lariat/task/child_tasks.hpp>
#include <lariat/task/join_handle.hpp>
#include <lariat/task/outcome.hpp>

#include <cstddef>
#include <exception>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

template <class T>
outcome<T> outcome_of(const party& p, std::coroutine_handle<task_promise<T>> done) {
    return outcome<T>(p.outcome, done);
}

/// Every child runs to its own end.
class settle_wait : public child_wait {
 public:
    settle_wait() noexcept
        : child_wait([](group_core&, party&) noexcept {}, told_of::all_but_values) {}

 protected:
    /// What was cancelled from outside is no outcome of the children; what failed all the same is
    /// thrown, as nobody will see the outcomes.
    void end_settling(std::span<const party> ended) {
        children_.leave();
        if (!who->cancel_pending || !any_cancelled(ended)) return;
        std::vector<std::exception_ptr> errors;
        for (const party& p : ended) {
            if (p.outcome == party_outcome::error)
                errors.push_back(promise_base::of(p.leaf).failure());
        }
        if (!errors.empty()) throw_all(std::move(errors));
        throw_cancelled();
    }
};

template <class... T>
class [[nodiscard("settled does nothing until it is awaited")]] settled_awaiter
    : public few_children<settle_wait, T...> {
 public:
    using few_children<settle_wait, T...>::few_children;

    auto await_resume() {
        this->end_settling(this->parties());
        return take_all(std::index_sequence_for<T...>());
    }

 private:
    template <std::size_t... I>
    auto take_all(std::index_sequence<I...>) {
        if constexpr (sizeof...(T) == 1) {
            return outcome_of(this->who_ran(0), this->template work<0>());
        } else {
            return std::tuple<outcome<T>...>(
                outcome_of(this->who_ran(I), this->template work<I>())...);
        }
    }
};

template <class T>
class [[nodiscard("settled does nothing until it is awaited")]] settled_all_awaiter
    : public many_children<settle_wait, T> {
 public:
    using many_children<settle_wait, T>::many_children;

    std::vector<outcome<T>> await_resume() {
        this->end_settling(this->parties());
        std::vector<outcome<T>> outcomes;
        outcomes.reserve(this->count());
        for (std::size_t i = 0; i < this->count(); ++i) {
            outcomes.push_back(outcome_of(this->who_ran(i), this->work(i)));
        }
        return outcomes;
    }
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

/// Waits for its end, and leaves the outcome with the handle.
class [[nodiscard("it does nothing until it is awaited")]] end_awaiter : public join_awaiter {
 public:
    using join_awaiter::join_awaiter;
    void await_resume() const { throw_if_cut(); }
};

}  // namespace detail

/// Waits for a spawned task, or for each of several, and gives the outcome instead of throwing.
/// Cancel: stops waiting; as always, a failure whose handle is gone goes to the report hook.
template <class T>
auto settled(join_handle<T> handle) {
    return detail::settled_handle_awaiter<T>(std::move(handle));
}
template <class T>
task<std::vector<outcome<T>>> settled(std::vector<join_handle<T>> handles) {
    for (const join_handle<T>& handle : handles) co_await detail::end_awaiter(handle.who());
    std::vector<outcome<T>> outcomes;
    outcomes.reserve(handles.size());
    for (join_handle<T>& handle : handles) outcomes.push_back(handle.take_outcome());
    co_return outcomes;
}

/// Runs tasks at once, started as gather starts them, waits for all, and gives each one's outcome:
/// no failure cancels the others.
///
/// Returns an outcome for one task, a tuple for several, a vector for a vector · Cancel: cancels
/// all and waits for them, then throws if any of them was ended by it: what failed, as gather
/// does, else `cancelled`.
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

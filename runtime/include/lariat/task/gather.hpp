#pragma once

#include <lariat/task/child_tasks.hpp>

#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

/// The first failure cancels the rest and is thrown, with those that come of it.
class gather_wait : public child_wait {
 public:
    gather_wait() noexcept : child_wait(&child_set::fail_fast, told_of::all_but_values) {}

 protected:
    void end_wait(std::span<const party> ended) {
        children_.leave();
        if (children_.any_failed()) children_.throw_failures();
        if (any_cancelled(ended)) throw_cancelled();
    }
};

template <class... T>
class [[nodiscard("gather does nothing until it is awaited")]] gather_awaiter
    : public few_children<gather_wait, T...> {
 public:
    using few_children<gather_wait, T...>::few_children;

    auto await_resume() {
        this->end_wait(this->parties());
        if constexpr (!(std::is_void_v<T> && ...)) return take_all(std::index_sequence_for<T...>());
    }

 private:
    template <std::size_t... I>
    std::tuple<stored<T>...> take_all(std::index_sequence<I...>) {
        return std::tuple<stored<T>...>(take_stored(this->template work<I>())...);
    }
};

template <class T>
class [[nodiscard("gather does nothing until it is awaited")]] gather_all_awaiter
    : public many_children<gather_wait, T> {
 public:
    using many_children<gather_wait, T>::many_children;

    auto await_resume() {
        this->end_wait(this->parties());
        if constexpr (!std::is_void_v<T>) {
            std::vector<stored<T>> results;
            results.reserve(this->count());
            for (std::size_t i = 0; i < this->count(); ++i) {
                results.push_back(take_stored(this->work(i)));
            }
            return results;
        }
    }
};

}  // namespace detail

/// Runs all of them at once and waits for all.
///
/// Order        each runs until it first waits, as it does when awaited directly, then the next one
///              starts; one that is ready at once costs no turn of the loop. Results come in the
///              order given
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

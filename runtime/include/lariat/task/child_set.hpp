#pragma once

#include <lariat/task/error_group.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/scope.hpp>
#include <lariat/task/task.hpp>

#include <coroutine>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>

namespace lariat::detail {

/// The children of one awaiting expression, and what went wrong with them: the ground of
/// task_group, gather, settled and race.
///
/// Lifetime     lies in the awaiter; its owner is parked until every child has finished
/// Allocation   none until errors are collected
class LARIAT_EXPORT child_set : public group_core {
 public:
    child_set(child_action on_finished, told_of which) noexcept : group_core(on_finished, which) {}
    ~child_set();

    /// Starts a task whose frame somebody else keeps under a party that somebody else keeps.
    template <class T>
    void start_child(party& p, std::coroutine_handle<task_promise<T>> work) noexcept {
        give_frame(p, work);
        start(p);
    }
    /// Before it is started: the frame it will run, which somebody else keeps.
    template <class T>
    static void give_frame(party& p, std::coroutine_handle<task_promise<T>> work) noexcept {
        require(static_cast<bool>(work),
                "a task that was moved from or awaited before cannot be started");
        p.leaf = work;
        work.promise().take_up();
    }

    /// Keeps a failed child until its error is taken.
    void keep_failed(party& p) noexcept {
        p.add_ref();
        failed_.push_back(p);
    }
    [[nodiscard]] bool any_failed() const noexcept { return !failed_.empty(); }
    /// With `before`, if it is not null, as the first. Pre: any_failed(), or there is that one.
    [[noreturn]] void throw_failures(std::exception_ptr before = nullptr);

    /// First failure cancels the rest; all are kept.
    static void fail_fast(group_core& group, party& p) noexcept;

    party* first = nullptr;  ///< the child that decided a race

 private:
    void let_failed_go() noexcept;

    list<party> failed_;
};

/// Waits for the children; being cut is no end of the wait, as the children are cancelled too and
/// it is theirs to end.
LARIAT_EXPORT extern const wait_kind children_wait;

/// What a result becomes inside a tuple or vector.
template <class T>
struct stored_type {
    using type = T;
};
template <>
struct stored_type<void> {
    using type = std::monostate;
};
template <class T>
struct stored_type<T&> {
    using type = std::reference_wrapper<T>;
};
template <class T>
using stored = typename stored_type<T>::type;

template <class T>
stored<T> take_stored(std::coroutine_handle<task_promise<T>> done) {
    if constexpr (std::is_void_v<T>) {
        done.promise().take_result();
        return {};
    } else {
        return done.promise().take_result();
    }
}

/// Any awaitable as a task, so that it can have a party of its own.
template <class T>
task<T>&& to_task(task<T>&& already) noexcept {
    return std::move(already);
}
template <class Awaitable>
    requires(!requires(Awaitable a) { []<class T>(task<T>) {}(std::move(a)); })
task<await_result<Awaitable>> to_task(Awaitable awaitable) {
    [[maybe_unused]] const int has_a_local = 0;  // GCC 12 miscompiles bodies without one
    co_return co_await std::move(awaitable);
}
template <class Awaitable>
using result_of =
    typename std::remove_cvref_t<decltype(to_task(std::declval<Awaitable>()))>::value_type;

}  // namespace lariat::detail

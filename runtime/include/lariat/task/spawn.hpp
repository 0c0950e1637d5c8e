#pragma once

#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/join_handle.hpp>

#include <functional>
#include <new>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// Puts a task's frame under a party of its own, owned by `group`.
template <class T>
join_handle<T> start_in(group_core& group, task<T> work) {
    require(static_cast<bool>(work),
            "a task that was moved from or awaited before cannot be started");
    party& p = *new (allocate_frame(sizeof(party))) party;
    p.on_heap = true;
    p.gives_nothing = std::is_void_v<T>;
    p.leaf = work.release();
    join_handle<T> handle(p);
    group.start(p);
    return handle;
}

template <class Fn, class... Args>
using called_task = std::invoke_result_t<Fn, Args...>;

/// Keeps the callable and its arguments in a frame of their own for as long as the task runs.
template <class Fn, class... Args>
called_task<Fn&, Args...> call_kept(Fn fn, Args... args) {
    [[maybe_unused]] const int has_a_local = 0;  // GCC 12 miscompiles bodies without one
    co_return co_await std::invoke(fn, std::move(args)...);
}

/// A plain function whose parameters are the arguments' own types has them moved into its own frame
/// anyway. Not so a parameter of another type: a view would refer to what is gone by then.
template <class Parameter, class Arg>
inline constexpr bool kept_by_callee = std::is_same_v<std::remove_cv_t<Parameter>, Arg>;
template <class Parameter, class Referred>
inline constexpr bool kept_by_callee<Parameter, std::reference_wrapper<Referred>> = true;

template <class Result, class... Parameters, class... Args>
    requires(sizeof...(Parameters) == sizeof...(Args))
Result bind_task(Result (*fn)(Parameters...), Args&&... args) {
    if constexpr ((kept_by_callee<Parameters, std::decay_t<Args>> && ...)) {
        return fn(std::forward<Args>(args)...);
    } else {
        return call_kept(fn, std::decay_t<Args>(std::forward<Args>(args))...);
    }
}

template <class Fn, class... Args>
auto bind_task(Fn&& fn, Args&&... args) {
    using made = called_task<std::decay_t<Fn>&, std::decay_t<Args>...>;
    static_assert(
        is_task<made>,
        "spawn(fn, args...) takes a function that returns a lariat::task; a plain function "
        "goes to call_soon, or to offload if it blocks");
    return call_kept<std::decay_t<Fn>, std::decay_t<Args>...>(std::forward<Fn>(fn),
                                                              std::forward<Args>(args)...);
}

[[nodiscard]] LARIAT_EXPORT group_core& root_group(const char* what) noexcept;

}  // namespace detail

/// Starts a task of its own, beside the running one, owned by the scope of `run`: when the main
/// task has ended, what is left here is cancelled and awaited. It runs at the next turn, not in
/// this call.
///
/// Returns a join_handle; dropping it leaves the task running. Errors: a failure that no handle
/// takes goes to the report hook and ends the run · Cost: one small record beside the task's frame.
template <class T>
join_handle<T> spawn(task<T> work) {
    return detail::start_in(detail::root_group("lariat::spawn"), std::move(work));
}

/// The same for fn(args...): fn and the arguments are moved into the task's own frame; what is to
/// be referred to says so with std::ref.
template <class Fn, class... Args>
    requires(!detail::is_task<std::decay_t<Fn>>)
auto spawn(Fn&& fn, Args&&... args) {
    return spawn(detail::bind_task(std::forward<Fn>(fn), std::forward<Args>(args)...));
}

}  // namespace lariat

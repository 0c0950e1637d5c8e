#pragma once

#include <lariat/base/bound_call.hpp>
#include <lariat/cores/core_calls.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/loop/options.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/task_group.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

/// How many cores there are, and how each is made.
struct cores_options {
    std::size_t count = 0;       ///< 0: one for each processor that this process may use
    bool caller_is_core = true;  ///< the calling loop is core 0; false: each core is a new thread
    bool pin = true;            ///< the thread of core i runs on the i-th of these processors only,
                                ///< counted round; the calling thread stays where it may run
    std::string name = "core";  ///< of the threads: "core-1", "core-2", ...
    run_options run;            ///< of their loops

    cores_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

/// Loops on threads of one process, one a core, that share nothing and call each other.
///
///     lariat::task<> main_task(lariat::cores& all) {
///         long sum = co_await all.call_on(1, [] { return count_something(); });
///         co_await all.on_all([] { warm_up(); });
///     }
///     int main() { lariat::run(lariat::with_cores(main_task)); }
///
/// Order        calls of one core to another begin in the order in which they were made
/// Threads      every verb from every core; those that await also from other loops
/// Lifetime     exists inside with_cores only; its body, and all that it calls, may refer to it
/// Allocation   records when it starts; by its verbs as said there
/// Errors       std::out_of_range for a core that is not there, with both numbers. A core whose
///              loop ends, as a task there failed with nobody to catch it, fails with_cores;
///              calls to it end with closed_error. At the end of all, a task on one of the threads
///              that calls a core which has ended already is cancelled by that
class LARIAT_EXPORT cores {
 public:
    cores(const cores&) = delete;
    cores& operator=(const cores&) = delete;
    ~cores();

    [[nodiscard]] std::size_t core_count() const noexcept;
    /// The number of the core that this is called on. Pre: on one of them.
    [[nodiscard]] std::size_t this_core() const noexcept;
    /// Whether it is.
    [[nodiscard]] bool on_a_core() const noexcept;
    /// The loop of a core: for post.
    [[nodiscard]] const loop_ref& ref(std::size_t core) const;

    /// Calls fn(args...) on a core, this one or another, and awaits what it returns; if that is a
    /// task, it runs there. fn has its own copies of the arguments; references need std::ref.
    ///
    /// Suspends, Cancel, Borrows: as lariat::call_on, with fn and the arguments in the awaiting
    /// frame · Returns its result, made there and moved here · Errors: its exception; closed_error
    /// if that core ends first · Cost: a message each way, no allocation; for a task, what spawn
    /// costs.
    template <class Fn, class... Args>
        requires std::invocable<std::decay_t<Fn>&, std::decay_t<Args>...>
    [[nodiscard]] auto call_on(std::size_t core, Fn&& fn, Args&&... args) const {
        using call = detail::bound<Fn, Args...>;
        return detail::core_wait<call>(
            *state_, ref(core),
            call(std::in_place, std::forward<Fn>(fn), std::forward<Args>(args)...));
    }

    /// Calls a copy of fn with copies of the arguments on every core at once.
    ///
    /// Suspends until all have ended · Returns a vector of the results in the order of the cores,
    /// or void · Errors, Cancel: as gather's: the first failure cancels the rest · Cost: a call
    /// and a frame each.
    template <class Fn, class... Args>
        requires std::invocable<std::decay_t<Fn>&, std::decay_t<Args>...>
    [[nodiscard]] auto on_all(Fn&& fn, Args&&... args) const {
        using call = detail::bound<Fn, Args...>;
        static_assert(std::is_copy_constructible_v<call>,
                      "each core is given copies of the function and its arguments; share what "
                      "cannot be copied by std::ref");
        const call each(std::in_place, std::forward<Fn>(fn), std::forward<Args>(args)...);
        std::vector<task<detail::called_result<call>>> calls;
        calls.reserve(core_count());
        for (std::size_t core = 0; core < core_count(); ++core) {
            calls.push_back(detail::call_apart<call>(*state_, ref(core), each));
        }
        return gather(std::move(calls));
    }

    /// Calls a copy of mapper() on every core at once, and here `value = reducer(value, result)`
    /// for each result in the order of the cores, beginning with `initial`. Otherwise as on_all.
    template <class Mapper, class Value, class Reducer>
        requires std::invocable<std::decay_t<Mapper>&>
    [[nodiscard]] task<Value> map_reduce(Mapper mapper, Value initial, Reducer reducer) const {
        static_assert(!std::is_void_v<detail::called_result<Mapper>>,
                      "a mapper gives a value; for what gives none there is on_all");
        return detail::fold(on_all(std::move(mapper)), std::move(initial), std::move(reducer));
    }

    /// The same for mapper(item) of each item of a range, which the cores share out as they come
    /// to it; the results are reduced here, in the range's order. Each core has a copy of the
    /// mapper, all of them read the one range, and a core lets its other tasks run at least every
    /// 256 items. A mapper that returns a task is awaited item by item.
    ///
    /// Borrows nothing: the range is moved, or copied; give a std::span of what stays by itself
    /// · Cost: as on_all, and one block for the results.
    template <std::ranges::random_access_range Range, class Mapper, class Value, class Reducer>
        requires std::ranges::sized_range<const Range>
    [[nodiscard]] task<Value> map_reduce(Range range, Mapper mapper, Value initial,
                                         Reducer reducer) const {
        using item = std::ranges::range_reference_t<const Range>;
        using mapped = std::decay_t<detail::called_result<Mapper, item>>;
        static_assert(!std::is_void_v<mapped>, "a mapper gives a value; it is what is reduced");
        detail::shared_work<Range, mapped> work(range, core_count());
        auto shares = on_all(&detail::map_shares<Range, mapped, Mapper>, std::ref(work), mapper);
        co_await std::move(shares);
        for (auto& each : work.results) {
            initial = std::invoke(reducer, std::move(initial), *std::move(each));
        }
        co_return initial;
    }

 private:
    template <class Body>
    friend auto with_cores(cores_options options, Body body) -> std::invoke_result_t<Body&, cores&>;

    /// Starts the threads.
    explicit cores(const cores_options& options);
    /// Owns the threads from now on: their failures are the group's, and its end is theirs.
    void watch(task_group& group) const;

    std::unique_ptr<detail::cores_state> state_;
};

namespace detail {

/// Ends a group with the scope that has this: also the children that only wait for its end.
struct group_ender {
    explicit group_ender(task_group& ended) noexcept : group(&ended) {}
    group_ender(const group_ender&) = delete;
    group_ender& operator=(const group_ender&) = delete;
    ~group_ender() { group->cancel(); }
    task_group* group;
};

}  // namespace detail

/// Starts cores, runs body(cores), and ends them: what still runs there is cancelled and awaited,
/// as at the end of a run, and their threads are joined.
///
/// Suspends until all have ended · Returns the body's result · Errors: the body's; a core's, which
/// cancels the body; several as an error_group. Why a thread did not start, or was not pinned:
/// std::system_error · Cancel: cancels the body, ends the cores, then throws · Borrows nothing: the
/// body is moved into the task · Cost: some 100 us a thread, in which the calling loop stands
/// still.
template <class Body>
[[nodiscard]] auto with_cores(cores_options options, Body body)
    -> std::invoke_result_t<Body&, cores&> {
    using ended = std::invoke_result_t<Body&, cores&>;
    static_assert(detail::is_task<ended>,
                  "with_cores takes a callable of the form [](lariat::cores&) -> lariat::task<>");
    cores all(options);
    auto inside = [&](task_group& group) -> ended {
        const detail::group_ender end(group);
        all.watch(group);
        co_await yield_now();  // those who watch begin: else the group's end would not reach them
        co_return co_await body(all);
    };
    co_return co_await with_group(std::move(inside));
}
template <class Body>
[[nodiscard]] auto with_cores(Body body) {
    return with_cores(cores_options(), std::move(body));
}

}  // namespace lariat

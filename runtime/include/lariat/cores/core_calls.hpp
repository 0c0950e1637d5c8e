#pragma once

#include <lariat/loop/call_on.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

/// Library use: what cores and sharded send from core to core.
namespace lariat::detail {

/// What a call gives to who awaits it.
template <class Fn, class... Args>
using called_result = typename called_value<std::invoke_result_t<Fn&, Args...>>::type;

struct cores_state;

/// Whether a call found its core ended because all of them end, and so does this one: then the task
/// that awaits it is cancelled here already. Else it would fail, and all with it, only because the
/// other core was faster.
[[nodiscard]] LARIAT_EXPORT bool ends_with_cores(const cores_state* of, party& who) noexcept;

/// A call from core to core.
template <class Fn>
class [[nodiscard(
    "it does nothing until it is awaited: co_await cores.call_on(core, fn)")]] core_wait
    : public call_on_wait<Fn> {
    using base = call_on_wait<Fn>;

 public:
    template <class F>
    core_wait(const cores_state& of, const loop_ref& where, F&& fn)
        : base(where, std::forward<F>(fn)), of_(&of) {}

    decltype(auto) await_resume() {
        leave_if_ending();
        return base::await_resume();
    }
    auto finish_nothrow()
        requires requires(base& call) { call.finish_nothrow(); }
    {
        leave_if_ending();
        return base::finish_nothrow();
    }

 private:
    void leave_if_ending() {
        if (!this->reached() && ends_with_cores(of_, *this->who)) throw_cancelled();
    }

    const cores_state* of_;  ///< compared only: it may be gone
};

/// A call with a frame of its own, for a gather.
template <class Fn>
task<called_result<Fn>> call_apart(const cores_state& of, loop_ref where, Fn fn) {
    core_wait<Fn> call(of, where, std::move(fn));
    co_return co_await std::move(call);
}

/// Folds what a gather gives, in its order.
template <class Gathered, class Value, class Reducer>
task<Value> fold(Gathered parts, Value value, Reducer reducer) {
    auto all = co_await std::move(parts);
    for (auto&& each : all) {
        value = std::invoke(reducer, std::move(value), std::move(each));
    }
    co_return value;
}

/// A range that cores share out among themselves: each takes some items, and comes back for more.
template <class Range, class Mapped>
struct shared_work {
    explicit shared_work(const Range& all, std::size_t cores)
        : items(&all),
          count(static_cast<std::size_t>(std::ranges::size(all))),
          share(std::clamp<std::size_t>(count / (8 * cores), 1, most_at_once)),
          results(count) {}

    // The end of one core's last share is the time that all others may wait for it: so there are
    // several to a core. And a loop is held by one share at most before it looks at the others.
    static constexpr std::size_t most_at_once = 256;

    const Range* items;
    std::size_t count;
    std::size_t share;
    std::atomic<std::size_t> next{0};
    std::vector<std::optional<Mapped>> results;  ///< each written by the one who took its item
};

template <class Range, class Mapped, class Mapper>
task<> map_shares(shared_work<Range, Mapped>& work, Mapper mapper) {
    using called = std::invoke_result_t<Mapper&, std::ranges::range_reference_t<const Range>>;
    using distance = std::ranges::range_difference_t<const Range>;
    const auto first = std::ranges::begin(*work.items);
    for (;;) {
        // Relaxed: it only shares out; the results are shown by the answers of the calls.
        const std::size_t from = work.next.fetch_add(work.share, std::memory_order_relaxed);
        if (from >= work.count) co_return;
        const std::size_t to = std::min(work.count, from + work.share);
        for (std::size_t i = from; i < to; ++i) {
            if constexpr (is_task<called>) {
                Mapped mapped = co_await std::invoke(mapper, first[static_cast<distance>(i)]);
                work.results[i].emplace(std::move(mapped));
            } else {
                work.results[i].emplace(std::invoke(mapper, first[static_cast<distance>(i)]));
            }
        }
        co_await yield_now();
    }
}

}  // namespace lariat::detail

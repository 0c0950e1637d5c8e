#pragma once

#include <lariat/offload/pool_future.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat::detail {

/// Runners that take the items of a map, one after the other, each on a thread of the pool. After
/// every item a runner lets others that wait for the pool go first.
///
/// Lifetime     lies with who waits; touched by runners until the listener was told
class LARIAT_EXPORT map_core {
 public:
    using step = void (*)(map_core&, std::size_t index);

    map_core(blocking_pool& pool, std::size_t most_at_once, step one) noexcept
        : pool_(&pool), most_at_once_(most_at_once), one_(one) {}
    /// Pre: not begun.
    map_core(map_core&& other) noexcept
        : pool_(other.pool_), most_at_once_(other.most_at_once_), one_(other.one_) {}

    /// True if `when_done` will be told; false if all is done already. Errors: the pool's, if no
    /// runner could be submitted.
    [[nodiscard]] bool start(std::size_t count, work_listener& when_done);
    /// No further item is begun. True if it has ended by that, and nobody will be told.
    [[nodiscard]] bool stop() noexcept;
    [[nodiscard]] bool complete() const noexcept {
        return done_.load(std::memory_order_acquire) == count_;
    }
    /// Pre: ended. Errors: what the items threw, several as an error_group; closed_error;
    /// `cancelled` if it was stopped before all items were done.
    void check();

 private:
    struct runner : blocking_job {
        explicit runner(map_core& its_map) noexcept;
        map_core& all;
        std::exception_ptr failure;
    };
    static void run(blocking_job& job) noexcept;
    static void dropped(blocking_job& job, bool was_in_line) noexcept;
    void runner_ended() noexcept;
    [[nodiscard]] bool more() const noexcept;
    static const job_hooks hooks_of_map;

    blocking_pool* pool_;
    std::size_t most_at_once_;
    step one_;
    std::size_t count_ = 0;
    std::deque<runner> runners_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::size_t> done_{0};
    std::atomic<std::size_t> live_{0};
    std::atomic<bool> stopped_{false};
    std::atomic<bool> dropped_{false};
    work_listener* listener_ = nullptr;
};

/// A range as items that can be reached by number: itself, or a copy.
template <class Range>
auto indexable(Range&& range) {
    using view = std::views::all_t<Range>;
    if constexpr (std::ranges::random_access_range<view> && std::ranges::sized_range<view>) {
        return view(std::forward<Range>(range));
    } else {
        std::vector<std::ranges::range_value_t<Range>> items;
        for (auto&& item : range) items.push_back(std::forward<decltype(item)>(item));
        return std::views::all(std::move(items));
    }
}

/// What a map is about: the items, the function and the results.
template <class View, class Fn>
class map_work : public map_core {
    using item = std::ranges::range_reference_t<View>;
    using value = std::invoke_result_t<Fn&, item>;
    static_assert(!std::is_reference_v<value>, "a map gives no references; return a pointer");

 public:
    map_work(blocking_pool& pool, std::size_t most_at_once, View items, Fn fn)
        : map_core(pool, most_at_once, &one), items_(std::move(items)), fn_(std::move(fn)) {}

    [[nodiscard]] bool begin_work(work_listener& when_done) {
        const auto count = static_cast<std::size_t>(std::ranges::size(items_));
        if constexpr (!std::is_void_v<value>) results_.resize(count);
        return start(count, when_done);
    }
    auto take() {
        check();
        if constexpr (!std::is_void_v<value>) {
            std::vector<value> all;
            all.reserve(results_.size());
            for (std::optional<value>& each : results_) all.push_back(std::move(*each));
            return all;
        }
    }

 private:
    static void one(map_core& core, std::size_t index) {
        auto& self = static_cast<map_work&>(core);
        const auto at = std::ranges::begin(self.items_) +
                        static_cast<std::ranges::range_difference_t<View>>(index);
        if constexpr (std::is_void_v<value>) {
            std::invoke(self.fn_, *at);
        } else {
            self.results_[index].emplace(std::invoke(self.fn_, *at));
        }
    }

    struct no_results {};
    View items_;
    Fn fn_;
    [[no_unique_address]] std::conditional_t<
        std::is_void_v<value>, no_results,
        std::vector<std::optional<std::conditional_t<std::is_void_v<value>, char, value>>>>
        results_;
};

/// Awaits a map on a loop.
class LARIAT_EXPORT map_wait : public listening_wait {
 protected:
    explicit map_wait(map_core& map) noexcept : listening_wait(kind_of_wait), map_(&map) {}
    map_wait(map_wait&& other, map_core& map) noexcept
        : listening_wait(static_cast<listening_wait&&>(other)), map_(&map) {}

 private:
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    map_core* map_;
};

template <class View, class Fn>
class [[nodiscard("a map does nothing until it is awaited: co_await it")]] map_awaiter
    : public map_wait {
 public:
    map_awaiter(blocking_pool& pool, std::size_t most_at_once, View items, Fn fn)
        : map_wait(work_), work_(pool, most_at_once, std::move(items), std::move(fn)) {}
    map_awaiter(map_awaiter&& other) noexcept
        : map_wait(static_cast<map_wait&&>(other), work_), work_(std::move(other.work_)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        open_box();
        if (!work_.begin_work(*this)) {
            close_box();
            return pass(p, frame);
        }
        park(p, frame);
        return true;
    }
    auto await_resume() {
        throw_if_cut();
        return work_.take();
    }

 private:
    map_work<View, Fn> work_;
};

/// The same on a plain thread, which it blocks.
template <class View, class Fn>
auto map_on_thread(blocking_pool& pool, std::size_t most_at_once, View items, Fn fn) {
    using work = map_work<View, Fn>;
    work map(pool, most_at_once, std::move(items), std::move(fn));
    block_thread([](void* of, work_listener& me) { return static_cast<work*>(of)->begin_work(me); },
                 &map);
    return map.take();
}

}  // namespace lariat::detail

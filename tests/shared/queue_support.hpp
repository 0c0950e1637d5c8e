#pragma once

#include "leak_check.hpp"
#include "loop_set.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/sync/shared/queue.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <latch>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

/// What a shared queue of ints does whichever of its items is next.
namespace lariat::test {

template <class Queue>
task<> get_one(Queue& from, std::optional<int>& got) {
    got = co_await from.get();
}
template <class Queue>
task<> put_one(Queue& to, int item, std::vector<int>& put) {
    co_await to.put(item);
    put.push_back(item);
}
/// Until it is closed and drained.
template <class Queue>
task<> get_into(Queue& from, std::vector<int>& got) {
    while (auto item = co_await from.get()) got.push_back(*item);
}

/// Items go to the getters that wait, in their order and that of the puts; one that was cancelled
/// has left the line.
template <class Queue>
void check_getters_are_served_in_their_order() {
    loop_set loops(3);
    Queue q;
    std::vector<std::optional<int>> got(6);
    std::optional<int> cut_got;
    for (std::size_t i = 0; i < 3; ++i) {
        loops.spawn_on(i, get_one(q, got[i]));
        loops.turn(i);
    }
    auto cut = loops.spawn_on(0, get_one(q, cut_got));
    loops.turn(0);
    for (std::size_t i = 3; i < 6; ++i) {
        loops.spawn_on(i % 3, get_one(q, got[i]));
        loops.turn(i % 3);
    }
    loops.on(0, [&] { cut.cancel(); });
    for (const int item : {5, 9, 1, 7, 3, 8}) q.put_nowait(item);
    CHECK(q.empty());
    CHECK_FALSE(q.try_get().has_value());
    loops.finish();
    CHECK_FALSE(cut_got.has_value());
    CHECK(got == std::vector<std::optional<int>>{5, 9, 1, 7, 3, 8});
}

/// A put is cancelled while it waits for room, and another runs out of time.
template <class Queue>
void check_cancelled_puts_put_nothing() {
    loop_set loops(2);
    Queue q(1);
    q.put_nowait(1);
    std::vector<int> put;
    int kept = 0;
    auto runs_out = [&]() -> task<> {
        auto waiting = q.put(2);
        const auto ended = co_await nothrow(timeout(std::chrono::milliseconds(1), waiting));
        CHECK(ended.error() == errc::timed_out);
        kept = waiting.item();
    };
    loops.spawn_on(0, runs_out());
    loops.turn(0);
    auto cut = loops.spawn_on(1, put_one(q, 3, put));
    loops.turn(1);
    loops.spawn_on(1, put_one(q, 4, put));
    loops.turn(1);
    loops.on(1, [&] { cut.cancel(); });
    loops.settle();
    CHECK(kept == 2);
    CHECK(q.get_nowait() == 1);
    CHECK(q.get_nowait() == 4);
    CHECK_FALSE(q.try_get().has_value());
    loops.finish();
    CHECK(put == std::vector{4});
}

/// Both are served, and cancelled while the news travels.
template <class Queue>
void check_cut_after_it_was_served_it_stands() {
    loop_set loops(2);
    Queue q(1);
    std::optional<int> got;
    bool put = false;
    cancel_scope get_scope;
    cancel_scope put_scope;
    auto gets = [&]() -> task<> {
        const std::optional<std::optional<int>> ended = co_await get_scope.run(q.get());
        if (ended) got = *ended;
    };
    auto puts = [&]() -> task<> { put = co_await put_scope.run(q.put(6)); };
    loops.spawn_on(0, gets());
    loops.turn(0);
    loops.on(1, [&] { q.put_nowait(4); });
    loops.on(0, [&] { get_scope.cancel(); });
    q.put_nowait(5);
    loops.spawn_on(1, puts());
    loops.turn(1);
    loops.on(0, [&] { CHECK(q.get_nowait() == 5); });
    loops.on(1, [&] { put_scope.cancel(); });
    loops.finish();
    CHECK(got == 4);
    CHECK(put);
    CHECK(q.get_nowait() == 6);
}

template <class Queue>
void check_close() {
    using std::chrono::milliseconds;
    loop_set loops(2);
    Queue none;
    std::optional<int> got = 1;
    loops.spawn_on(0, get_one(none, got));
    loops.turn(0);
    none.close();
    loops.finish();
    CHECK_FALSE(got.has_value());

    Queue q(1);
    q.put_nowait(1);
    bool refused = false;
    auto puts = [&]() -> task<> {
        const auto waited = co_await nothrow(q.put(2));
        refused = waited.error() == errc::closed;
        const auto again = co_await nothrow(q.put(3));
        CHECK(again.error() == errc::closed);
    };
    loops.spawn_on(0, puts());
    loops.turn(0);
    q.close();
    q.close();
    loops.finish();
    CHECK(refused);
    CHECK(q.closed());
    CHECK_THROWS_AS(q.put_nowait(4), closed_error);
    CHECK_THROWS_AS(q.put_blocking(4), closed_error);
    CHECK_FALSE(q.try_put(4));
    std::vector<int> left;
    loops.spawn_on(1, get_into(q, left));
    loops.finish();
    CHECK(left == std::vector{1});
    CHECK_FALSE(q.get_blocking().has_value());
    CHECK(q.get_blocking(milliseconds(1)).error() == errc::closed);
    CHECK_THROWS_AS((void)q.get_nowait(), closed_error);
}

/// One who was woken with an item puts and gets at once, in the same leg.
template <class Queue>
void check_a_woken_getter_comes_back_at_once() {
    loop_set loops(2);
    Queue there(1);
    Queue back(1);
    std::vector<int> got;
    auto bounces = [&](Queue& in, Queue& out) -> task<> {
        while (auto item = co_await in.get()) {
            got.push_back(*item);
            if (*item < 6) co_await out.put(*item + 1);
            if (*item >= 5) in.close();
        }
    };
    loops.spawn_on(0, bounces(there, back));
    loops.spawn_on(1, bounces(back, there));
    loops.settle();
    there.put_nowait(1);
    loops.finish();
    CHECK(got == std::vector{1, 2, 3, 4, 5, 6});
}

template <class Queue>
void check_the_rest_is_a_queues() {
    using std::chrono::milliseconds;
    loop_set loops(1);
    Queue q(1);
    CHECK_THROWS_AS((void)q.get_nowait(), queue_empty);
    q.put_nowait(1);
    CHECK_THROWS_AS(q.put_nowait(2), queue_full);
    CHECK_FALSE(q.put_blocking(2, milliseconds(1)));
    CHECK(q.full());
    CHECK(q.capacity() == 1);
    bool joined = false;
    auto joins = [&]() -> task<> {
        co_await q.join();
        joined = true;
    };
    loops.spawn_on(0, joins());
    CHECK_FALSE(q.join_blocking(milliseconds(1)));
    CHECK(q.get_nowait() == 1);
    CHECK(q.get_blocking(milliseconds(1)).error() == errc::timed_out);
    loops.settle();
    CHECK_FALSE(joined);
    CHECK(q.stats().unfinished == 1);
    q.task_done();
    loops.finish();
    CHECK(joined);
    q.join_blocking();
    CHECK_THROWS_AS(q.task_done(), std::logic_error);
    const queue_stats now = q.stats();
    CHECK(now.put == 1);
    CHECK(now.taken == 1);
    CHECK(now.capacity == 1);
}

/// Tasks of two loops and two threads give and take beside each other, and some lose patience: each
/// item comes out, once.
template <class Queue>
void check_tasks_and_threads_together(std::size_t max) {
    using patience = std::chrono::microseconds;
    constexpr int each = 2'000;
    const leak_check leaks;
    Queue q(max);
    std::array<std::vector<int>, 3> taken;
    std::latch given(3);
    auto on_loop = [&](int me, std::vector<int>& got) -> task<> {
        auto gives = [&]() -> task<> {
            for (int i = 0; i < each; ++i) {
                bool put = false;
                while (!put) {
                    const auto ended =
                        co_await nothrow(timeout(patience(40), q.put(me * each + i)));
                    put = ended.has_value();
                }
            }
            given.count_down();
        };
        auto giving = spawn(gives);
        for (bool open = true; open;) {
            const auto item = co_await nothrow(timeout(patience(40), q.get()));
            if (!item.has_value()) continue;
            open = item->has_value();
            if (!open) continue;
            got.push_back(**item);
            q.task_done();
        }
        co_await giving;
    };
    {
        std::jthread one([&] { lariat::run(on_loop(0, taken[0])); });
        std::jthread two([&] { lariat::run(on_loop(1, taken[1])); });
        std::jthread giver([&] {
            for (int i = 0; i < each; ++i) q.put_blocking(2 * each + i);
            given.count_down();
        });
        std::jthread taker([&] {
            while (auto item = q.get_blocking()) {
                taken[2].push_back(*item);
                q.task_done();
            }
        });
        given.wait();
        q.join_blocking();
        q.close();
    }
    std::vector<int> all;
    for (const std::vector<int>& some : taken) all.insert(all.end(), some.begin(), some.end());
    std::sort(all.begin(), all.end());
    REQUIRE(all.size() == 3 * each);
    for (int i = 0; i < 3 * each; ++i) REQUIRE(all[static_cast<std::size_t>(i)] == i);
    CHECK(q.empty());
}

}  // namespace lariat::test

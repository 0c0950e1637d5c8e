#pragma once

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

/// What a lifo_queue and a priority_queue of ints do alike.
namespace lariat::test {

template <class Queue>
task<> get_one(Queue& from, std::vector<int>& got) {
    const std::optional<int> item = co_await from.get();
    got.push_back(item.value_or(-1));
}
template <class Queue>
task<> put_one(Queue& to, int item) {
    [[maybe_unused]] const int has_a_local = 0;
    co_await to.put(item);
}

template <class Queue>
void check_cancelled_getters_take_nothing(test_loop& loop) {
    Queue way;
    std::vector<int> got;
    loop.run([&]() -> task<> {
        std::vector<int> none;
        auto first = spawn(get_one(way, none));
        spawn(get_one(way, got));
        auto third = spawn(get_one(way, none));
        spawn(get_one(way, got));
        co_await yield_now();
        first.cancel();
        third.cancel();
        const auto ended = co_await settled(std::move(first));
        CHECK(ended.is_cancelled());
        for (const int item : {7, 2, 5}) co_await way.put(item);
        CHECK(way.size() == 1);
        co_await yield_now();
        CHECK(none.empty());
        CHECK(way.get_nowait() == 5);
    });
    CHECK(got == std::vector{7, 2});
}

template <class Queue>
void check_cancelled_putters_put_nothing(test_loop& loop) {
    Queue way(1);
    loop.run([&]() -> task<> {
        co_await way.put(0);
        std::vector<join_handle<>> putters;
        for (const int item : {4, 9, 3, 1, 8}) putters.push_back(spawn(put_one(way, item)));
        co_await yield_now();
        putters[0].cancel();
        putters[2].cancel();
        putters[4].cancel();
        const auto ended = co_await settled(std::move(putters[0]));
        CHECK(ended.is_cancelled());
        for (const int expected : {0, 9, 1}) CHECK(way.get_nowait() == expected);
        CHECK(way.empty());
        CHECK(way.stats().put == 3);
        co_await yield_now();
        CHECK(putters[1].done());
        CHECK(putters[3].done());
    });
}

/// A getter that was given its item, and a putter whose item was let in, are cancelled before they
/// have run.
template <class Queue>
void check_served_and_then_cancelled_stands(test_loop& loop) {
    Queue way(1);
    std::vector<int> got;
    loop.run([&]() -> task<> {
        auto getting = spawn([&]() -> task<> {
            co_await get_one(way, got);
            co_await get_one(way, got);
        });
        co_await yield_now();
        co_await way.put(5);
        getting.cancel();
        const auto got_one = co_await settled(std::move(getting));
        CHECK(got_one.is_cancelled());  // at its next await

        co_await way.put(6);
        auto putting = spawn(put_one(way, 7));
        co_await yield_now();
        CHECK(way.get_nowait() == 6);
        putting.cancel();
        const auto put_one = co_await settled(std::move(putting));
        CHECK(put_one.is_value());
        CHECK(way.get_nowait() == 7);
        CHECK(way.empty());
    });
    CHECK(got == std::vector{5});
}

template <class Queue>
void check_a_woken_getter_comes_back_at_once(test_loop& loop) {
    Queue way(1);
    std::vector<int> got;
    loop.run([&]() -> task<> {
        auto bounces = [&]() -> task<> {
            for (int i = 0; i < 3; ++i) {
                const auto item = co_await way.get();
                got.push_back(*item);
                if (i < 2) co_await way.put(*item + 1);
            }
        };
        auto one = spawn(bounces);
        co_await yield_now();
        co_await way.put(1);
        co_await one;
    });
    CHECK(got == std::vector{1, 2, 3});
}

template <class Queue>
void check_one_that_dies_under_its_waiters_stops() {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<Queue> way(std::in_place);
        test_loop loop;
        std::vector<int> got;
        loop.run([&]() -> task<> {
            spawn(get_one(*way, got));
            co_await yield_now();
            way.reset();
        });
    }));
}

}  // namespace lariat::test

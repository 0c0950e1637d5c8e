#include <lariat/sync/lifo_queue.hpp>

#include "queue_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "lifo_queue: the newest item comes out first") {
    lifo_queue<std::unique_ptr<int>> pile;
    std::vector<int> got;
    run([&]() -> task<> {
        for (int i = 0; i < 4; ++i) co_await pile.put(std::make_unique<int>(i));
        pile.close();
        while (auto item = co_await pile.get()) got.push_back(**item);
    });
    CHECK(got == std::vector{3, 2, 1, 0});
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: the item of a putter that waited lies on top") {
    lifo_queue<int> pile(2);
    std::vector<int> got;
    run([&]() -> task<> {
        auto producing = spawn([&]() -> task<> {
            for (int i = 0; i < 4; ++i) co_await pile.put(i);
        });
        co_await yield_now();
        CHECK(pile.full());
        for (int i = 0; i < 4; ++i) {
            got.push_back(pile.get_nowait());
            co_await yield_now();
        }
        co_await producing;
    });
    CHECK(got == std::vector{1, 2, 3, 0});
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: getters that wait are served first come, first served") {
    lifo_queue<int> pile;
    std::vector<int> got;
    run([&]() -> task<> {
        auto gets = [&](int mark) -> task<> {
            const std::optional<int> item = co_await pile.get();
            got.push_back(mark * 10 + item.value_or(0));
        };
        spawn(gets, 1);
        auto leaver = spawn(gets, 2);
        spawn(gets, 3);
        co_await yield_now();
        leaver.cancel();
        co_await pile.put(4);
        co_await pile.put(5);
        co_await yield_now();
    });
    CHECK(got == std::vector{14, 35});
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: full, empty, join and close are a queue's") {
    lifo_queue<int> pile(1);
    run([&]() -> task<> {
        pile.put_nowait(1);
        CHECK_THROWS_AS(pile.put_nowait(2), queue_full);
        CHECK_THROWS_AS(co_await timeout(1ms, pile.put(2)), timeout_error);
        auto joining = spawn([&]() -> task<> { co_await pile.join(); });
        CHECK(pile.get_nowait() == 1);
        CHECK_THROWS_AS(pile.get_nowait(), queue_empty);
        pile.task_done();
        co_await joining;
        pile.close();
        CHECK_THROWS_AS(co_await pile.put(3), closed_error);
        CHECK_FALSE((co_await pile.get()).has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: cancelled getters leave the line and take nothing") {
    test::check_cancelled_getters_take_nothing<lifo_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: cancelled putters leave the line and put nothing") {
    test::check_cancelled_putters_put_nothing<lifo_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop,
                  "lifo_queue: who was served and then cancelled has got or put its item") {
    test::check_served_and_then_cancelled_stands<lifo_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop, "lifo_queue: a woken getter may put and get again at once") {
    test::check_a_woken_getter_comes_back_at_once<lifo_queue<int>>(*this);
}

TEST_CASE("lifo_queue: one that dies under its waiters stops with the rule") {
    test::check_one_that_dies_under_its_waiters_stops<lifo_queue<int>>();
}

}  // namespace

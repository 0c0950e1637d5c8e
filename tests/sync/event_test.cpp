#include <lariat/sync/event.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;
using lariat::test::wait_for;

TEST_CASE_FIXTURE(test_loop, "event: set wakes all who wait, in the order in which they came") {
    event ready;
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) spawn(wait_for(ready, i, order));
        co_await yield_now();
        CHECK(order.empty());
        ready.set();
        CHECK(order.empty());
        co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "event: while it is set nobody waits; after clear all do") {
    event ready;
    CHECK_FALSE(ready.is_set());
    run([&]() -> task<> {
        ready.set();
        CHECK(ready.is_set());
        co_await ready.wait();
        co_await ready.wait();
        ready.clear();
        CHECK_FALSE(ready.is_set());
        CHECK_THROWS_AS(co_await timeout(1s, ready.wait()), timeout_error);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "event: set and cleared at once still lets through who waited") {
    event ready;
    std::vector<int> order;
    run([&]() -> task<> {
        spawn(wait_for(ready, 1, order));
        co_await yield_now();
        ready.set();
        ready.clear();
        spawn(wait_for(ready, 2, order));
        co_await sleep(1s);
        CHECK(order == std::vector{1});
        ready.set();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE_FIXTURE(test_loop, "event: a cancelled waiter leaves the line") {
    event ready;
    std::vector<int> order;
    run([&]() -> task<> {
        spawn(wait_for(ready, 1, order));
        auto leaver = spawn(wait_for(ready, 2, order));
        spawn(wait_for(ready, 3, order));
        co_await yield_now();
        leaver.cancel();
        const auto ended = co_await settled(std::move(leaver));
        CHECK(ended.is_cancelled());
        ready.set();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 3});
}

TEST_CASE_FIXTURE(test_loop, "event: one who was woken and then cancelled has seen it set") {
    event ready;
    test::check_woken_and_then_cancelled_goes_on(*this, ready, [&] { ready.set(); });
}

TEST_CASE_FIXTURE(test_loop, "event: a woken task may clear it and wait again") {
    event ready;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        co_await ready.wait();
        order.push_back(1);
        ready.clear();
        co_await ready.wait();
        order.push_back(3);
    };
    run([&]() -> task<> {
        auto again = spawn(twice);
        spawn(wait_for(ready, 2, order));
        co_await yield_now();
        ready.set();
        co_await yield_now();
        CHECK(order == std::vector{1, 2});
        ready.set();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "event: many ready waits let the others run") {
    event ready;
    ready.set();
    auto waits = [&]() -> task<> {
        for (int i = 0; i < 10'000; ++i) co_await ready.wait();
    };
    CHECK(test::others_run_beside(*this, waits));
}

TEST_CASE_FIXTURE(test_loop, "event: a wait that fails in time gives a code through nothrow") {
    event ready;
    run([&]() -> task<> {
        const auto late = co_await nothrow(timeout(1s, ready.wait()));
        CHECK(late.error() == errc::timed_out);
        ready.set();
        const auto in_time = co_await nothrow(timeout(1s, ready.wait()));
        CHECK(in_time.has_value());
    });
}

TEST_CASE("event: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it",
                     test::destroy_while_waited_for<event>));
}

}  // namespace

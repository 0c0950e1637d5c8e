#include <lariat/sync/auto_reset_event.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;
using lariat::test::wait_for;

TEST_CASE_FIXTURE(test_loop,
                  "auto_reset_event: a set lets one pass, the one who has waited longest") {
    auto_reset_event bell;
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 4; ++i) spawn(wait_for(bell, i, order));
        co_await yield_now();
        bell.set();
        CHECK_FALSE(bell.is_set());
        co_await yield_now();
        CHECK(order == std::vector{0});
        bell.set();
        bell.set();
        co_await yield_now();
        CHECK(order == std::vector{0, 1, 2});
        bell.set();
        co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "auto_reset_event: a set that nobody waits for is kept, once") {
    auto_reset_event bell;
    run([&]() -> task<> {
        bell.set();
        bell.set();
        CHECK(bell.is_set());
        co_await bell.wait();
        CHECK_FALSE(bell.is_set());
        CHECK_THROWS_AS(co_await timeout(1s, bell.wait()), timeout_error);
        bell.set();
        CHECK(bell.try_wait());
        CHECK_FALSE(bell.try_wait());
        bell.set();
        bell.clear();
        CHECK_FALSE(bell.try_wait());
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "auto_reset_event: a newcomer does not take the signal of one who waited") {
    auto_reset_event bell;
    std::vector<int> order;
    run([&]() -> task<> {
        spawn(wait_for(bell, 1, order));
        co_await yield_now();
        bell.set();
        CHECK_FALSE(bell.try_wait());
        spawn(wait_for(bell, 2, order));
        co_await sleep(1s);
        CHECK(order == std::vector{1});
        bell.set();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE_FIXTURE(test_loop, "auto_reset_event: a cancelled waiter leaves, and takes no signal") {
    auto_reset_event bell;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = spawn(wait_for(bell, 1, order));
        auto second = spawn(wait_for(bell, 2, order));
        co_await yield_now();
        first.cancel();
        bell.set();
        co_await second;
        CHECK(first.done());
    });
    CHECK(order == std::vector{2});
}

TEST_CASE_FIXTURE(test_loop,
                  "auto_reset_event: one whose signal had come when it was cancelled has it") {
    auto_reset_event bell;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = spawn(wait_for(bell, 1, order));
        auto second = spawn(wait_for(bell, 2, order));
        co_await yield_now();
        bell.set();
        first.cancel();
        co_await yield_now();
        CHECK(first.done());
        CHECK_FALSE(second.done());
        CHECK_FALSE(bell.is_set());
        bell.set();
        co_await second;
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE_FIXTURE(test_loop, "auto_reset_event: two tasks go turn by turn") {
    auto_reset_event ping;
    auto_reset_event pong;
    std::vector<int> order;
    auto answers = [&]() -> task<> {
        for (int i = 0; i < 3; ++i) {
            co_await ping.wait();
            order.push_back(2);
            pong.set();
        }
    };
    auto asks = [&]() -> task<> {
        for (int i = 0; i < 3; ++i) {
            order.push_back(1);
            ping.set();
            co_await pong.wait();
        }
    };
    run([&]() -> task<> { co_await gather(asks(), answers()); });
    CHECK(order == std::vector{1, 2, 1, 2, 1, 2});
}

TEST_CASE_FIXTURE(test_loop, "auto_reset_event: it composes with nothrow and race") {
    auto_reset_event bell;
    run([&]() -> task<> {
        const auto late = co_await nothrow(timeout(1s, bell.wait()));
        CHECK(late.error() == errc::timed_out);
        const auto first = co_await race(bell.wait(), sleep(1s));
        CHECK(first.index == 1);
        bell.set();
        CHECK(bell.is_set());
        const auto in_time = co_await nothrow(timeout(1s, bell.wait()));
        CHECK(in_time.has_value());
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "auto_reset_event: a woken task may set it and wait again") {
    auto_reset_event bell;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        co_await wait_for(bell, 1, order);
        bell.set();
        co_await wait_for(bell, 3, order);
    };
    run([&]() -> task<> {
        auto again = spawn(twice);
        spawn(wait_for(bell, 2, order));
        co_await yield_now();
        bell.set();
        co_await sleep(1ms);
        CHECK(order == std::vector{1, 2});
        bell.set();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("auto_reset_event: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it",
                     test::destroy_while_waited_for<auto_reset_event>));
}

}  // namespace

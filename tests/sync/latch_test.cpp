#include <lariat/sync/latch.hpp>

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
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;
using lariat::test::wait_for;

TEST_CASE_FIXTURE(test_loop, "latch: it opens when counted down to zero, in the order of arrival") {
    latch gate(3);
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 4; ++i) spawn(wait_for(gate, i, order));
        co_await yield_now();
        gate.count_down();
        gate.count_down(2);
        CHECK(gate.try_wait());
        CHECK(order.empty());
        co_await yield_now();
        CHECK(order == std::vector{0, 1, 2, 3});
        co_await gate.wait();
    });
}

TEST_CASE_FIXTURE(test_loop, "latch: of nothing to count, it is open") {
    latch gate(0);
    CHECK(gate.try_wait());
    run([&]() -> task<> {
        co_await gate.wait();
        gate.count_down(0);
        co_await gate.wait();
    });
}

TEST_CASE_FIXTURE(test_loop, "latch: those who arrive and wait go on together") {
    latch gate(3);
    int through = 0;
    auto comes = [&](duration when) -> task<> {
        co_await sleep(when);
        co_await gate.arrive_and_wait();
        CHECK(elapsed() == 3s);
        ++through;
    };
    run([&]() -> task<> { co_await gather(comes(2s), comes(1s), comes(3s)); });
    CHECK(through == 3);
}

TEST_CASE_FIXTURE(test_loop, "latch: a cancelled waiter leaves; one who had arrived has") {
    latch gate(2);
    std::vector<int> order;
    run([&]() -> task<> {
        auto leaver = spawn(wait_for(gate, 1, order));
        auto stays = spawn(wait_for(gate, 2, order));
        CHECK_THROWS_AS(co_await timeout(1s, gate.arrive_and_wait()), timeout_error);
        leaver.cancel();
        co_await yield_now();
        CHECK(leaver.done());
        CHECK_FALSE(gate.try_wait());
        gate.count_down();
        co_await stays;
    });
    CHECK(order == std::vector{2});
}

TEST_CASE_FIXTURE(test_loop, "latch: inside a cancelled scope nobody arrives") {
    latch gate(1);
    run([&]() -> task<> {
        cancel_scope scope;
        scope.cancel();
        const bool ended = co_await scope.run(gate.arrive_and_wait());
        CHECK_FALSE(ended);
        CHECK_FALSE(gate.try_wait());
        gate.count_down();
    });
}

TEST_CASE_FIXTURE(test_loop, "latch: one who was woken and then cancelled went through") {
    latch gate(1);
    test::check_woken_and_then_cancelled_goes_on(*this, gate, [&] { gate.count_down(); });
}

TEST_CASE_FIXTURE(test_loop, "latch: it composes with nothrow and race") {
    latch gate(2);
    run([&]() -> task<> {
        const auto late = co_await nothrow(timeout(1s, gate.wait()));
        CHECK(late.error() == errc::timed_out);
        const auto first = co_await race(gate.arrive_and_wait(), sleep(1s));
        CHECK(first.index == 1);
        co_await gather(gate.wait(), gate.arrive_and_wait());
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "latch: a woken task may count down another, and wait again") {
    latch one(1);
    latch two(1);
    std::vector<int> order;
    auto passes_on = [&]() -> task<> {
        co_await wait_for(one, 1, order);
        two.count_down();
        co_await wait_for(one, 2, order);
    };
    run([&]() -> task<> {
        auto passing = spawn(passes_on);
        auto waiting = spawn(wait_for(two, 3, order));
        co_await yield_now();
        one.count_down();
        co_await gather(std::move(passing), std::move(waiting));
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("latch: counted below zero it stops with the rule") {
    CHECK(stops_with("a latch was counted down further than to zero", [] {
        latch gate(1);
        gate.count_down(2);
    }));
}

TEST_CASE("latch: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it",
                     [] { test::destroy_while_waited_for<latch>(1U); }));
}

}  // namespace

#include <lariat/sync/recursive_mutex.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/sync/condition.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::pass_through;
using lariat::test::stops_with;
using lariat::test::test_loop;

/// Takes it once more at every level, down and up again.
task<> descend(recursive_mutex& door, int depth, std::vector<int>& order) {
    auto level = co_await door.lock();
    co_await yield_now();
    if (depth > 0) co_await descend(door, depth - 1, order);
    order.push_back(depth);
}

TEST_CASE_FIXTURE(test_loop,
                  "recursive_mutex: its holder takes it again, in the tasks it awaits too") {
    recursive_mutex door;
    std::vector<int> order;
    run([&]() -> task<> {
        auto other = [&]() -> task<> {
            co_await yield_now();
            co_await pass_through(door, 9, order);
        };
        co_await gather(descend(door, 3, order), other());
    });
    CHECK(order == std::vector{0, 1, 2, 3, 9});
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop, "recursive_mutex: it is free when released as often as taken") {
    recursive_mutex door;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = co_await door.lock();
        auto second = door.try_lock();
        auto third = co_await door.lock();
        CHECK(second);
        spawn(pass_through(door, 1, order));
        co_await yield_now();
        first.unlock();
        third.unlock();
        co_await yield_now();
        CHECK(door.locked());
        CHECK(order.empty());
        second.unlock();
        co_await yield_now();
    });
    CHECK(order == std::vector{1});
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "recursive_mutex: a child that is spawned or gathered is another task") {
    recursive_mutex door;
    run([&]() -> task<> {
        auto mine = co_await door.lock();
        auto tries = [&]() -> task<bool> {
            const auto perhaps = door.try_lock();
            co_return static_cast<bool>(perhaps);
        };
        const bool in_child = co_await spawn(tries);
        CHECK_FALSE(in_child);
        CHECK_THROWS_AS((void)co_await gather(timeout(1s, door.lock()), sleep(1ms)), timeout_error);
        const bool in_place = co_await tries();
        CHECK(in_place);
    });
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop, "recursive_mutex: first come, first served; a newcomer waits") {
    test::check_first_come_first_served<recursive_mutex>(*this);
}

TEST_CASE_FIXTURE(test_loop, "recursive_mutex: an exception that passes gives back each level") {
    recursive_mutex door;
    auto fails = [&]() -> task<> {
        auto outer = co_await door.lock();
        auto inner = co_await door.lock();
        throw std::runtime_error("inside");
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await fails(), std::runtime_error);
        CHECK_FALSE(door.locked());
    });
}

TEST_CASE_FIXTURE(test_loop, "recursive_mutex: a cancelled waiter leaves the line") {
    test::check_cancelled_waiters_leave<recursive_mutex>(*this);
}

TEST_CASE_FIXTURE(test_loop,
                  "recursive_mutex: an unlock to one who was cancelled before goes to the next") {
    test::check_unlock_after_cancel_goes_to_the_next<recursive_mutex>(*this);
}

TEST_CASE_FIXTURE(
    test_loop, "recursive_mutex: handed over and then cancelled, it has an owner and comes back") {
    recursive_mutex door;
    std::vector<int> order;
    run([&]() -> task<> {
        auto held = co_await door.lock();
        auto waits = [&]() -> task<> {
            auto outer = co_await door.lock();
            auto inner = door.try_lock();
            CHECK(inner);
            order.push_back(1);
            co_await sleep(1h);
        };
        auto first = spawn(waits);
        spawn(pass_through(door, 2, order));
        co_await yield_now();
        held.unlock();
        first.cancel();
        co_await yield_now();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
    CHECK(elapsed() == 0s);
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "recursive_mutex: a woken task may lock it again, at once or behind the others") {
    recursive_mutex door;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        {
            auto guard = co_await door.lock();
            co_await pass_through(door, 1, order);
        }
        co_await pass_through(door, 3, order);
    };
    test::check_a_woken_task_waits_again(*this, door, order, twice);
}

TEST_CASE("recursive_mutex: released by another task than took it, it stops with the rule") {
    CHECK(stops_with("a recursive_mutex is released by the task that took it", [] {
        recursive_mutex door;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto ends = [](guard<recursive_mutex> mine) -> task<> {
                mine.unlock();
                co_return;
            };
            auto held = co_await door.lock();
            co_await spawn(ends, std::move(held));
        });
    }));
}

TEST_CASE("recursive_mutex: a task that ends and still holds it stops with the rule") {
    CHECK(stops_with("a task ended and still holds a recursive_mutex", [] {
        recursive_mutex door;
        test_loop loop;
        loop.run([&]() -> task<> {
            std::optional<guard<recursive_mutex>> outlives;
            auto leaves = [&]() -> task<> { outlives = co_await door.lock(); };
            co_await spawn(leaves);
        });
    }));
    CHECK(stops_with("right: auto guard = co_await timeout(1s, m.lock())", [] {
        recursive_mutex door;
        test_loop loop;
        loop.run([&]() -> task<> { (void)co_await race(door.lock(), sleep(1s)); });
    }));
}

TEST_CASE_FIXTURE(test_loop, "recursive_mutex: a task may end once it has given all back") {
    recursive_mutex door;
    recursive_mutex other;
    run([&]() -> task<> {
        condition changed;
        auto takes = [&]() -> task<> {
            auto held = co_await timeout(1s, door.lock());
            auto again = co_await door.lock();
            auto both = co_await other.lock();
            both.unlock();
            co_await changed.wait(held);
        };
        auto first = spawn(takes);
        auto second = spawn(takes);
        auto third = spawn(takes);
        co_await yield_now();
        third.cancel();
        changed.notify_all();
        co_await first;
        co_await second;
        CHECK_THROWS_AS(co_await third, task_cancelled);
        CHECK_FALSE(door.locked());
        CHECK_FALSE(other.locked());
    });
}

TEST_CASE("recursive_mutex: one that dies under its holder or its waiters stops with the rule") {
    CHECK(stops_with("a recursive_mutex must outlive those who hold it or wait for it",
                     test::destroy_while_held_and_waited_for<recursive_mutex>));
}

}  // namespace

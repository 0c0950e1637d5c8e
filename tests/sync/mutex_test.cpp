#include <lariat/sync/mutex.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::pass_through;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> hold_for(mutex& door, duration length) {
    auto inside = co_await door.lock();
    co_await sleep(length);
}

TEST_CASE_FIXTURE(test_loop, "mutex: nobody is inside together with another") {
    mutex door;
    int inside = 0;
    int most = 0;
    auto enters = [&]() -> task<> {
        for (int i = 0; i < 3; ++i) {
            auto guard = co_await door.lock();
            most = std::max(most, ++inside);
            co_await sleep(1ms);
            --inside;
        }
    };
    run([&]() -> task<> { co_await gather(enters(), enters(), enters()); });
    CHECK(most == 1);
    CHECK(elapsed() == 9ms);
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop, "mutex: first come, first served; a newcomer does not pass the line") {
    test::check_first_come_first_served<mutex>(*this);
}

TEST_CASE_FIXTURE(test_loop, "mutex: try_lock takes it when it is free, and only then") {
    mutex door;
    run([&]() -> task<> {
        auto first = door.try_lock();
        CHECK(first);
        CHECK(door.locked());
        auto second = door.try_lock();
        CHECK_FALSE(second);
        first.unlock();
        CHECK_FALSE(first);
        second = door.try_lock();
        CHECK(second);
        co_return;
    });
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop, "mutex: an exception that passes gives it back") {
    mutex door;
    auto fails = [&]() -> task<> {
        auto guard = co_await door.lock();
        throw std::runtime_error("inside");
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await fails(), std::runtime_error);
        CHECK_FALSE(door.locked());
        auto guard = door.try_lock();
        CHECK(guard);
    });
}

TEST_CASE_FIXTURE(test_loop, "mutex: a guard may be given to another task, which holds it then") {
    mutex door;
    std::vector<int> order;
    auto keeps = [&](guard<mutex> mine) -> task<> {
        co_await sleep(1s);
        order.push_back(1);
        mine.unlock();
    };
    run([&]() -> task<> {
        auto mine = co_await door.lock();
        spawn(keeps, std::move(mine));
        CHECK_FALSE(mine);
        co_await pass_through(door, 2, order);
    });
    CHECK(order == std::vector{1, 2});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "mutex: a guard that is assigned to gives back what it held") {
    mutex one;
    mutex two;
    run([&]() -> task<> {
        auto held = co_await one.lock();
        held = co_await two.lock();
        CHECK_FALSE(one.locked());
        CHECK(two.locked());
        held = guard<mutex>();
        CHECK_FALSE(two.locked());
    });
}

TEST_CASE_FIXTURE(test_loop, "mutex: a cancelled waiter leaves the line") {
    test::check_cancelled_waiters_leave<mutex>(*this);
}

TEST_CASE_FIXTURE(test_loop, "mutex: one to whom it was handed and who is cancelled then, has it") {
    mutex door;
    std::vector<int> order;
    auto notices = [&]() -> task<> {
        auto guard = co_await door.lock();
        order.push_back(1);
        CHECK_THROWS_AS(co_await yield_now(), cancelled);
        throw cancelled();
    };
    run([&]() -> task<> {
        auto held = co_await door.lock();
        auto waiting = spawn(notices);
        spawn(pass_through(door, 2, order));
        co_await yield_now();
        held.unlock();
        waiting.cancel();
        co_await yield_now();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "mutex: an unlock to one who was cancelled before it goes to the next") {
    test::check_unlock_after_cancel_goes_to_the_next<mutex>(*this);
}

TEST_CASE_FIXTURE(test_loop,
                  "mutex: an unlock in the turn in which time runs out; who is first decides") {
    mutex door;
    run([&]() -> task<> {
        const time_point at = now() + 1s;
        // Armed before the timeout's own timer, so its task runs before the waiter does; the
        // waiter was cut when the timers fired, and is not in line any more.
        auto unlocks = [&]() -> task<> {
            auto held = co_await door.lock();
            co_await sleep_until(at);
        };
        auto holder = spawn(unlocks);
        co_await yield_now();
        CHECK_THROWS_AS((void)co_await timeout_at(at, door.lock()), timeout_error);
        CHECK(holder.done());
        CHECK_FALSE(door.locked());

        // One leg earlier it has been handed over before the deadline comes: completion wins.
        auto in_time = [&]() -> task<> {
            auto held = co_await door.lock();
            co_await sleep_until(at + 1s - 1ns);
        };
        spawn(in_time);
        co_await yield_now();
        auto guard = co_await timeout_at(at + 1s, door.lock());
        CHECK(guard);
        CHECK(door.locked());
    });
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(test_loop, "mutex: handed over and timed out in one turn, it is not lost") {
    mutex door;
    std::vector<int> order;
    run([&]() -> task<> {
        auto held = co_await door.lock();
        cancel_scope scope;
        auto waits = [&]() -> task<> {
            auto guard = co_await door.lock();
            order.push_back(1);
        };
        auto limited = [&]() -> task<> {
            const bool ended = co_await scope.run(waits());
            order.push_back(ended ? 2 : 3);
        };
        auto waiting = spawn(limited);
        co_await yield_now();
        held.unlock();
        scope.cancel();
        co_await waiting;
        CHECK_FALSE(door.locked());
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE_FIXTURE(test_loop, "mutex: a timeout gives an error code through nothrow, else a guard") {
    mutex door;
    run([&]() -> task<> {
        auto held = co_await door.lock();
        auto late = co_await nothrow(timeout(1s, door.lock()));
        CHECK(late.error() == errc::timed_out);
        held.unlock();
        auto in_time = co_await nothrow(timeout(1s, door.lock()));
        CHECK(in_time.has_value());
        CHECK(*in_time);
        CHECK(door.locked());
    });
    CHECK_FALSE(door.locked());
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "mutex: a race gives a guard, and what a loser got goes back") {
    mutex one;
    mutex two;
    run([&]() -> task<> {
        auto held = co_await one.lock();
        spawn(hold_for(two, 1s));
        co_await yield_now();
        {
            auto first = co_await race(one.lock(), two.lock());
            CHECK(first.index == 1);
            CHECK(two.locked());
        }
        held.unlock();
        CHECK_FALSE(one.locked());
        {
            auto both = co_await race(one.lock(), two.lock());
            CHECK(both.index == 0);
            CHECK(one.locked());
            CHECK_FALSE(two.locked());
        }
        auto all = co_await gather(one.lock(), two.lock());
        CHECK(std::get<0>(all));
        CHECK(std::get<1>(all));
    });
    CHECK_FALSE(one.locked());
    CHECK_FALSE(two.locked());
}

TEST_CASE_FIXTURE(test_loop, "mutex: a woken task may lock it again, behind the others") {
    mutex door;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        {
            auto guard = co_await door.lock();
            order.push_back(1);
        }
        auto guard = co_await door.lock();
        order.push_back(3);
    };
    test::check_a_woken_task_waits_again(*this, door, order, twice);
}

TEST_CASE_FIXTURE(test_loop, "mutex: many free locks in a row let the others run") {
    mutex door;
    auto locks = [&]() -> task<> {
        for (int i = 0; i < 10'000; ++i) {
            auto guard = co_await door.lock();
        }
    };
    CHECK(test::others_run_beside(*this, locks));
}

TEST_CASE_FIXTURE(test_loop, "mutex: inside a cancelled scope it is not taken, free or not") {
    mutex door;
    run([&]() -> task<> {
        cancel_scope scope;
        auto tries = [&]() -> task<> {
            scope.cancel();
            auto guard = co_await door.lock();
        };
        const bool finished = co_await scope.run(tries());
        CHECK_FALSE(finished);
    });
    CHECK_FALSE(door.locked());
}

TEST_CASE("mutex: one that dies under its holder or its waiters stops with the rule") {
    CHECK(stops_with("a mutex must outlive those who hold it or wait for it",
                     test::destroy_while_held_and_waited_for<mutex>));
}

TEST_CASE("mutex: an unlock by one who does not hold it stops with the rule") {
    CHECK(stops_with("a guard that holds nothing cannot unlock", [] {
        mutex door;
        auto held = door.try_lock();
        held.unlock();
        held.unlock();
    }));
}

}  // namespace

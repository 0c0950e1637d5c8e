#include <lariat/sync/condition.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/sync/mutex.hpp>
#include <lariat/sync/recursive_mutex.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
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
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> wait_once(condition& changed, mutex& lock, int mark, std::vector<int>& order) {
    auto guard = co_await lock.lock();
    co_await changed.wait(guard);
    CHECK(lock.locked());
    order.push_back(mark);
}

TEST_CASE_FIXTURE(test_loop, "condition: notify wakes those who have waited longest") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) spawn(wait_once(changed, lock, i, order));
        co_await yield_now();
        changed.notify();
        co_await sleep(1ms);
        CHECK(order == std::vector{0});
        changed.notify(2);
        co_await sleep(1ms);
        CHECK(order == std::vector{0, 1, 2});
        changed.notify_all();
        co_await sleep(1ms);
        changed.notify_all();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: the lock is free while one waits, and held when it returns") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        auto waiting = spawn(wait_once(changed, lock, 1, order));
        co_await yield_now();
        {
            auto guard = co_await lock.lock();
            changed.notify();
            co_await sleep(1s);
            CHECK(order.empty());
            order.push_back(0);
        }
        co_await waiting;
    });
    CHECK(order == std::vector{0, 1});
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: the notified stand in the lock's line, no newcomer before them") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    auto enters = [&]() -> task<> {
        auto guard = co_await lock.lock();
        order.push_back(3);
    };
    run([&]() -> task<> {
        spawn(wait_once(changed, lock, 1, order));
        spawn(wait_once(changed, lock, 2, order));
        co_await yield_now();
        auto guard = co_await lock.lock();
        changed.notify_all();
        spawn(enters);
        co_await yield_now();
        guard.unlock();
        auto last = co_await lock.lock();
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: with a predicate it returns when that holds, and not before") {
    condition changed;
    mutex lock;
    int value = 0;
    int asked = 0;
    auto waits = [&]() -> task<> {
        auto guard = co_await lock.lock();
        co_await changed.wait(guard, [&] {
            ++asked;
            CHECK(lock.locked());
            return value >= 3;
        });
        CHECK(value == 3);
    };
    run([&]() -> task<> {
        auto waiting = spawn(waits);
        for (int i = 0; i < 3; ++i) {
            co_await sleep(1ms);
            auto guard = co_await lock.lock();
            ++value;
            changed.notify();
        }
        co_await waiting;
        CHECK(asked == 4);
        co_await waits();
        CHECK(asked == 5);
    });
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop, "condition: what a predicate throws is thrown, under the lock") {
    condition changed;
    mutex lock;
    auto refuses = []() -> bool { throw std::runtime_error("no"); };
    run([&]() -> task<> {
        auto guard = co_await lock.lock();
        CHECK_THROWS_AS(co_await changed.wait(guard, refuses), std::runtime_error);
        CHECK(guard);
        CHECK(lock.locked());
    });
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: re-acquiring under cancel; it holds the lock when it throws") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    auto waits = [&]() -> task<> {
        auto guard = co_await lock.lock();
        try {
            co_await changed.wait(guard);
        } catch (const cancelled&) {
            CHECK(guard);
            CHECK(lock.locked());
            order.push_back(2);
            throw;
        }
    };
    run([&]() -> task<> {
        auto waiting = spawn(waits);
        co_await yield_now();
        {
            auto guard = co_await lock.lock();
            waiting.cancel();
            co_await sleep(1s);
            CHECK_FALSE(waiting.done());
            order.push_back(1);
        }
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_cancelled());
        CHECK_FALSE(lock.locked());
    });
    CHECK(order == std::vector{1, 2});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: a second cancel while it takes the lock again changes nothing") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    cancel_scope inner;
    cancel_scope outer;
    auto waits = [&]() -> task<> {
        auto guard = co_await lock.lock();
        co_await changed.wait(guard);
        order.push_back(1);
    };
    auto limited = [&]() -> task<> {
        const bool ended = co_await inner.run(waits());
        order.push_back(ended ? 2 : 3);
    };
    auto limited_again = [&]() -> task<> {
        const bool ended = co_await outer.run(limited());
        order.push_back(ended ? 4 : 5);
    };
    run([&]() -> task<> {
        auto waiting = spawn(limited_again);
        co_await yield_now();
        auto guard = co_await lock.lock();
        inner.cancel();
        co_await yield_now();
        outer.cancel();
        co_await sleep(1ms);
        CHECK(order.empty());
        guard.unlock();
        co_await waiting;
    });
    CHECK(order == std::vector{5});
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: a notify of the turn of a cancel is not lost, either way round") {
    condition changed;
    mutex lock;
    for (const bool notified_first : {false, true}) {
        std::vector<int> order;
        run([&]() -> task<> {
            auto first = spawn(wait_once(changed, lock, 1, order));
            auto second = spawn(wait_once(changed, lock, 2, order));
            co_await yield_now();
            if (notified_first) changed.notify();
            first.cancel();
            if (!notified_first) changed.notify();
            co_await sleep(1ms);
            CHECK(first.done());
            CHECK(second.done() != notified_first);
            changed.notify_all();
            co_await sleep(1ms);
        });
        // One who was notified before returns, and its next await throws; else the next one does.
        CHECK(order == (notified_first ? std::vector{1, 2} : std::vector{2}));
        CHECK_FALSE(lock.locked());
    }
}

TEST_CASE_FIXTURE(
    test_loop, "condition: one who was notified and cancelled while in the lock's line, returns") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    auto waits = [&]() -> task<> {
        co_await wait_once(changed, lock, 1, order);
        CHECK_THROWS_AS(co_await yield_now(), cancelled);
    };
    run([&]() -> task<> {
        auto waiting = spawn(waits);
        co_await yield_now();
        auto guard = co_await lock.lock();
        changed.notify();
        co_await yield_now();
        waiting.cancel();
        guard.unlock();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
    });
    CHECK(order == std::vector{1});
}

TEST_CASE_FIXTURE(test_loop, "condition: a timeout takes the lock again before it throws") {
    condition changed;
    mutex lock;
    run([&]() -> task<> {
        auto guard = co_await lock.lock();
        CHECK_THROWS_AS(co_await timeout(1s, changed.wait(guard)), timeout_error);
        CHECK(lock.locked());
        const auto late = co_await nothrow(timeout(1s, changed.wait(guard)));
        CHECK(late.error() == errc::timed_out);
        CHECK(lock.locked());
        auto never = [] { return false; };
        CHECK_THROWS_AS(co_await timeout(1s, changed.wait(guard, never)), timeout_error);
        CHECK(lock.locked());
        auto first = co_await race(changed.wait(guard), sleep(1s));
        CHECK(first.index == 1);
        CHECK(guard);
        guard.unlock();
        CHECK_FALSE(lock.locked());
    });
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop, "condition: inside a cancelled scope it throws with the lock held") {
    condition changed;
    mutex lock;
    run([&]() -> task<> {
        cancel_scope scope;
        auto guard = co_await lock.lock();
        scope.cancel();
        const bool ended = co_await scope.run(changed.wait(guard));
        CHECK_FALSE(ended);
        CHECK(lock.locked());
        changed.notify_all();
    });
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(test_loop,
                  "condition: a recursive_mutex is given up whole, and held as often again") {
    condition changed;
    recursive_mutex lock;
    std::vector<int> order;
    auto waits = [&]() -> task<> {
        auto outer = co_await lock.lock();
        auto inner = co_await lock.lock();
        co_await changed.wait(inner);
        order.push_back(2);
        inner.unlock();
        co_await sleep(1s);
        order.push_back(3);
    };
    auto enters = [&](int mark) -> task<> {
        auto guard = co_await lock.lock();
        order.push_back(mark);
        changed.notify();
    };
    run([&]() -> task<> {
        auto waiting = spawn(waits);
        co_await yield_now();
        co_await enters(1);
        co_await yield_now();
        co_await enters(4);
        CHECK(waiting.done());
        auto late = [&]() -> task<> {
            auto outer = co_await lock.lock();
            auto inner = co_await lock.lock();
            CHECK_THROWS_AS(co_await timeout(1s, changed.wait(inner)), timeout_error);
            inner.unlock();
            CHECK(lock.locked());
            outer.unlock();
            CHECK_FALSE(lock.locked());
        };
        co_await late();
    });
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "condition: a woken task may wait again, and notify from inside") {
    condition changed;
    mutex lock;
    std::vector<int> order;
    auto twice = [&](int mark) -> task<> {
        auto guard = co_await lock.lock();
        co_await changed.wait(guard);
        order.push_back(mark);
        changed.notify();
        co_await changed.wait(guard);
        order.push_back(mark);
        changed.notify();
    };
    run([&]() -> task<> {
        auto one = spawn(twice, 1);
        auto two = spawn(twice, 2);
        co_await yield_now();
        changed.notify();
        co_await gather(std::move(one), std::move(two));
    });
    CHECK(order == std::vector{1, 2, 1, 2});
}

TEST_CASE_FIXTURE(test_loop, "condition: a notify that nobody waits for is not kept") {
    condition changed;
    mutex lock;
    run([&]() -> task<> {
        changed.notify(5);
        auto guard = co_await lock.lock();
        CHECK_THROWS_AS(co_await timeout(1s, changed.wait(guard)), timeout_error);
    });
}

TEST_CASE("condition: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<condition> changed(std::in_place);
        mutex lock;
        std::vector<int> order;
        test_loop loop;
        loop.run([&]() -> task<> {
            spawn(wait_once(*changed, lock, 1, order));
            co_await yield_now();
            changed.reset();
        });
    }));
}

TEST_CASE_FIXTURE(test_loop, "condition: while it waits its guard is empty") {
    mutex lock;
    condition changed;
    run([&]() -> task<> {
        guard<mutex> mine;
        auto waits = [&]() -> task<> {
            mine = co_await lock.lock();
            co_await changed.wait(mine);
            CHECK(static_cast<bool>(mine));
            mine.unlock();
        };
        auto waiting = spawn(waits);
        co_await yield_now();
        CHECK_FALSE(static_cast<bool>(mine));
        {
            auto other = co_await lock.lock();
            changed.notify();
        }
        co_await waiting;
        CHECK_FALSE(lock.locked());
        auto again = spawn(waits);
        co_await yield_now();
        again.cancel();
        co_await yield_now();
        CHECK(again.done());
        CHECK(static_cast<bool>(mine));
        mine.unlock();
    });
}

TEST_CASE("condition: an unlock through the guard of one who waits stops with the rule") {
    CHECK(stops_with("a guard that holds nothing cannot unlock", [] {
        mutex lock;
        condition changed;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto mine = co_await lock.lock();
            auto waits = [&]() -> task<> { co_await changed.wait(mine); };
            auto waiting = spawn(waits);
            co_await yield_now();
            auto other = co_await lock.lock();
            mine.unlock();
        });
    }));
}

TEST_CASE("condition: two who wait with one guard stop with the rule") {
    CHECK(stops_with("or another task waits with it", [] {
        mutex lock;
        condition changed;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto mine = co_await lock.lock();
            auto waits = [&]() -> task<> { co_await changed.wait(mine); };
            auto first = spawn(waits);
            auto second = spawn(waits);
            co_await yield_now();
        });
    }));
}

TEST_CASE("condition: a wait with another task's recursive_mutex stops with the rule") {
    CHECK(stops_with("given up to a condition by the task that took it", [] {
        recursive_mutex lock;
        condition changed;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto mine = co_await lock.lock();
            auto waits = [&]() -> task<> { co_await changed.wait(mine); };
            co_await spawn(waits);
        });
    }));
}

TEST_CASE("condition: a wait with a guard that holds nothing stops with the rule") {
    CHECK(stops_with("a condition is waited for under a lock", [] {
        condition changed;
        test_loop loop;
        loop.run([&]() -> task<> {
            guard<mutex> nothing;
            co_await changed.wait(nothing);
        });
    }));
}

}  // namespace

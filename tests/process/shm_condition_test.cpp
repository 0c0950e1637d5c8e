#include <lariat/process/shm/condition.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/shm/recursive_mutex.hpp>
#include <lariat/process/shm/value.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;
using lariat::test::until;

static_assert(transferable<shm::condition>);

task<> wait_once(shm::condition changed, shm::mutex lock, int mark, std::vector<int>& order) {
    auto guard = co_await lock.lock();
    co_await changed.wait(guard);
    CHECK(lock.locked());
    order.push_back(mark);
}

/// Takes what others put, one at a time.
task<> consume(shm::condition changed, shm::mutex lock, shm::value<int> items, int count) {
    for (int i = 0; i < count; ++i) {
        auto guard = co_await lock.lock();
        co_await changed.wait(guard, [&] { return items.get() > 0; });
        items.set(items.get() - 1);
    }
}
void consume_blocking(shm::condition changed, shm::mutex lock, shm::value<int> items, int count) {
    for (int i = 0; i < count; ++i) {
        auto guard = lock.lock_blocking();
        changed.wait_blocking(guard, [&] { return items.get() > 0; });
        items.set(items.get() - 1);
    }
}

/// Takes one, whoever dies meanwhile.
void consume_repairing(shm::condition changed, shm::mutex lock, shm::value<int> items) {
    for (;;) {
        try {
            auto guard = lock.lock_to_repair_blocking();
            if (guard.owner_died()) guard.make_consistent();
            changed.wait_blocking(guard, [&] { return items.get() > 0; });
            items.set(items.get() - 1);
            return;
        } catch (const owner_died&) {
            continue;  // while it took the lock again
        }
    }
}

TEST_CASE_FIXTURE(family_check, "shm::condition: notify wakes those who have waited longest") {
    const shm::condition changed;
    const shm::mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        std::vector<join_handle<>> all;
        for (int i = 0; i < 20; ++i) all.push_back(spawn(wait_once(changed, lock, i, order)));
        co_await sleep(1ms);
        changed.notify();
        co_await until([&] { return !order.empty(); });
        for (int i = 0; i < 5; ++i) co_await yield_now();
        CHECK(order == std::vector{0});
        changed.notify(2);
        co_await until([&] { return order.size() >= 3; });
        CHECK(order[1] + order[2] == 3);
        changed.notify_all();
        for (auto& each : all) co_await timeout(10s, std::move(each));
        changed.notify_all();
    }());
    CHECK(order.size() == 20);
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::condition: the lock is free meanwhile, and held afterwards") {
    const shm::condition changed;
    const shm::mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        auto waiting = spawn(wait_once(changed, lock, 1, order));
        co_await yield_now();
        {
            auto guard = co_await lock.lock();
            changed.notify();
            co_await sleep(5ms);
            CHECK(order.empty());
            order.push_back(0);
        }
        co_await waiting;
    }());
    CHECK(order == std::vector{0, 1});
}

TEST_CASE_FIXTURE(family_check, "shm::condition: no item is left lying among processes") {
    const shm::condition changed;
    const shm::mutex lock;
    const shm::value<int> items(0);
    constexpr int each = 400;
    std::vector<process> others;
    others.push_back(process::start(consume, changed, lock, items, each));
    others.push_back(process::start(consume, changed, lock, items, each));
    others.push_back(process::start(consume_blocking, changed, lock, items, each));
    std::thread here([&] { consume_blocking(changed, lock, items, each); });
    run([&]() -> task<> {
        auto produce = [&]() -> task<> {
            for (int i = 0; i < 5 * each; ++i) {
                auto guard = co_await lock.lock();
                items.set(items.get() + 1);
                changed.notify();
            }
        };
        co_await timeout(30s, gather(consume(changed, lock, items, each), produce()));
        for (process& other : others) {
            const process_status ended = co_await timeout(30s, other.join());
            CHECK(ended.exit_code() == 0);
        }
    }());
    here.join();
    CHECK(items.get() == 0);
}

TEST_CASE_FIXTURE(family_check,
                  "shm::condition: what a predicate throws is thrown under the lock") {
    const shm::condition changed;
    const shm::mutex lock;
    run([&]() -> task<> {
        auto refuses = []() -> bool { throw std::runtime_error("no"); };
        auto guard = co_await lock.lock();
        CHECK_THROWS_AS(co_await changed.wait(guard, refuses), std::runtime_error);
        CHECK(guard);
        CHECK(lock.locked());
    }());
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::condition: cancelled, it takes the lock again, then throws") {
    const shm::condition changed;
    const shm::mutex lock;
    run([&]() -> task<> {
        bool held_in_the_end = false;
        auto waits = [&]() -> task<> {
            auto guard = co_await lock.lock();
            struct look {
                shm::mutex::guard& guard;
                const shm::mutex& lock;
                bool& held;
                ~look() { held = static_cast<bool>(guard) && lock.locked(); }
            };
            const look at_the_end{guard, lock, held_in_the_end};
            co_await changed.wait(guard);
        };
        auto waiting = spawn(waits());
        co_await yield_now();
        auto mine = co_await lock.lock();
        waiting.cancel();
        for (int i = 0; i < 3; ++i) co_await yield_now();
        CHECK_FALSE(held_in_the_end);
        mine.unlock();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_cancelled());
        CHECK(held_in_the_end);
        CHECK_FALSE(lock.locked());
        auto guard = co_await lock.lock();
        const auto late = co_await nothrow(timeout(1ms, changed.wait(guard)));
        CHECK(late.error() == errc::timed_out);
        CHECK(guard);
        CHECK(lock.locked());
    }());
}

TEST_CASE_FIXTURE(family_check, "shm::condition: a notify is not spent on one who was cancelled") {
    const shm::condition changed;
    const shm::mutex lock;
    for (int round = 0; round < 50; ++round) {
        std::vector<int> order;
        run([&]() -> task<> {
            auto first = spawn(wait_once(changed, lock, 1, order));
            auto second = spawn(wait_once(changed, lock, 2, order));
            co_await sleep(1ms);  // they lie down meanwhile, also in the kernel
            const bool notified_first = round % 2 == 0;
            if (notified_first) changed.notify();
            first.cancel();
            const auto ended = co_await settled(std::move(first));
            CHECK(ended.is_value() == notified_first);
            changed.notify();
            co_await timeout(10s, std::move(second));
        }());
        CHECK(order.back() == 2);
    }
}

TEST_CASE_FIXTURE(family_check, "shm::condition: a recursive_mutex is given up whole") {
    const shm::condition changed;
    const shm::recursive_mutex door;
    run([&]() -> task<> {
        auto waits = [&]() -> task<> {
            auto outer = co_await door.lock();
            auto inner = co_await door.lock();
            co_await changed.wait(inner);
            inner.unlock();
            CHECK(door.locked());
            outer.unlock();
        };
        auto waiting = spawn(waits());
        co_await yield_now();
        {
            auto mine = co_await timeout(10s, door.lock());
            changed.notify();
        }
        co_await timeout(10s, std::move(waiting));
        CHECK_FALSE(door.locked());
    }());
    auto outer = door.lock_blocking();
    auto inner = door.lock_blocking();
    CHECK_FALSE(changed.wait_blocking(inner, 1ms));
    inner.unlock();
    CHECK(door.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::condition: a thread's time ends under the lock") {
    const shm::condition changed;
    const shm::mutex lock;
    auto guard = lock.lock_blocking();
    CHECK_FALSE(changed.wait_blocking(guard, 1ms));
    CHECK(guard);
    CHECK_FALSE(changed.wait_blocking(guard, 1ms, [] { return false; }));
    CHECK(changed.wait_blocking(guard, 0ns, [] { return true; }));
    std::thread other([&] {
        auto mine = lock.lock_blocking();
        changed.notify();
    });
    CHECK(changed.wait_blocking(guard, 10s));
    other.join();
    CHECK(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::condition: the lock's holder dead, the guard is empty") {
    const shm::condition changed;
    const shm::mutex lock;
    run([&]() -> task<> {
        auto guard = co_await lock.lock();
        process killer = process::start(
            [](shm::mutex shared, shm::condition notified) {
                auto mine = shared.lock_blocking();
                notified.notify_all();
                (void)::raise(SIGKILL);
            },
            lock, changed);
        CHECK_THROWS_AS(co_await timeout(10s, changed.wait(guard)), owner_died);
        CHECK_FALSE(guard);
        (void)co_await killer.join();
    }());
    CHECK_THROWS_AS((void)lock.try_lock(), owner_died);
}

TEST_CASE("shm::condition: whoever is killed, at any step, takes no notify with him") {
    const family_check check;
    const shm::condition changed;
    const shm::mutex lock;
    const shm::value<int> items(0);
    const auto mend = [&] {
        auto held = lock.lock_to_repair_blocking();
        if (held.owner_died()) held.make_consistent();
    };
    int killed = 0;
    SUBCASE("who waits") {
        killed = test::kill_at_every_step(
            [&](int step) {
                process victim = process::start(
                    [](int last, shm::condition what, shm::mutex under) -> task<> {
                        test::die_at(last);
                        auto guard = co_await under.lock_to_repair();
                        (void)co_await nothrow(timeout(20ms, what.wait(guard)));
                    },
                    step, changed, lock);
                process other = process::start(consume_repairing, changed, lock, items);
                {
                    auto held = lock.lock_to_repair_blocking();
                    items.set(1);
                    changed.notify();
                }
                CHECK(other.join_blocking(10s).has_value());
                return victim;
            },
            mend);
    }
    SUBCASE("who notifies") {
        killed = test::kill_at_every_step(
            [&](int step) {
                process other = process::start(consume_repairing, changed, lock, items);
                process victim = process::start(
                    [](int last, shm::condition what, shm::mutex under, shm::value<int> count) {
                        auto guard = under.lock_to_repair_blocking();
                        count.set(1);
                        guard.unlock();
                        test::die_at(last);
                        what.notify();
                    },
                    step, changed, lock, items);
                CHECK(other.join_blocking(10s).has_value());
                return victim;
            },
            mend);
    }
    CHECK(killed >= 1);
}

}  // namespace

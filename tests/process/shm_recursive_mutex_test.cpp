#include <lariat/process/shm/recursive_mutex.hpp>

#include "killed.hpp"
#include "program.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/value.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;

static_assert(transferable<shm::recursive_mutex>);

/// Takes it once more at every level, down and up again.
task<> descend(shm::recursive_mutex door, int depth, std::vector<int>& order) {
    auto level = co_await door.lock();
    co_await yield_now();
    if (depth > 0) co_await descend(door, depth - 1, order);
    order.push_back(depth);
}
task<> add_twice_locked(shm::recursive_mutex door, shm::value<int> sum, int times) {
    for (int i = 0; i < times; ++i) {
        auto outer = co_await door.lock();
        auto inner = co_await door.lock();
        const int before = sum.get();
        if (i % 64 == 0) co_await yield_now();
        sum.set(before + 1);
    }
}
void add_twice_locked_blocking(shm::recursive_mutex door, shm::value<int> sum, int times) {
    for (int i = 0; i < times; ++i) {
        auto outer = door.lock_blocking();
        auto inner = door.lock_blocking();
        sum.set(sum.get() + 1);
    }
}

TEST_CASE_FIXTURE(family_check,
                  "shm::recursive_mutex: its holder takes it again, in the tasks it awaits too") {
    const shm::recursive_mutex door;
    std::vector<int> order;
    run([&]() -> task<> {
        auto other = [&]() -> task<> {
            co_await yield_now();
            auto inside = co_await door.lock();
            order.push_back(9);
        };
        co_await gather(descend(door, 3, order), other());
    }());
    CHECK(order == std::vector{0, 1, 2, 3, 9});
    CHECK_FALSE(door.locked());
}

TEST_CASE_FIXTURE(family_check,
                  "shm::recursive_mutex: it is free when released as often as taken") {
    const shm::recursive_mutex door;
    run([&]() -> task<> {
        auto first = co_await door.lock();
        auto second = door.try_lock();
        CHECK(second);
        first.unlock();
        CHECK(door.locked());
        bool elsewhere = true;
        auto tries = [&]() -> task<> {
            elsewhere = static_cast<bool>(door.try_lock());
            co_return;
        };
        co_await spawn(tries());
        CHECK_FALSE(elsewhere);
        second.unlock();
        CHECK_FALSE(door.locked());
    }());
}

TEST_CASE_FIXTURE(family_check, "shm::recursive_mutex: a thread is a holder, too; another waits") {
    const shm::recursive_mutex door;
    auto first = door.lock_blocking();
    auto second = door.lock_blocking(0ns);
    CHECK(second);
    std::thread([&] {
        CHECK_FALSE(door.try_lock());
        CHECK_FALSE(door.lock_blocking(1ms));
    }).join();
    second.unlock();
    first.unlock();
    std::thread([&] { CHECK(door.try_lock()); }).join();
}

TEST_CASE_FIXTURE(family_check, "shm::recursive_mutex: one at a time among processes") {
    const shm::recursive_mutex door;
    const shm::value<int> sum(0);
    constexpr int times = 1'000;
    std::vector<process> others;
    others.push_back(process::start(add_twice_locked, door, sum, times));
    others.push_back(process::start(add_twice_locked_blocking, door, sum, times));
    std::thread here([&] { add_twice_locked_blocking(door, sum, times); });
    run([&]() -> task<> {
        co_await gather(add_twice_locked(door, sum, times), add_twice_locked(door, sum, times));
        for (process& each : others) {
            const process_status ended = co_await each.join();
            CHECK(ended.exit_code() == 0);
        }
    }());
    here.join();
    CHECK(sum.get() == 5 * times);
}

TEST_CASE_FIXTURE(family_check, "shm::recursive_mutex: a cancelled waiter does not get it") {
    const shm::recursive_mutex door;
    run([&]() -> task<> {
        std::vector<int> order;
        auto held = co_await door.lock();
        auto first = spawn(descend(door, 0, order));
        auto second = spawn(descend(door, 1, order));
        co_await yield_now();
        first.cancel();
        const auto ended = co_await settled(std::move(first));
        CHECK(ended.is_cancelled());
        const auto again = co_await timeout(1ms, door.lock());
        CHECK(again);
        held.unlock();
        CHECK(order.empty());
    }());
    CHECK_FALSE(door.locked());
}

TEST_CASE("shm::recursive_mutex: killed at any step, a process leaves it marked or free") {
    const family_check check;
    const shm::recursive_mutex door;
    int died = 0;
    const int killed = test::kill_at_every_step(
        [&](int step) {
            return process::start(
                [](int last, shm::recursive_mutex shared) -> task<> {
                    test::die_at(last);
                    auto outer = co_await shared.lock();
                    auto inner = co_await shared.lock();
                    inner.unlock();
                    outer.unlock();
                },
                step, door);
        },
        [&] {
            try {
                auto outer = door.lock_blocking();
                auto inner = door.lock_blocking();
            } catch (const owner_died& report) {
                ++died;
                CHECK(report.pid() > 0);
                auto held = door.lock_to_repair_blocking();
                auto again = door.lock_to_repair_blocking();
                CHECK(held.owner_died());
                again.make_consistent();
            }
        });
    CHECK(killed >= 3);
    CHECK(died >= 2);
    CHECK_FALSE(door.locked());
}

const test::role given_away("recursive-mutex-given-away", [] {
    run([]() -> task<> {
        const shm::recursive_mutex door;
        auto held = co_await door.lock();
        auto takes = [](shm::recursive_mutex::guard from) -> task<> {
            from.unlock();
            co_return;
        };
        co_await spawn(takes(std::move(held)));
    }());
    return 0;
});

TEST_CASE("shm::recursive_mutex: released by another task it stops the program") {
    test::program broken("recursive-mutex-given-away");
    const std::string words = broken.rest();
    CHECK(words.find("a recursive_mutex is released by the task that took it") !=
          std::string::npos);
    CHECK(broken.wait() == -SIGABRT);
}

}  // namespace

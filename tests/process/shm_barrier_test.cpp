#include <lariat/process/shm/barrier.hpp>

#include "killed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
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
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <sched.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::die_at;
using lariat::test::family_check;
using lariat::test::kill_at_every_step;
using lariat::test::until;

static_assert(transferable<shm::barrier>);

task<> come(shm::barrier all, std::vector<std::size_t>& places) {
    const std::size_t place = co_await all.wait();
    places.push_back(place);
}

// What children run.
void come_often(shm::barrier all, int times) {
    for (int i = 0; i < times; ++i) (void)all.wait_blocking();
}
void come_once(shm::barrier all, int step) {
    die_at(step);
    (void)all.wait_blocking();
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: all wait for the last, and have a number each") {
    shm::barrier all(3);
    std::vector<std::size_t> places;
    run([&]() -> task<> {
        for (int round = 0; round < 3; ++round) {
            places.clear();
            auto first = spawn(come(all, places));
            auto second = spawn(come(all, places));
            co_await yield_now();
            CHECK(all.waiting() == 2);
            CHECK(places.empty());
            const std::size_t last = co_await all.wait();
            CHECK(last == 2);
            co_await first;
            co_await second;
            std::ranges::sort(places);
            CHECK(places == std::vector<std::size_t>{0, 1});
        }
    }());
    CHECK(all.waiting() == 0);
    CHECK(all.parties() == 3);
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: one who is cancelled leaves, and another may come") {
    shm::barrier all(2);
    std::vector<std::size_t> places;
    run([&]() -> task<> {
        auto leaves = spawn(come(all, places));
        co_await yield_now();
        leaves.cancel();
        const auto ended = co_await settled(std::move(leaves));
        CHECK(ended.is_cancelled());
        CHECK(all.waiting() == 0);
        const auto late = co_await nothrow(timeout(2ms, all.wait()));
        CHECK(late.error() == errc::timed_out);
        auto stays = spawn(come(all, places));
        co_await yield_now();
        const std::size_t last = co_await all.wait();
        CHECK(last == 1);
        co_await stays;
    }());
    CHECK(places == std::vector<std::size_t>{0});
    CHECK_FALSE(all.wait_blocking(2ms));
    CHECK(all.waiting() == 0);
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: cancelled after the last has come, it has come") {
    shm::barrier all(2);
    std::vector<std::size_t> places;
    run([&]() -> task<> {
        auto first = spawn(come(all, places));
        for (int i = 0; i < 3; ++i) co_await yield_now();
        const std::size_t last = co_await all.wait();
        CHECK(last == 1);
        first.cancel();
        co_await settled(std::move(first));
    }());
    CHECK(places == std::vector<std::size_t>{0});
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: abort breaks it until reset") {
    shm::barrier all(2);
    std::vector<std::size_t> places;
    run([&]() -> task<> {
        auto waits = spawn(come(all, places));
        co_await yield_now();
        all.abort();
        auto ended = co_await settled(std::move(waits));
        CHECK_THROWS_AS(std::move(ended).value(), broken_barrier);
        CHECK(all.broken());
        const auto refused = co_await nothrow(all.wait());
        CHECK(refused.error() == errc::broken_barrier);
        all.reset();
        CHECK_FALSE(all.broken());
        auto again = spawn(come(all, places));
        co_await yield_now();
        all.reset();
        auto broken = co_await settled(std::move(again));
        CHECK_THROWS_AS(std::move(broken).value(), broken_barrier);
        co_await gather(come(all, places), come(all, places));
    }());
    CHECK(places.size() == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: processes go from round to round together") {
    shm::barrier all(4);
    std::vector<process> others;
    for (int i = 0; i < 3; ++i) others.push_back(process::start(come_often, all, 300));
    run([&]() -> task<> {
        for (int i = 0; i < 300; ++i) {
            const std::size_t place = co_await all.wait();
            CHECK(place < 4);
        }
        for (auto& each : others) {
            const process_status ended = co_await each.join();
            CHECK(ended.exit_code() == 0);
        }
    }());
}

TEST_CASE_FIXTURE(family_check,
                  "shm::barrier: one killed while it waits breaks it for the others") {
    shm::barrier all(3);
    std::optional<bool> broke;
    std::jthread waits([&] {
        try {
            (void)all.wait_blocking();
            broke = false;
        } catch (const broken_barrier&) {
            broke = true;
        }
    });
    process victim = process::start(come_often, all, 1);
    while (all.waiting() != 2) ::sched_yield();
    victim.kill();
    waits.join();
    CHECK(broke == true);
    (void)victim.join_blocking();
    CHECK(all.broken());
    CHECK_THROWS_AS((void)all.wait_blocking(), broken_barrier);
    all.reset();
    CHECK_FALSE(all.wait_blocking(0ms));
}

TEST_CASE_FIXTURE(family_check, "shm::barrier: killed at any step, nobody hangs") {
    shm::barrier all(2);
    const int killed = kill_at_every_step(
        [&](int step) {
            process victim = process::start(come_once, all, step);
            time_point end = clock::now() + 10s;
            bool over = false;
            while (!over && clock::now() < end) {
                try {
                    over = all.wait_blocking(1ms).has_value() || !victim.is_alive();
                } catch (const broken_barrier&) {
                    over = true;
                }
            }
            CHECK(over);
            return victim;
        },
        [&] {
            all.reset();
            CHECK_FALSE(all.broken());
            CHECK(all.waiting() == 0);
        });
    CHECK(killed > 10);
}

}  // namespace

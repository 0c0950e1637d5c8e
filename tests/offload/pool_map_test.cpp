#include <lariat/offload/pool_map.hpp>

#include "leak_check.hpp"
#include "pool_support.hpp"
#include "waits.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <list>
#include <ranges>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::adds_up;
using lariat::test::barricade;
using lariat::test::leak_check;
using lariat::test::of;

TEST_CASE_FIXTURE(leak_check, "thread_pool: map gives the results in the order of the items") {
    thread_pool pool(3);
    std::vector<int> numbers;
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
    auto text = [](int number) { return std::to_string(number); };
    const auto check = [](const std::vector<std::string>& got) {
        REQUIRE(got.size() == 1000);
        bool right = true;
        for (int i = 0; i < 1000; ++i)
            right = right && got[static_cast<std::size_t>(i)] == std::to_string(i);
        CHECK(right);
    };
    run([&]() -> task<> {
        check(co_await pool.map(numbers, text));
        check(co_await pool.map(std::list<int>(numbers.begin(), numbers.end()), text));
        check(co_await pool.map(std::views::iota(0, 1000), text, 2));
        const auto none = co_await pool.map(std::vector<int>(), text);
        CHECK(none.empty());
        co_await pool.map(numbers, [&](int& number) { number = -number; });
    }());
    CHECK(numbers[999] == -999);
    check(pool.map_blocking(std::views::iota(0, 1000), text));
    CHECK(adds_up(pool.stats()));
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: map has no more items under way than it was told") {
    thread_pool pool(4);
    std::atomic<int> now = 0;
    std::atomic<int> most = 0;
    pool.map_blocking(
        std::views::iota(0, 500),
        [&](int) {
            const int with_me = now.fetch_add(1) + 1;
            int seen = most.load();
            while (seen < with_me && !most.compare_exchange_weak(seen, with_me)) {
            }
            now.fetch_sub(1);
        },
        2);
    CHECK(most.load() <= 2);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a map lets others in between its items") {
    thread_pool pool(1);
    std::binary_semaphore begun(0);
    std::binary_semaphore gate(0);
    std::atomic<int> items = 0;
    int items_before = -1;
    run([&]() -> task<> {
        auto mapping = [&]() -> task<> {
            auto item = [&](int index) {
                if (index == 0) {
                    begun.release();
                    gate.acquire();
                }
                ++items;
            };
            co_await pool.map(std::views::iota(0, 100), item);
        };
        auto handle = spawn(mapping);
        co_await yield_now();
        begun.acquire();
        auto between = co_await pool.submit([&] { items_before = items.load(); });
        gate.release();
        co_await between;
        co_await handle;
    }());
    CHECK(items_before == 1);
    CHECK(items.load() == 100);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: the first failure of a map ends it, and all are told") {
    thread_pool pool(2);
    std::atomic<int> begun = 0;
    std::latch both(2);
    auto item = [&](int index) {
        ++begun;
        if (index < 2) {
            both.arrive_and_wait();
            throw std::runtime_error("item " + std::to_string(index));
        }
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await pool.map(std::views::iota(0, 100), item), error_group);
    }());
    CHECK(begun.load() == 2);
    auto one_fails = [](int index) {
        if (index == 50) throw std::out_of_range("item 50");
    };
    CHECK_THROWS_WITH_AS(pool.map_blocking(std::views::iota(0, 100), one_fails), "item 50",
                         std::out_of_range);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a cancelled map awaits the items that run, no more") {
    thread_pool pool(2);
    std::latch both(2);
    std::counting_semaphore<> gate(0);
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    run([&]() -> task<> {
        auto mapping = [&]() -> task<> {
            auto item = [&](int) {
                ++begun;
                both.count_down();
                gate.acquire();
                ++ended;
            };
            co_await pool.map(std::views::iota(0, 100), item);
        };
        auto handle = spawn(mapping);
        co_await yield_now();
        both.wait();
        handle.cancel();
        co_await test::some_turns();
        CHECK_FALSE(handle.done());
        gate.release(2);
        CHECK_THROWS_AS(co_await handle, task_cancelled);
        CHECK(ended.load() == 2);
    }());
    CHECK(begun.load() == 2);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a map that waits in the queue is cancelled at once") {
    thread_pool pool(1);
    barricade busy(pool, 1);
    run([&]() -> task<> {
        CHECK_THROWS_AS(
            co_await timeout(1ms, pool.map(std::views::iota(0, 10), [](int) { return 1; })),
            timeout_error);
    }());
    CHECK(pool.stats().queued == 0);
    busy.open();
}

}  // namespace

#include <lariat/sync/semaphore.hpp>

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
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

/// Takes `count` permits and keeps them.
task<> take(semaphore& permits, std::size_t count, int mark, std::vector<int>& order) {
    co_await permits.acquire(count);
    order.push_back(mark);
}

TEST_CASE_FIXTURE(test_loop, "semaphore: at most so many are inside") {
    semaphore at_most(5);
    int inside = 0;
    int most = 0;
    auto enters = [&]() -> task<> {
        auto permit = co_await at_most.scoped_acquire();
        most = std::max(most, ++inside);
        co_await sleep(1s);
        --inside;
    };
    run([&]() -> task<> {
        std::vector<task<>> all;
        for (int i = 0; i < 20; ++i) all.push_back(enters());
        co_await gather(std::move(all));
    });
    CHECK(most == 5);
    CHECK(elapsed() == 4s);
    CHECK(at_most.available() == 5);
}

TEST_CASE_FIXTURE(test_loop, "semaphore: first come, first served; permits may be added") {
    semaphore permits(0);
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) spawn(take(permits, 1, i, order));
        co_await yield_now();
        permits.release(3);
        CHECK(order.empty());
        CHECK(permits.available() == 0);
        co_await yield_now();
        CHECK(order == std::vector{0, 1, 2});
        permits.release(4);
        CHECK(permits.available() == 2);
        co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "semaphore: fair under a newcomer, who waits behind the line") {
    semaphore permits(1);
    std::vector<int> order;
    run([&]() -> task<> {
        co_await permits.acquire();
        spawn(take(permits, 1, 1, order));
        co_await yield_now();
        permits.release();
        CHECK(permits.available() == 0);
        CHECK_FALSE(permits.try_acquire());
        auto newcomer = spawn(take(permits, 1, 2, order));
        co_await yield_now();
        CHECK(order == std::vector{1});
        CHECK_FALSE(newcomer.done());
        permits.release();
        co_await newcomer;
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE_FIXTURE(test_loop,
                  "semaphore: who asks for many is not passed by those who ask for few") {
    semaphore permits(2);
    std::vector<int> order;
    run([&]() -> task<> {
        spawn(take(permits, 3, 1, order));
        spawn(take(permits, 1, 2, order));
        co_await yield_now();
        CHECK(order.empty());
        CHECK(permits.available() == 2);
        CHECK_FALSE(permits.try_acquire());
        permits.release();
        co_await yield_now();
        CHECK(order == std::vector{1});
        permits.release();
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
    CHECK(permits.available() == 0);
}

TEST_CASE_FIXTURE(test_loop, "semaphore: when who asked for many leaves, those behind are served") {
    semaphore permits(2);
    std::vector<int> order;
    run([&]() -> task<> {
        auto many = spawn(take(permits, 3, 1, order));
        spawn(take(permits, 1, 2, order));
        spawn(take(permits, 1, 3, order));
        spawn(take(permits, 1, 4, order));
        co_await yield_now();
        many.cancel();
        co_await yield_now();
        CHECK(order == std::vector{2, 3});
        permits.release();
        co_await yield_now();
    });
    CHECK(order == std::vector{2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "semaphore: try_acquire takes what is there, or nothing") {
    semaphore permits(3);
    CHECK_FALSE(permits.try_acquire(4));
    CHECK(permits.available() == 3);
    CHECK(permits.try_acquire(2));
    CHECK(permits.try_acquire());
    CHECK_FALSE(permits.try_acquire());
    permits.release(3);
    CHECK(permits.available() == 3);
}

TEST_CASE_FIXTURE(test_loop, "semaphore: an exception that passes gives the permit back") {
    semaphore permits(1);
    auto fails = [&]() -> task<> {
        auto permit = co_await permits.scoped_acquire();
        throw std::runtime_error("inside");
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await fails(), std::runtime_error);
        CHECK(permits.available() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "semaphore: a cancelled waiter leaves the line, and no permit with it") {
    semaphore permits(0);
    std::vector<int> order;
    run([&]() -> task<> {
        std::vector<join_handle<>> waiters;
        for (int i = 0; i < 4; ++i) waiters.push_back(spawn(take(permits, 1, i, order)));
        co_await yield_now();
        waiters[0].cancel();
        waiters[2].cancel();
        permits.release(3);
        CHECK(permits.available() == 1);
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 3});
}

TEST_CASE_FIXTURE(test_loop,
                  "semaphore: a cancelled waiter that had been granted the permit has it") {
    semaphore permits(0);
    std::vector<int> order;
    run([&]() -> task<> {
        auto waiting = spawn(test::hold_permit(permits, 1, order));
        spawn(take(permits, 1, 2, order));
        co_await yield_now();
        permits.release();
        waiting.cancel();
        co_await yield_now();
        CHECK(waiting.done());
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
    CHECK(elapsed() == 0s);
    CHECK(permits.available() == 0);
}

TEST_CASE_FIXTURE(test_loop,
                  "semaphore: time that runs out in the turn of a release loses no permit") {
    semaphore permits(1);
    run([&]() -> task<> {
        for (int i = -2; i <= 2; ++i) {
            const time_point at = now() + 1s;
            auto holds = [&]() -> task<> {
                auto permit = co_await permits.scoped_acquire();
                co_await sleep_until(at + i * 1ns);
            };
            auto holder = spawn(holds);
            co_await yield_now();
            bool got = false;
            try {
                auto permit = co_await timeout_at(at, permits.scoped_acquire());
                got = true;
            } catch (const timeout_error&) {
                CHECK(now() >= at);
            }
            CHECK(got == (i < 0));
            co_await holder;
            CHECK(permits.available() == 1);
        }
    });
}

TEST_CASE_FIXTURE(test_loop, "semaphore: it composes with nothrow, race and gather") {
    semaphore permits(1);
    run([&]() -> task<> {
        co_await gather(permits.acquire(), sleep(1ms));
        auto late = co_await nothrow(timeout(1s, permits.scoped_acquire()));
        CHECK(late.error() == errc::timed_out);
        auto first = co_await race(permits.scoped_acquire(), sleep(1s));
        CHECK(first.index == 1);
        permits.release();
        auto in_time = co_await nothrow(timeout(1s, permits.scoped_acquire()));
        CHECK(*in_time);
        CHECK(permits.available() == 0);
    });
    CHECK(permits.available() == 1);
}

TEST_CASE_FIXTURE(test_loop,
                  "semaphore: a woken task may release and ask again, behind the others") {
    semaphore permits(0);
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        co_await take(permits, 1, 1, order);
        permits.release();
        co_await take(permits, 1, 3, order);
    };
    run([&]() -> task<> {
        auto again = spawn(twice);
        spawn(take(permits, 1, 2, order));
        co_await yield_now();
        permits.release();
        co_await yield_now();
        co_await yield_now();
        CHECK(order == std::vector{1, 2});
        permits.release();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("semaphore: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<semaphore> permits(std::in_place, 0);
        std::vector<int> order;
        test_loop loop;
        loop.run([&]() -> task<> {
            spawn(take(*permits, 1, 1, order));
            co_await yield_now();
            permits.reset();
        });
    }));
}

}  // namespace

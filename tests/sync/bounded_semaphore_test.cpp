#include <lariat/sync/bounded_semaphore.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> take(bounded_semaphore& permits, int mark, std::vector<int>& order) {
    co_await permits.acquire();
    order.push_back(mark);
}

TEST_CASE_FIXTURE(test_loop, "bounded_semaphore: a release too many is an error that says so") {
    bounded_semaphore permits(2);
    CHECK(permits.limit() == 2);
    CHECK_THROWS_AS(permits.release(), released_too_often);
    CHECK(permits.try_acquire());
    std::string text;
    try {
        permits.release(2);
    } catch (const std::exception& error) {
        text = error.what();
    }
    CHECK(text == "a bounded_semaphore of 2 was released by 2 while 1 of its permits were taken");
    CHECK(permits.available() == 1);
    permits.release();
    CHECK(permits.available() == 2);
    CHECK_THROWS_AS(permits.release(), released_too_often);
}

TEST_CASE_FIXTURE(test_loop,
                  "bounded_semaphore: first come, first served; at most so many inside") {
    bounded_semaphore permits(2);
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 4; ++i) spawn(take(permits, i, order));
        co_await yield_now();
        CHECK(order == std::vector{0, 1});
        permits.release();
        CHECK_FALSE(permits.try_acquire());
        co_await yield_now();
        CHECK(order == std::vector{0, 1, 2});
        permits.release();
        co_await yield_now();
        permits.release(2);
        CHECK_THROWS_AS(permits.release(), released_too_often);
    });
    CHECK(order == std::vector{0, 1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "bounded_semaphore: a guard gives back one permit") {
    bounded_semaphore permits(1);
    run([&]() -> task<> {
        {
            auto permit = co_await permits.scoped_acquire();
            CHECK(permits.available() == 0);
            auto late = co_await nothrow(timeout(1s, permits.scoped_acquire()));
            CHECK(late.error() == errc::timed_out);
            const auto first = co_await race(permits.acquire(), sleep(1s));
            CHECK(first.index == 1);
        }
        CHECK(permits.available() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "bounded_semaphore: a cancelled waiter leaves, and no permit with it") {
    bounded_semaphore permits(1);
    std::vector<int> order;
    run([&]() -> task<> {
        co_await permits.acquire();
        auto first = spawn(take(permits, 1, order));
        auto second = spawn(take(permits, 2, order));
        co_await yield_now();
        first.cancel();
        permits.release();
        co_await second;
        CHECK(first.done());
        permits.release();
    });
    CHECK(order == std::vector{2});
    CHECK(permits.available() == 1);
}

TEST_CASE_FIXTURE(test_loop,
                  "bounded_semaphore: one who had the permit when it was cancelled has it") {
    bounded_semaphore permits(1);
    std::vector<int> order;
    run([&]() -> task<> {
        co_await permits.acquire();
        auto waiting = spawn(test::hold_permit(permits, 1, order));
        co_await yield_now();
        permits.release();
        waiting.cancel();
        co_await take(permits, 2, order);
        permits.release();
    });
    CHECK(order == std::vector{1, 2});
    CHECK(permits.available() == 1);
}

TEST_CASE_FIXTURE(test_loop, "bounded_semaphore: a woken task may release and ask again") {
    bounded_semaphore permits(1);
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        co_await take(permits, 1, order);
        permits.release();
        co_await take(permits, 3, order);
    };
    run([&]() -> task<> {
        co_await permits.acquire();
        auto again = spawn(twice);
        auto other = spawn(take(permits, 2, order));
        co_await yield_now();
        permits.release();
        co_await other;
        permits.release();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("bounded_semaphore: what it can never give, it refuses to wait for") {
    CHECK(stops_with("more permits were asked for than this bounded_semaphore will ever have", [] {
        bounded_semaphore permits(2);
        (void)permits.acquire(3);
    }));
}

TEST_CASE("bounded_semaphore: a permit released from under a guard stops with the rule") {
    CHECK(stops_with("a bounded_semaphore's permit was released while a guard held it", [] {
        bounded_semaphore permits(1);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto permit = co_await permits.scoped_acquire();
            permits.release();
        });
    }));
}

TEST_CASE("bounded_semaphore: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<bounded_semaphore> permits(std::in_place, 1);
        std::vector<int> order;
        test_loop loop;
        loop.run([&]() -> task<> {
            spawn(take(*permits, 1, order));
            spawn(take(*permits, 2, order));
            co_await yield_now();
            permits.reset();
        });
    }));
}

}  // namespace

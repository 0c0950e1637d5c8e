#include <lariat/task/sleep.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> note_after(duration length, int mark, std::vector<int>& order) {
    co_await sleep(length);
    order.push_back(mark);
}

TEST_CASE_FIXTURE(test_loop, "sleep: lasts as long as asked, to the nanosecond") {
    run([]() -> task<> { co_await sleep(4ms); });
    CHECK(elapsed() == 4ms);
    run([]() -> task<> { co_await sleep(1ns); });
    CHECK(elapsed() == 1ns);
    run([]() -> task<> { co_await sleep(1000h); });
    CHECK(elapsed() == 1000h);
}

TEST_CASE_FIXTURE(test_loop, "sleep: sleepers wake by deadline, whatever order they began in") {
    std::vector<int> order;
    run([&]() -> task<> {
        co_await gather(note_after(3ms, 3, order), note_after(1ms, 1, order),
                        note_after(2ms, 2, order));
    });
    CHECK(order == std::vector{1, 2, 3});
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop, "sleep: equal deadlines wake in the order in which they began") {
    std::vector<int> order;
    std::vector<int> expected;
    run([&]() -> task<> {
        const time_point at = now() + 5ms;
        std::vector<task<>> sleepers;
        for (int i = 0; i < 1000; ++i) {
            auto sleeper = [&order, at](int mark) -> task<> {
                co_await sleep_until(at);
                order.push_back(mark);
            };
            sleepers.push_back(detail::bind_task(sleeper, i));
            expected.push_back(i);
        }
        co_await gather(std::move(sleepers));
    });
    CHECK(order == expected);
}

TEST_CASE_FIXTURE(test_loop, "sleep: a time that has passed still lets the others run once") {
    std::vector<int> order;
    auto first = [&]() -> task<> {
        order.push_back(1);
        co_await sleep_until(now() - 1h);
        order.push_back(3);
    };
    auto second = [&]() -> task<> {
        order.push_back(2);
        co_return;
    };
    run([&]() -> task<> { co_await gather(first(), second()); });
    CHECK(order == std::vector{1, 2, 3});
    CHECK(elapsed() == 0ns);
}

TEST_CASE_FIXTURE(test_loop,
                  "sleep: a length beyond the clock's end sleeps until it is cancelled") {
    run([&]() -> task<> {
        auto sleeper = spawn(detail::to_task(sleep(duration::max())));
        co_await sleep(1h);
        CHECK_FALSE(sleeper.done());
        sleeper.cancel();
        auto ended = co_await settled(std::move(sleeper));
        CHECK(ended.is_cancelled());
    });
    CHECK(elapsed() == 1h);
}

TEST_CASE_FIXTURE(test_loop, "yield_now: everything that is ready runs first, in turn") {
    std::vector<int> order;
    auto body = [&](int mark) -> task<> {
        for (int round = 0; round < 3; ++round) {
            order.push_back(mark);
            co_await yield_now();
        }
    };
    run([&]() -> task<> { co_await gather(body(1), body(2)); });
    CHECK(order == std::vector{1, 2, 1, 2, 1, 2});
    CHECK(elapsed() == 0ns);
}

TEST_CASE("sleep: never early on the real clock") {
    const lariat::test::leak_check leaks;
    run_options options;
    lariat::run(options, []() -> task<> {
        const int has_a_local = 20;
        for (int i = 0; i < has_a_local; ++i) {
            const duration length = 100us * i;
            const time_point began = clock::now();
            co_await sleep(length);
            CHECK(clock::now() - began >= length);
        }
    }());
}

TEST_CASE("sleep: outside of a running loop it stops with the right way to do it") {
    CHECK(stops_with("lariat::sleep needs a running loop on this thread.\n  wrong:",
                     [] { (void)lariat::sleep(1ms); }));
}

}  // namespace

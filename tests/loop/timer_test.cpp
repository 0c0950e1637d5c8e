#include <lariat/loop/timer.hpp>

#include "test_loop.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "timer: calls its function once, after its time") {
    std::vector<duration> at;
    run([&]() -> task<> {
        timer alarm(5ms, [&] { at.push_back(elapsed()); });
        CHECK(alarm.pending());
        co_await sleep(20ms);
        CHECK_FALSE(alarm.pending());
        CHECK_FALSE(alarm.cancel());
    });
    CHECK(at == std::vector<duration>{5ms});
}

TEST_CASE_FIXTURE(test_loop, "timer: taken back it never calls") {
    bool called = false;
    run([&]() -> task<> {
        timer alarm(5ms, [&] { called = true; });
        co_await sleep(4ms);
        CHECK(alarm.cancel());
        CHECK_FALSE(alarm.cancel());
        CHECK_FALSE(alarm.pending());
        co_await sleep(5ms);
        {
            const timer gone(1ms, [&] { called = true; });
        }
        co_await sleep(5ms);
    });
    CHECK_FALSE(called);
}

TEST_CASE_FIXTURE(test_loop, "timer: a restart puts it off, as often as one likes") {
    std::vector<duration> at;
    run([&]() -> task<> {
        timer watchdog(10ms, [&] { at.push_back(elapsed()); });
        for (int i = 0; i < 5; ++i) {
            co_await sleep(8ms);
            watchdog.restart();
        }
        co_await sleep(30ms);  // called at 50
        watchdog.restart(3ms);
        co_await sleep(4ms);
        CHECK(watchdog.cancel() == false);
        watchdog.restart();  // 3 ms, from now on
        co_await sleep(4ms);
    });
    CHECK(at == std::vector<duration>{50ms, 73ms, 77ms});
}

TEST_CASE_FIXTURE(test_loop, "timer: its function may restart it: a heartbeat") {
    std::vector<duration> at;
    run([&]() -> task<> {
        std::optional<timer> beat;
        beat.emplace(2ms, [&] {
            at.push_back(elapsed());
            if (at.size() < 3) beat->restart();
        });
        co_await sleep(20ms);
    });
    CHECK(at == std::vector<duration>{2ms, 4ms, 6ms});
}

TEST_CASE_FIXTURE(test_loop, "timer: its function may destroy it") {
    auto flag = std::make_shared<std::string>("kept");
    std::string seen;
    run([&]() -> task<> {
        auto alarm = std::make_unique<std::optional<timer>>();
        alarm->emplace(1ms, [&, flag] {
            alarm.reset();
            seen = *flag;  // what it holds lives until it has returned
        });
        co_await sleep(2ms);
        CHECK(alarm == nullptr);
    });
    CHECK(seen == "kept");
    CHECK(flag.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "timer: moved, it goes on in its new place") {
    int called = 0;
    run([&]() -> task<> {
        timer first(1ms, [&] { ++called; });
        timer second(std::move(first));
        CHECK(second.pending());
        timer third(1ms, [&] { called += 100; });
        third = std::move(second);  // what it was to call before is taken back
        co_await sleep(5ms);
    });
    CHECK(called == 1);
}

TEST_CASE_FIXTURE(test_loop, "timer: one due at a sleeper's moment comes in the order of arming") {
    std::vector<int> order;
    run([&]() -> task<> {
        const timer first(5ms, [&] { order.push_back(1); });
        auto sleeper = [&]() -> task<> {
            co_await sleep(5ms);
            order.push_back(2);
        };
        auto handle = spawn(sleeper);
        co_await yield_now();
        const timer last(5ms, [&] { order.push_back(3); });
        co_await sleep(6ms);
        CHECK(handle.done());
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "timer: what its function throws goes to the report hook") {
    auto body = [&]() -> task<> {
        const timer fails(1ms, [] { throw std::runtime_error("late"); });
        co_await sleep(1h);
    };
    CHECK_THROWS_WITH_AS(run(body()), "late", std::runtime_error);
    CHECK(reports == std::vector<std::string>{"a call: late"});
    CHECK(elapsed() == 1ms);
}

}  // namespace

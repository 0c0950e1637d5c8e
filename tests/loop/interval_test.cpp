#include <lariat/loop/interval.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "interval: ticks on its grid, whatever the work between lasts") {
    std::vector<duration> at;
    run([&]() -> task<> {
        interval ticks(10ms);
        for (const auto work : {0ms, 3ms, 9ms, 0ms, 7ms}) {
            const std::uint64_t missed = co_await ticks.next();
            CHECK(missed == 0);
            at.push_back(elapsed());
            co_await sleep(work);
        }
    });
    CHECK(at == std::vector<duration>{10ms, 20ms, 30ms, 40ms, 50ms});
}

TEST_CASE_FIXTURE(test_loop, "interval: says how many ticks were missed, and stays on the grid") {
    run([&]() -> task<> {
        interval ticks(10ms);
        co_await sleep(35ms);
        std::uint64_t missed = co_await ticks.next();
        CHECK(missed == 2);  // those at 10 and 20; this is the one of 30
        CHECK(elapsed() == 35ms);
        missed = co_await ticks.next();
        CHECK(missed == 0);
        CHECK(elapsed() == 40ms);
        co_await sleep(10ms);
        missed = co_await ticks.next();  // due this very moment
        CHECK(missed == 0);
        CHECK(elapsed() == 50ms);
        CHECK(ticks.next_at() == now() + 10ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "interval: a thousand ticks with work between do not drift") {
    run([&]() -> task<> {
        interval ticks(1us);
        for (int i = 0; i < 1000; ++i) {
            (void)co_await ticks.next();
            co_await sleep(std::chrono::nanoseconds(i % 1000));
        }
        (void)co_await ticks.next();
    });
    CHECK(elapsed() == 1001us);
}

TEST_CASE_FIXTURE(test_loop, "interval: its first tick may be chosen, or have passed") {
    run([&]() -> task<> {
        interval later(now() + 3ms, 10ms);
        (void)co_await later.next();
        CHECK(elapsed() == 3ms);
        (void)co_await later.next();
        CHECK(elapsed() == 13ms);
        interval passed(now() - 25ms, 10ms);
        const std::uint64_t missed = co_await passed.next();
        CHECK(missed == 2);
        CHECK(elapsed() == 13ms);
        (void)co_await passed.next();
        CHECK(elapsed() == 18ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "interval: a wait that is cut takes no tick") {
    run([&]() -> task<> {
        interval ticks(10ms);
        CHECK_THROWS_AS((void)co_await timeout(4ms, ticks.next()), timeout_error);
        CHECK(elapsed() == 4ms);
        const std::uint64_t missed = co_await ticks.next();
        CHECK(missed == 0);
        CHECK(elapsed() == 10ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "interval: of a tick and a cancel in one turn, the tick wins") {
    run([&]() -> task<> {
        interval ticks(10ms);
        std::optional<std::uint64_t> got;
        auto body = [&]() -> task<> { got = co_await ticks.next(); };
        auto waits = spawn(body);
        loop().call_at(now() + 10ms, [&] { waits.cancel(); });
        co_await sleep(20ms);
        CHECK(got == 0U);
        CHECK(ticks.next_at() == now());
    });
}

TEST_CASE_FIXTURE(test_loop, "interval: no period, no interval") {
    run([&]() -> task<> {
        CHECK_THROWS_AS(interval(0ns), std::invalid_argument);
        CHECK_THROWS_AS(interval(-1ms), std::invalid_argument);
        co_return;
    });
}

TEST_CASE("interval: never early on the real clock") {
    const lariat::test::leak_check leaks;
    lariat::run([]() -> task<> {
        const time_point began = clock::now();
        interval ticks(200us);
        std::uint64_t number = 0;
        while (number < 20) {
            number += 1 + co_await ticks.next();
            CHECK(clock::now() - began >= 200us * static_cast<int>(number));
        }
    }());
}

TEST_CASE("interval: awaited by two tasks at once it stops with the rule") {
    CHECK(stops_with("one task at a time may wait for an interval's tick", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            interval ticks(20ms);
            auto waits = [&]() -> task<> { co_await ticks.next(); };
            auto other = spawn(waits());
            co_await yield_now();
            co_await ticks.next();
        });
    }));
}

TEST_CASE_FIXTURE(test_loop, "interval: another task may wait once the first was cut") {
    run([]() -> task<> {
        interval ticks(20ms);
        const result<std::uint64_t> cut = co_await nothrow(timeout(5ms, ticks.next()));
        CHECK(cut.error() == errc::timed_out);
        auto waits = [&]() -> task<std::uint64_t> { co_return co_await ticks.next(); };
        auto other = spawn(waits());
        const std::uint64_t missed = co_await other;
        CHECK(missed == 0);
    });
    CHECK(elapsed() == 20ms);
}

TEST_CASE("interval: outside of a running loop it stops with the right way to do it") {
    CHECK(stops_with("lariat::interval needs a running loop on this thread.",
                     [] { (void)interval(1ms); }));
}

}  // namespace

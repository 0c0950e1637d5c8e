#include <lariat/task/settled.hpp>

#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::fail_after;
using lariat::test::give_after;
using lariat::test::parking;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "settled: gives how each ended, and no failure cancels the others") {
    run([&]() -> task<> {
        auto [ok, bad] = co_await settled(give_after(2s, 5), fail_after<int>(1s, "broken"));
        CHECK(ok.is_value());
        CHECK(std::move(ok).value() == 5);
        CHECK(bad.is_error());
        CHECK_FALSE(bad.is_cancelled());
        CHECK_THROWS_WITH_AS(std::move(bad).value(), "broken", std::runtime_error);
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "settled: one task gives one outcome, a vector a vector") {
    run([&]() -> task<> {
        auto one = co_await settled(give_after(1s, std::make_unique<int>(3)));
        CHECK(*std::move(one).value() == 3);
        std::vector<task<int>> tasks;
        for (int i = 0; i < 4; ++i) {
            tasks.push_back(i % 2 == 0 ? give_after(1s, i) : fail_after<int>(1s, "odd"));
        }
        auto all = co_await settled(std::move(tasks));
        CHECK(all.size() == 4);
        CHECK(all[0].is_value());
        CHECK(all[1].is_error());
        CHECK(std::move(all[2]).value() == 2);
        std::vector<task<int>> none;
        const auto empty = co_await settled(std::move(none));
        CHECK(empty.empty());
    });
}

TEST_CASE_FIXTURE(test_loop, "settled: a handle that was cancelled gives an outcome that says so") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(1h, 1));
        co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
        CHECK_FALSE(ended.is_error());
        CHECK(ended.error() == nullptr);
        CHECK_THROWS_AS(std::move(ended).value(), task_cancelled);
    });
}

TEST_CASE_FIXTURE(test_loop, "settled: of several handles, in the order given") {
    run([&]() -> task<> {
        std::vector<join_handle<int>> handles;
        handles.push_back(spawn(give_after(2s, 1)));
        handles.push_back(spawn(fail_after<int>(1s, "broken")));
        handles.push_back(spawn(give_after(1h, 3)));
        handles[2].cancel();
        auto all = co_await settled(std::move(handles));
        CHECK(all.size() == 3);
        CHECK(all[0].is_value());
        CHECK(all[1].is_error());
        CHECK(all[2].is_cancelled());
    });
    CHECK(reports.empty());
}

TEST_CASE_FIXTURE(test_loop, "settled: a cancel from outside ends the tasks and is no outcome") {
    std::string log;
    run([&]() -> task<> {
        auto body = [&]() -> task<> {
            auto ended = co_await settled(give_after(1h, 1), give_after(1h, 2));
            log += std::get<0>(ended).is_cancelled() ? "an outcome" : "a value";
        };
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
    });
    CHECK(log.empty());
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "settled: cancelled while it waits for a handle, the task goes on") {
    bool ended = false;
    auto lasting = [&]() -> task<> {
        co_await sleep(5s);
        ended = true;
    };
    run([&]() -> task<> {
        auto target = spawn(lasting);
        auto waits = [&]() -> task<> { co_await settled(std::move(target)); };
        auto waiting = spawn(waits);
        co_await sleep(1s);
        waiting.cancel();
        CHECK_THROWS_AS(co_await waiting, task_cancelled);
        CHECK(elapsed() == 1s);
        co_await sleep(10s);
        CHECK(ended);
    });
}

/// Fails when it is cancelled, as a rollback may.
task<> fail_when_cut() {
    bool cut = false;
    try {
        co_await sleep(1h);
    } catch (const cancelled&) {
        cut = true;
    }
    if (cut) throw std::runtime_error("rollback failed");
}

TEST_CASE_FIXTURE(test_loop, "settled: cancelled, it throws what failed rather than lose it") {
    run([]() -> task<> {
        auto two = settled(fail_when_cut(), detail::to_task(sleep(1h)));
        CHECK_THROWS_WITH_AS(co_await timeout(1s, std::move(two)), "rollback failed",
                             std::runtime_error);
        std::vector<task<>> tasks;
        tasks.push_back(fail_when_cut());
        tasks.push_back(detail::to_task(sleep(1h)));
        auto all = settled(std::move(tasks));
        CHECK_THROWS_WITH_AS(co_await timeout(1s, std::move(all)), "rollback failed",
                             std::runtime_error);
    });
}

TEST_CASE_FIXTURE(test_loop, "settled: cut while it waits for handles, a failure is reported") {
    const auto work = []() -> task<> {
        std::vector<join_handle<int>> handles;
        handles.push_back(spawn(fail_after<int>(1s, "broken")));
        handles.push_back(spawn(give_after(1h, 1)));
        auto all = settled(std::move(handles));
        CHECK_THROWS_AS(co_await timeout(2s, std::move(all)), timeout_error);
    };
    CHECK_THROWS_WITH_AS(run(work), "broken", std::runtime_error);
    REQUIRE(reports.size() == 1);
    CHECK(reports.front().find("broken") != std::string::npos);
}

TEST_CASE_FIXTURE(test_loop, "settled: what had all ended when the cancel came is delivered") {
    parking place;
    std::string log;
    auto waits = [&]() -> task<int> {
        co_await place.park();
        co_return 5;
    };
    auto body = [&]() -> task<> {
        auto ended = co_await settled(waits());
        log += ended.is_value() ? "value" : "lost";
        co_await yield_now();
        log += ", not cancelled";
    };
    run([&]() -> task<> {
        auto handle = spawn(body);
        co_await yield_now();
        co_await yield_now();
        place.wake_one();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "value");
}

}  // namespace

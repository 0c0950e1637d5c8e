#include <lariat/loop/loop.hpp>

#include "death.hpp"
#include "leak_check.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::stops_with;

template <class T>
task<T> give(T value) {
    co_await yield_now();
    co_return value;
}

task<> fails() {
    co_await yield_now();
    throw std::runtime_error("broken");
}

TEST_CASE_FIXTURE(leak_check, "loop: run gives what its main task gives, of any kind") {
    CHECK(lariat::run(give(42)) == 42);
    CHECK(*lariat::run(give(std::make_unique<int>(5))) == 5);
    int place = 0;
    auto refer = [&]() -> task<int&> { co_return place; };
    CHECK(&lariat::run(refer()) == &place);
    CHECK_THROWS_WITH_AS(lariat::run(fails()), "broken", std::runtime_error);
}

TEST_CASE_FIXTURE(leak_check,
                  "loop: a main task that was cancelled ends the run by task_cancelled") {
    auto body = []() -> task<> {
        running_party("test").cancel();
        co_await yield_now();
    };
    CHECK_THROWS_AS(lariat::run(body()), task_cancelled);
}

TEST_CASE_FIXTURE(leak_check, "loop: runs again after a run, also after one that failed") {
    loop own;
    CHECK(own.run(give(1)) == 1);
    CHECK_THROWS_AS(own.run(fails()), std::runtime_error);
    CHECK(own.run(give(2)) == 2);
    auto spawns = []() -> task<> {
        spawn(fails);
        co_await sleep(1h);
    };
    run_options quiet;
    quiet.report = [](const failure_report&) {};
    loop other(quiet);
    CHECK_THROWS_WITH_AS(other.run(spawns()), "broken", std::runtime_error);
    CHECK(other.run(give(3)) == 3);
}

TEST_CASE_FIXTURE(leak_check, "loop: a second one may not run on a thread where one runs") {
    auto nested = []() -> task<> {
        CHECK_THROWS_WITH_AS(lariat::run(give(1)),
                             doctest::Contains("a loop is running on this thread already"),
                             std::logic_error);
        loop idle;  // to have one is no harm
        CHECK_THROWS_AS(idle.run(give(1)), std::logic_error);
        co_await yield_now();  // and the one that runs is as before
    };
    lariat::run(nested());
}

TEST_CASE_FIXTURE(leak_check, "loop: each thread may run its own") {
    int got = 0;
    std::jthread other([&] { got = lariat::run(give(7)); });
    CHECK(lariat::run(give(8)) == 8);
    other.join();
    CHECK(got == 7);
}

TEST_CASE_FIXTURE(leak_check, "loop: close is idempotent, and a closed loop refuses to run") {
    loop own;
    CHECK(own.run(give(1)) == 1);
    own.close();
    own.close();
    CHECK_THROWS_WITH_AS(own.run(give(1)), "lariat: this loop was closed; make another",
                         std::logic_error);
    loop never_run;
    never_run.close();
}

TEST_CASE_FIXTURE(leak_check, "loop: current is the one that runs") {
    loop own;
    auto body = [&]() -> task<> {
        CHECK(&loop::current() == &own);
        co_return;
    };
    own.run(body());
}

TEST_CASE_FIXTURE(leak_check, "loop: the backend is visible, and the one that was asked for") {
    loop own;
    const loop_stats seen = own.stats();
    const char* asked = std::getenv("LARIAT_BACKEND");
    if (asked != nullptr && std::string_view(asked) == "epoll")
        CHECK(seen.driver.backend == backend::epoll);
    if (asked != nullptr && std::string_view(asked) == "uring")
        CHECK(seen.driver.backend == backend::uring);
    CHECK(seen.driver.backend != backend::automatic);
    run_options simulated;
    simulated.driver.backend = backend::sim;
    CHECK(loop(simulated).stats().driver.backend == backend::sim);
}

TEST_CASE_FIXTURE(leak_check, "loop: stats count tasks, timers, turns and legs") {
    loop own;
    auto body = [&]() -> task<> {
        auto sleeper = []() -> task<> { co_await sleep(1h); };
        auto handle = spawn(sleeper);
        co_await yield_now();
        const loop_stats busy = own.stats();
        CHECK(busy.tasks == 2);
        CHECK(busy.timers == 1);
        CHECK(busy.turns > 0);
        CHECK(busy.legs >= 3);
    };
    own.run(body());
    CHECK(own.stats().tasks == 0);
    CHECK(own.stats().timers == 0);
    CHECK(own.stats().driver.in_flight == 0);
}

TEST_CASE_FIXTURE(leak_check,
                  "loop: a failure that reaches no caller is told to the hook with a trace") {
    std::vector<failure_report> told;
    run_options options;
    options.report = [&](const failure_report& report) { told.push_back(report); };
    auto body = []() -> task<> {
        auto named = []() -> task<> {
            set_task_name("the failing one");
            co_await yield_now();
            throw std::runtime_error("broken");
        };
        spawn(named());
        co_await sleep(1h);
    };
    CHECK_THROWS_WITH_AS(lariat::run(options, body()), "broken", std::runtime_error);
    REQUIRE(told.size() == 1);
    CHECK(told[0].task == "the failing one");
    CHECK(told[0].trace.find("loop_test.cpp:") != std::string::npos);
    CHECK_THROWS_WITH_AS(std::rethrow_exception(told[0].error), "broken", std::runtime_error);
}

TEST_CASE("loop: without a hook such a failure is printed") {
    const auto how = lariat::test::run_in_child([] {
        auto body = []() -> task<> {
            spawn(fails);
            co_await sleep(1h);
        };
        CHECK_THROWS_AS(lariat::run(body()), std::runtime_error);
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text.find("failed and nobody was there to be told: broken") != std::string::npos);
}

TEST_CASE_FIXTURE(leak_check, "loop: an idle loop does not turn") {
    loop own;
    auto body = [&]() -> task<> {
        co_await sleep(1ms);
        const std::uint64_t before = own.stats().turns;
        co_await sleep(30ms);
        CHECK(own.stats().turns - before <= 10);
    };
    own.run(body());
}

TEST_CASE_FIXTURE(leak_check,
                  "loop: told to spin, it looks for news again and again, for so long") {
    run_options tireless;
    tireless.spin = 1h;
    run_options brief;
    brief.spin = 1us;
    const auto turns_of_a_sleep = [](const run_options& how, std::chrono::milliseconds length) {
        loop own(how);
        std::uint64_t turns = 0;
        auto body = [&]() -> task<> {
            co_await yield_now();
            const std::uint64_t before = own.stats().turns;
            co_await sleep(length);
            turns = own.stats().turns - before;
        };
        own.run(body());
        return turns;
    };
    std::uint64_t most = 0;  // one sleep may find the core taken away
    for (int tries = 0; tries < 1000 && most < 50; ++tries)
        most = std::max(most, turns_of_a_sleep(tireless, 1ms));
    CHECK(most >= 50);
    CHECK(turns_of_a_sleep(brief, 30ms) <= 50);
}

TEST_CASE("loop: to close it while it runs stops with the rule") {
    CHECK(stops_with("a loop is closed when it does not run: let its main task end", [] {
        loop own;
        auto body = [&]() -> task<> {
            own.close();
            co_return;
        };
        own.run(body());
    }));
}

TEST_CASE("loop: current outside of a running loop stops with the right way to do it") {
    CHECK(stops_with("needs a running loop on this thread", [] { (void)loop::current(); }));
}

TEST_CASE_FIXTURE(leak_check, "loop: a deadline before the clock began is due at once") {
    loop own;
    auto body = []() -> task<> { co_await sleep(duration::min()); };
    own.run(body());
}

}  // namespace

// A process: what it is given, how it ends, and who hears of it.
#include <lariat/process/process.hpp>

#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;

void nothing() {}
void leave_with(int code) { std::exit(code); }
void fail_with(std::string text) { throw std::runtime_error(text); }
void die_of(int number) { ::raise(number); }
task<> wait_for_ever() { co_await sleep(1h); }
task<> nap() { co_await sleep(1ms); }

TEST_CASE_FIXTURE(leak_check, "process: a function that returns is exit code 0") {
    run([]() -> task<> {
        process child = process::start(nothing);
        CHECK(child.pid() > 0);
        const process_status status = co_await child.join();
        CHECK(status.exit_code() == 0);
        CHECK(status.signal() == 0);
        CHECK(!status.exception());
        CHECK(!child.is_alive());
        status.check();
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: a task runs on a loop of its own") {
    run([]() -> task<> {
        process child = process::start(nap);
        const process_status status = co_await child.join();
        CHECK(status.exit_code() == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: std::exit gives its code") {
    process child = process::start(leave_with, 7);
    CHECK(child.join_blocking().exit_code() == 7);
    CHECK_THROWS_AS(child.join_blocking().check(), process_failed);
}

TEST_CASE_FIXTURE(leak_check, "process: a signal gives its number, negative") {
    process child = process::start(die_of, SIGUSR1);
    const process_status status = child.join_blocking();
    CHECK(status.exit_code() == -SIGUSR1);
    CHECK(status.signal() == SIGUSR1);
}

TEST_CASE_FIXTURE(leak_check, "process: an exception comes with its type and text") {
    process child = process::start(fail_with, "the roof is on fire");
    const process_status status = child.join_blocking();
    CHECK(status.exit_code() == 1);
    REQUIRE(status.exception());
    CHECK(status.exception()->type == "std::runtime_error");
    CHECK(status.exception()->text == "the roof is on fire");
    CHECK_THROWS_WITH_AS(status.check(), "the roof is on fire", std::runtime_error);
}

TEST_CASE_FIXTURE(leak_check, "process: terminate, kill and stop end it") {
    run([]() -> task<> {
        process one = process::start(wait_for_ever);
        CHECK(one.is_alive());
        CHECK(one.terminate());
        const process_status by_term = co_await one.join();
        CHECK(by_term.exit_code() == -SIGTERM);
        CHECK(!one.terminate());
        process two = process::start(wait_for_ever);
        CHECK(two.kill());
        const process_status by_kill = co_await two.join();
        CHECK(by_kill.exit_code() == -SIGKILL);
        process three = process::start(wait_for_ever);
        const process_status stopped = co_await three.stop();
        CHECK(stopped.exit_code() == -SIGTERM);
        process four = process::start(wait_for_ever);
        CHECK_THROWS_AS((void)co_await timeout(2ms, four.join()), timeout_error);
        CHECK(four.is_alive());
    }());
}

}  // namespace

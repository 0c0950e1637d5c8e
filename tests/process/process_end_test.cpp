// Who owns a process: its handle, the loop, a task group; and who hears of a failure.
#include <lariat/process/process.hpp>

#include "leak_check.hpp"
#include "program.hpp"
#include "timed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::is_there;
using lariat::test::leak_check;

void nothing() {}
void fail() { throw std::runtime_error("out of paint"); }
void leave_with(int code) { std::exit(code); }
task<> for_ever() { co_await sleep(1h); }

/// Minds no SIGTERM, and says when that is so.
void be_stubborn(unique_fd ready) {
    std::signal(SIGTERM, SIG_IGN);
    ready.reset();
    for (;;) ::pause();
}

process start_stubborn(process_options options) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const unique_fd reading(ends[0]);
    process child = process::start(options, be_stubborn, unique_fd(ends[1]));
    char none = 0;
    CHECK(::read(reading.get(), &none, 1) == 0);
    return child;
}

process_options with_grace(std::chrono::milliseconds grace) {
    process_options options("stubborn");
    options.grace = grace;
    return options;
}

/// Ends in order when it gets SIGTERM.
void end_when_asked(unique_fd ready) {
    sigset_t asked;
    ::sigemptyset(&asked);
    ::sigaddset(&asked, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &asked, nullptr);
    ready.reset();
    int number = 0;
    ::sigwait(&asked, &number);
    std::exit(7);
}

TEST_CASE_FIXTURE(leak_check, "process: a grace period as long as can be is not none at all") {
    for (const auto grace : {std::chrono::milliseconds::max(), std::chrono::milliseconds(1h)}) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        const unique_fd reading(ends[0]);
        process child = process::start(with_grace(grace), end_when_asked, unique_fd(ends[1]));
        char none = 0;
        CHECK(::read(reading.get(), &none, 1) == 0);
        const process_status ended = run(child.stop());
        CHECK(ended.exit_code() == 7);
    }
}

TEST_CASE_FIXTURE(leak_check,
                  "process: join_blocking with a time that is over looks, and returns") {
    process child = process::start(for_ever);
    CHECK_FALSE(child.join_blocking(duration::min()).has_value());
    CHECK_FALSE(child.join_blocking(-1h).has_value());
    CHECK_FALSE(child.join_blocking(0s).has_value());
    child.kill();
    CHECK(child.join_blocking(duration::max()).value().signal() == SIGKILL);
}

TEST_CASE_FIXTURE(leak_check, "process: one whose handle goes is ended before run returns") {
    int one = 0;
    int two = 0;
    run([](int& obedient, int& stubborn) -> task<> {
        process child = process::start(for_ever);
        obedient = child.pid();
        process other = start_stubborn(with_grace(10ms));
        stubborn = other.pid();
        co_return;
    }(one, two));
    CHECK(!is_there(one));
    CHECK(!is_there(two));
}

TEST_CASE_FIXTURE(leak_check, "process: where no loop runs, the handle's end waits itself") {
    int pid = 0;
    {
        process child = process::start(for_ever);
        pid = child.pid();
    }
    CHECK(!is_there(pid));
    for (const auto grace : {0ms, 5ms}) {
        {
            process child = start_stubborn(with_grace(grace));
            pid = child.pid();
        }
        CHECK(!is_there(pid));
    }
}

TEST_CASE_FIXTURE(leak_check, "process: a loop that closes kills what it was left") {
    int pid = 0;
    std::optional<process> child = start_stubborn(with_grace(1h));
    {
        loop own;
        auto drops = [](std::optional<process>& dropped, int& told) -> task<> {
            told = dropped->pid();
            dropped.reset();
            throw std::runtime_error("the run ends");
        };
        auto runs = [&] { own.run(drops(child, pid)); };
        child->kill();
        CHECK_THROWS_AS(runs(), std::runtime_error);
    }
    CHECK(!is_there(pid));
}

TEST_CASE_FIXTURE(leak_check, "process: a handle that is assigned to ends what it had") {
    run([]() -> task<> {
        process child = process::start(for_ever);
        const int first = child.pid();
        child = process::start(for_ever);
        while (is_there(first)) co_await sleep(1ms);
        CHECK(child.is_alive());
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: stop asks first, and kills what does not obey") {
    run([]() -> task<> {
        process hard = start_stubborn(with_grace(5ms));
        const process_status killed = co_await hard.stop();
        CHECK(killed.signal() == SIGKILL);
        const process_status again = co_await hard.stop();
        CHECK(again.signal() == SIGKILL);
        process at_once = process::start(with_grace(0ms), for_ever);
        const process_status now = co_await at_once.stop();
        CHECK(now.signal() == SIGKILL);
        process cut = start_stubborn(with_grace(1h));
        CHECK_THROWS_AS((void)co_await timeout(2ms, cut.stop()), timeout_error);
        CHECK(cut.is_alive());
        cut.kill();
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: a failure that nobody joined goes to the report hook") {
    std::vector<std::string> reports;
    run_options options;
    options.report = [&reports](const failure_report& report) {
        try {
            std::rethrow_exception(report.error);
        } catch (const process_failed& error) {
            reports.emplace_back(error.what());
        }
    };
    run(options, []() -> task<> {
        process_options painter("painter");
        {
            process joined = process::start(painter, fail);
            const process_status status = co_await joined.join();
            CHECK(status.exit_code() == 1);
        }
        process seen = process::start(painter, fail);
        while (seen.is_alive()) co_await sleep(1ms);
        process left = process::start(painter, fail);
        process fine = process::start(painter, nothing);
    }());
    // `left` may have been ended before it failed.
    CHECK(reports.size() >= 1);
    for (const std::string& each : reports) {
        CHECK(each.starts_with("painter (pid "));
        CHECK(each.ends_with("failed and nobody joined it: std::runtime_error: out of paint"));
    }
}

TEST_CASE_FIXTURE(leak_check, "process: as members of a group they are awaited") {
    run([]() -> task<> {
        int ended = 0;
        const auto counts = [&ended](task<process_status> running) -> task<> {
            const process_status status = co_await std::move(running);
            CHECK(status.exit_code() == 0);
            ++ended;
        };
        co_await with_group([&counts](task_group& group) -> task<> {
            for (int i = 0; i < 5; ++i) group.spawn(counts(run_process(nothing)));
            co_return;
        });
        CHECK(ended == 5);
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: one that fails fails its group, and ends the others") {
    run([]() -> task<> {
        auto all = [](task_group& group) -> task<> {
            group.spawn(run_process(for_ever));
            group.spawn(run_process(fail));
            co_return;
        };
        CHECK_THROWS_WITH_AS(co_await with_group(all), "out of paint", std::runtime_error);
        CHECK(active_children().empty());
        auto codes = [](task_group& group) -> task<> {
            group.spawn(run_process(process_options("leaver"), leave_with, 3));
            co_return;
        };
        CHECK_THROWS_WITH_AS(co_await with_group(codes), "leaver ended with exit code 3",
                             process_failed);
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: cancelled, a member is asked, made to end, and awaited") {
    run([]() -> task<> {
        auto obedient = run_process(process_options("obedient"), for_ever);
        CHECK_THROWS_AS((void)co_await timeout(5ms, std::move(obedient)), timeout_error);
        CHECK(active_children().empty());
        std::array<int, 2> ends{};
        CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
        const unique_fd reading(ends[0]);
        auto stubborn = run_process(with_grace(5ms), be_stubborn, unique_fd(ends[1]));
        auto handle = spawn(std::move(stubborn));
        co_await wait_readable(reading.get());
        handle.cancel();
        CHECK_THROWS_AS((void)co_await std::move(handle), task_cancelled);
        CHECK(active_children().empty());
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: plain threads start and join as well") {
    std::vector<std::thread> threads;
    std::array<int, 4> codes{};
    for (std::size_t i = 0; i < codes.size(); ++i) {
        threads.emplace_back([&code = codes[i], i] {
            for (int times = 0; times < 10; ++times)
                code += process::start(leave_with, static_cast<int>(i)).join_blocking().exit_code();
        });
    }
    for (std::thread& each : threads) each.join();
    for (std::size_t i = 0; i < codes.size(); ++i) CHECK(codes[i] == 10 * static_cast<int>(i));
}

}  // namespace

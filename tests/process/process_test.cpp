// A process: what it is given, how it ends, and who hears of it.
#include <lariat/process/process.hpp>

#include "leak_check.hpp"
#include "program.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::children_of;
using lariat::test::goes_at_last;
using lariat::test::leak_check;
using lariat::test::parent_of;

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

TEST_CASE_FIXTURE(leak_check, "process: any number of tasks may join, on any loop, and again") {
    process child = process::start(wait_for_ever);
    int told = 0;
    const auto joins = [&child, &told]() -> task<> {
        const process_status status = co_await child.join();
        CHECK(status.signal() == SIGTERM);
        ++told;
    };
    run([](process& ended, auto join) -> task<> {
        auto ends = [&ended]() -> task<> {
            co_await sleep(1ms);
            ended.terminate();
        };
        co_await gather(join(), join(), join(), ends());
        co_await join();
    }(child, joins));
    run(joins());
    CHECK(told == 5);
}

TEST_CASE_FIXTURE(leak_check, "process: 200 at once, each with its own end") {
    run([]() -> task<> {
        std::vector<process> all;
        for (int i = 0; i < 200; ++i) all.push_back(process::start(leave_with, i % 100));
        for (int i = 0; i < 200; ++i) {
            const process_status status = co_await all[static_cast<std::size_t>(i)].join();
            CHECK(status.exit_code() == i % 100);
        }
    }());
    CHECK(active_children().empty());
    process last = process::start(wait_for_ever);
    CHECK(children_of(parent_of(last.pid())) == std::to_string(last.pid()) + ' ');
}

void say_hello(unique_fd to, std::string text) {
    if (::write(to.get(), text.data(), text.size()) < 0) throw std::runtime_error("not written");
}

std::string read_all(const unique_fd& from) {
    std::string text;
    std::array<char, 4096> room{};
    while (const ssize_t got = ::read(from.get(), room.data(), room.size())) {
        if (got > 0) text.append(room.data(), static_cast<std::size_t>(got));
    }
    return text;
}

struct pipe_ends {
    unique_fd reading;
    unique_fd writing;
    pipe_ends() {
        std::array<int, 2> made{};
        REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
        reading.reset(made[0]);
        writing.reset(made[1]);
    }
};

TEST_CASE_FIXTURE(leak_check, "process: arguments of any size arrive, and descriptors") {
    for (const std::size_t size : {0UL, 5UL, 32UL * 1024, 33UL * 1024, 3UL * 1024 * 1024}) {
        pipe_ends pipe;
        const std::string text(size, 'x');
        process child = process::start(say_hello, std::move(pipe.writing), text);
        CHECK(read_all(pipe.reading) == text);
        child.join_blocking().check();
    }
}

TEST_CASE_FIXTURE(leak_check, "process: too many descriptors are an error, and are kept") {
    std::vector<unique_fd> many;
    for (int i = 0; i < 251; ++i) many.emplace_back(::dup(0));
    const auto count = [](std::vector<unique_fd> given) {
        std::exit(static_cast<int>(given.size()));
    };
    CHECK_THROWS_AS((void)process::start(count, std::move(many)), limit_error);
    many.clear();
    for (int i = 0; i < 250; ++i) many.emplace_back(::dup(0));
    process child = process::start(count, std::move(many));
    CHECK(child.join_blocking().exit_code() == 250);
}

struct counter {
    int from = 0;
    int step = 1;
    void operator()(int times) const { std::exit(from + times * step); }
};

TEST_CASE_FIXTURE(leak_check, "process: an object with state can be what it runs") {
    counter by_three;
    by_three.from = 10;
    by_three.step = 3;
    CHECK(process::start(by_three, 4).join_blocking().exit_code() == 22);
    CHECK(process::start([] { std::exit(4); }).join_blocking().exit_code() == 4);
}

void look_at_self(int parent) {
    if (this_process::name() != "a name of more than 15") std::exit(1);
    if (!this_process::is_child() || this_process::is_daemon()) std::exit(2);
    if (this_process::parent_pid() != parent) std::exit(3);
    std::array<char, 16> shown{};
    ::prctl(PR_GET_NAME, shown.data());
    if (std::string(shown.data()) != "a name of more ") std::exit(4);
    if (!active_children().empty()) std::exit(5);
}

TEST_CASE_FIXTURE(leak_check, "process: it knows its name and who started it") {
    const process_options options("a name of more than 15");
    process child = process::start(options, look_at_self, ::getpid());
    CHECK(child.name() == "a name of more than 15");
    CHECK(child.join_blocking().exit_code() == 0);
    CHECK(this_process::name() == "main");
    CHECK(!this_process::is_child());
    process unnamed = process::start(nothing);
    CHECK(unnamed.name().starts_with("process-"));
}

task<> start_another(int depth) {
    if (depth == 0) co_return;
    process child = process::start(start_another, depth - 1);
    const process_status status = co_await child.join();
    status.check();
    if (depth == 3) throw std::runtime_error("three deep");
}

TEST_CASE_FIXTURE(leak_check, "process: one may start others, which are its own") {
    process child = process::start(start_another, 3);
    const process_status status = child.join_blocking();
    REQUIRE(status.exception());
    CHECK(status.exception()->text == "three deep");
}

process_options daemon_options() {
    process_options options;
    options.daemon = true;
    return options;
}

void start_from_daemon() { (void)process::start(nothing); }

TEST_CASE_FIXTURE(leak_check, "process: a daemon may have no processes of its own") {
    process child = process::start(daemon_options(), start_from_daemon);
    const process_status status = child.join_blocking();
    REQUIRE(status.exception());
    CHECK(status.exception()->type == "std::logic_error");
    CHECK(status.exception()->text.find("is a daemon") != std::string::npos);
}

void look_at_cores() {
    cpu_set_t own;
    if (::sched_getaffinity(0, sizeof own, &own) != 0) std::exit(1);
    if (CPU_COUNT(&own) != 1 || !CPU_ISSET(0, &own)) std::exit(2);
}

TEST_CASE_FIXTURE(leak_check, "process: it can be pinned to a core, if there is one") {
    process_options options("pinned");
    options.core = 0;
    CHECK(process::start(options, look_at_cores).join_blocking().exit_code() == 0);
    for (const unsigned none : {9999U, ~0U}) {
        options.core = none;
        const process_status status = process::start(options, look_at_cores).join_blocking();
        REQUIRE(status.exception());
        CHECK(status.exception()->text ==
              "pinning pinned to core " + std::to_string(none) + ": Invalid argument");
    }
}

TEST_CASE_FIXTURE(leak_check, "process: a long text of an exception is cut") {
    process child = process::start(fail_with, std::string(100'000, 'x'));
    const process_status status = child.join_blocking();
    REQUIRE(status.exception());
    CHECK(status.exception()->text.size() > 15'000);
    CHECK(status.exception()->text.size() < 16 * 1024);
}

struct unnamed_trouble {};
task<> throw_strangely() {
    co_await sleep(1us);
    throw unnamed_trouble();
}

TEST_CASE_FIXTURE(leak_check, "process: an exception of a type of its own comes by name") {
    const process_status status = process::start(throw_strangely).join_blocking();
    CHECK_THROWS_AS(status.check(), remote_error);
    REQUIRE(status.exception());
    CHECK(status.exception()->type.find("unnamed_trouble") != std::string::npos);
}

TEST_CASE_FIXTURE(leak_check, "process: a join that is cut leaves it running") {
    run([]() -> task<> {
        process child = process::start(wait_for_ever);
        CHECK_THROWS_AS((void)co_await timeout(1ms, child.join()), timeout_error);
        const auto nothing_yet = co_await nothrow(timeout(1ms, child.join()));
        CHECK(nothing_yet.error() == errc::timed_out);
        CHECK(child.is_alive());
        CHECK(!child.exit_status());
        CHECK(!child.join_blocking(1ms));
        child.kill();
        const process_status status = co_await timeout(10s, child.join());
        CHECK(status.signal() == SIGKILL);
        CHECK(child.exit_status()->signal() == SIGKILL);
    }());
}

TEST_CASE_FIXTURE(leak_check, "process: the living are listed") {
    process_options options = daemon_options();
    options.name = "listed";
    process child = process::start(options, wait_for_ever);
    process other = process::start(wait_for_ever);
    const auto both = active_children();
    REQUIRE(both.size() == 2);
    CHECK(both[0].pid == child.pid());
    CHECK(both[0].name == "listed");
    CHECK(both[0].daemon);
    CHECK(!both[1].daemon);
    other.kill();
    (void)other.join_blocking();
    CHECK(active_children().size() == 1);
    const int pid = child.pid();
    detach(std::move(child));
    CHECK(active_children().empty());
    ::kill(pid, SIGKILL);
    CHECK(goes_at_last(pid));
}

TEST_CASE_FIXTURE(leak_check, "process: signals reach it, and nobody after its end") {
    process child = process::start(wait_for_ever);
    CHECK(child.send_signal(0));
    CHECK_THROWS_AS(child.send_signal(1000), std::system_error);
    CHECK(child.send_signal(SIGUSR2));
    CHECK(child.join_blocking().signal() == SIGUSR2);
    CHECK(!child.send_signal(0));
}

}  // namespace

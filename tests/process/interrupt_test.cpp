// Ctrl-C at a terminal: every process of the program's group gets SIGINT at once, the first
// process, its children, its pool's workers, the fork server. Here each program is a group of its
// own.
#include <lariat/process/process.hpp>

#include "family_support.hpp"
#include "program.hpp"

#include <lariat/base/clock.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/pool.hpp>
#include <lariat/process/workers.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::daemon_named;
using lariat::test::goes_at_last;
using lariat::test::named;
using lariat::test::numbers;
using lariat::test::parent_of;
using lariat::test::program;
using lariat::test::role;
using lariat::test::say;

// ---- in the programs

/// Before anything is started, as a shell does it for each of its jobs.
void lead_own_group() {
    if (::setpgid(0, 0) != 0) std::abort();
}
void say_pid(const std::string& name) { say(name + ' ' + std::to_string(::getpid())); }

void stay_plain() {
    say_pid(this_process::name());
    for (;;) ::pause();
}
/// Computes for ever, and asks nobody for anything.
[[noreturn]] void spin() {
    volatile unsigned long count = 0;
    for (;;) {
        const unsigned long next = count + 1;
        count = next;
    }
}
void compute() {
    say_pid(this_process::name());
    spin();
}
void stay_deaf() {
    std::signal(SIGINT, SIG_IGN);
    stay_plain();
}
task<> stay_in_task() {
    say_pid(this_process::name());
    co_await sleep(1h);
}
task<> stay_with_child() {
    const process own = process::start(named("grandchild"), stay_in_task);
    co_await stay_in_task();
}

task<> wait_for_children() {
    std::vector<process> children;
    children.push_back(process::start(named("plain"), stay_plain));
    children.push_back(process::start(named("busy"), compute));
    children.push_back(process::start(named("deaf"), stay_deaf));
    children.push_back(process::start(named("task"), stay_in_task));
    children.push_back(process::start(named("parent"), stay_with_child));
    children.push_back(process::start(daemon_named("daemon"), stay_in_task));
    (void)co_await children.front().join();
    (void)co_await children.at(2).join();
}
const role children("interrupted-children", [] {
    lead_own_group();
    run(wait_for_children());
    return 0;
});

task<> serve_in_worker() {
    say_pid("worker-" + std::to_string(::getpid()));
    co_await sleep(1h);
}
task<> use_pool() {
    process_pool pool(2);
    auto compute_there = [] {
        say_pid("worker-" + std::to_string(::getpid()));
        spin();
    };
    auto queued = [] {};
    co_await gather(pool.run(compute_there), pool.run(serve_in_worker), pool.run(queued),
                    pool.run(queued), pool.run(queued));
}
const role pooled("interrupted-pool", [] {
    lead_own_group();
    run(use_pool());
    return 0;
});

/// The first Ctrl-C does not end it.
task<> hold_out() {
    const process daemon = process::start(daemon_named("daemon"), stay_deaf);
    process_pool pool(1);
    auto work = pool.submit(serve_in_worker);
    try {
        co_await sleep(1h);
    } catch (const cancelled&) {
        say("held out");
    }
    co_await shield(sleep(1h));
}
const role stubborn("interrupted-stubborn", [] {
    lead_own_group();
    run(hold_out());
    return 0;
});

task<> wait_as_worker(worker_context& self) {
    (void)self.listener("127.0.0.1", 0);  // answered by the supervisor: it is at its work
    say_pid("worker-" + std::to_string(self.index()));
    co_await sleep(1h);
}
const role supervised("interrupted-workers", [] {
    lead_own_group();
    workers_options options;
    options.count = 2;
    return run_workers(wait_as_worker, options);
});

// ---- and at the terminal

/// Presses Ctrl-C, and takes care that all go: those named and the fork server, which is the parent
/// of one of them. Returns the program's exit code.
int interrupt(program& running, const std::map<std::string, int>& processes) {
    const int server = parent_of(processes.begin()->second);
    REQUIRE(::getpgid(server) == running.pid());
    REQUIRE(::kill(-running.pid(), SIGINT) == 0);
    CHECK(goes_at_last(running.pid()));
    const int code = running.wait();
    for (const auto& [name, pid] : processes) CHECK_MESSAGE(goes_at_last(pid), name);
    CHECK(goes_at_last(server));
    return code;
}

TEST_CASE("interrupt: the first process and its children end, as Ctrl-C ends any program") {
    program running("interrupted-children");
    const auto processes = numbers(running, 7);
    const int code = interrupt(running, processes);
    CHECK(code == -SIGINT);  // which a shell shows as 130
    CHECK(running.rest().empty());
}

TEST_CASE("interrupt: a pool ends with its workers, whatever they do") {
    program running("interrupted-pool");
    const auto processes = numbers(running, 2);
    const int code = interrupt(running, processes);
    CHECK(code == -SIGINT);
    CHECK(running.rest().empty());
}

TEST_CASE("interrupt: a second one ends a program that holds out, and what depends on it") {
    program running("interrupted-stubborn");
    const auto processes = numbers(running, 2);
    REQUIRE(::kill(-running.pid(), SIGINT) == 0);
    CHECK(running.line() == "held out");
    for (const auto& [name, pid] : processes) CHECK_MESSAGE(test::is_there(pid), name);
    const int code = interrupt(running, processes);
    CHECK(code == -SIGINT);
    CHECK(running.rest().empty());
}

TEST_CASE("interrupt: run_workers ends its workers, and returns as after SIGTERM") {
    program running("interrupted-workers");
    const auto processes = numbers(running, 2);
    const int code = interrupt(running, processes);
    CHECK(code == 0);
    CHECK(running.rest().empty());
}

}  // namespace

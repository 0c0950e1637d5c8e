#include <lariat/cores/loop_thread.hpp>

#include "death.hpp"
#include "forked.hpp"
#include "leak_check.hpp"
#include "waits.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/call_on.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/offload/subprocess.hpp>
#include <lariat/offload/thread_pool.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::ending;
using lariat::test::forked_children_have_threads;
using lariat::test::leak_check;
using lariat::test::stops_with;
using lariat::test::until_cancelled;

loop_thread_options named(const char* name) {
    loop_thread_options options;
    options.name = name;
    return options;
}

task<> set_flag(bool& flag) {
    flag = true;
    co_return;
}

task<> fail(std::string why) {
    throw std::out_of_range(why);
    co_return;
}

/// Whether a thread of this process waits for something.
bool is_asleep(int thread) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    const std::string text(std::istreambuf_iterator<char>(stat), {});
    const std::size_t name_ends = text.rfind(')');  // proc(5): "pid (name) state ..."
    return name_ends + 2 < text.size() && text[name_ends + 2] == 'S';
}

/// Says that it runs, and then waits until it is stopped.
task<> until_stopped(std::binary_semaphore& begun, bool& unwound) {
    begun.release();
    try {
        co_await until_cancelled();
    } catch (const cancelled&) {
        unwound = true;
        throw;
    }
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: runs its main task on a thread and loop of its own") {
    std::thread::id there;
    loop* its_loop = nullptr;
    auto look = [&](std::unique_ptr<int> given) -> task<> {
        there = std::this_thread::get_id();
        its_loop = &loop::current();
        CHECK(*given == 4);
        co_await yield_now();
    };
    loop_thread thread(look, std::make_unique<int>(4));
    CHECK(static_cast<bool>(thread));
    const auto id = thread.id();
    thread.join_blocking();
    CHECK_FALSE(thread.is_alive());
    CHECK(there == id);
    CHECK(there != std::this_thread::get_id());
    CHECK(its_loop != nullptr);
    thread.join_blocking();
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: another loop joins it without being blocked") {
    std::binary_semaphore gate(0);
    run([&]() -> task<> {
        auto wait = [&]() -> task<> {
            gate.acquire();
            co_return;
        };
        loop_thread thread(wait);
        auto joins = [&]() -> task<> { co_await thread.join(); };
        auto first = spawn(joins);
        auto second = spawn(joins);
        co_await test::some_turns();
        CHECK_FALSE(first.done());
        CHECK_THROWS_AS(co_await timeout(1ms, thread.join()), timeout_error);
        gate.release();
        co_await first;
        co_await second;
        CHECK_FALSE(thread.is_alive());
    }());
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: a join on a plain thread may have a limit") {
    std::binary_semaphore gate(0);
    auto wait = [&]() -> task<> {
        gate.acquire();
        co_return;
    };
    const loop_thread thread(wait);
    CHECK_THROWS_AS(thread.join_blocking(1ms), timeout_error);
    CHECK(thread.is_alive());
    gate.release();
    thread.join_blocking(1h);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: its failure reaches who joins, once") {
    loop_thread plain(fail, "first");
    CHECK_THROWS_WITH_AS(plain.join_blocking(), "first", std::out_of_range);
    plain.join_blocking();
    run([&]() -> task<> {
        loop_thread thread(fail, "second");
        CHECK_THROWS_WITH_AS(co_await thread.join(), "second", std::out_of_range);
        co_await thread.join();
    }());
    loop_thread_options quiet;
    std::atomic<int> reports = 0;
    quiet.run.report = [&](const failure_report&) { ++reports; };
    auto spawns = []() -> task<> {
        (void)spawn(fail, "of a spawned task");
        co_await until_cancelled();
    };
    loop_thread spawning(quiet, spawns);
    CHECK_THROWS_WITH_AS(spawning.join_blocking(), "of a spawned task", std::out_of_range);
    CHECK(reports.load() == 1);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: a failure that nobody joins is reported") {
    std::vector<std::string> reports;
    loop_thread_options options = named("lonely");
    options.run.report = [&](const failure_report& report) {
        reports.push_back(report.task + ": " + describe(report.error));
    };
    {
        const loop_thread dropped(options, fail, "dropped");
        while (dropped.is_alive()) std::this_thread::yield();
    }
    CHECK(reports == std::vector<std::string>{"the thread lonely: dropped"});
    reports.clear();
    {
        loop_thread late(options, fail, "detached");
        while (late.is_alive()) std::this_thread::yield();
        late.detach();
    }
    CHECK(reports == std::vector<std::string>{"the thread lonely: detached"});
    reports.clear();
    std::binary_semaphore gate(0);
    std::promise<std::string> told;
    options.run.report = [&](const failure_report& report) {
        told.set_value(describe(report.error));
    };
    auto fails_later = [&]() -> task<> {
        gate.acquire();
        co_await fail("alone");
    };
    loop_thread(options, fails_later).detach();
    gate.release();
    CHECK(told.get_future().get() == "alone");
    while (!loop_threads().empty()) std::this_thread::yield();
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: stop cancels its main task from outside") {
    std::binary_semaphore begun(0);
    bool unwound = false;
    loop_thread thread(until_stopped, std::ref(begun), std::ref(unwound));
    begun.acquire();
    thread.stop();
    thread.join_blocking();
    CHECK(unwound);
    thread.stop();  // it has ended: nothing happens
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: its end stops it and joins it") {
    std::binary_semaphore begun(0);
    bool unwound = false;
    {
        const loop_thread thread(until_stopped, std::ref(begun), std::ref(unwound));
        begun.acquire();
    }
    CHECK(unwound);
    unwound = false;
    loop_thread thread(until_stopped, std::ref(begun), std::ref(unwound));
    begun.acquire();
    bool flag = false;
    thread = loop_thread(set_flag, std::ref(flag));
    CHECK(unwound);
    thread.join_blocking();
    CHECK(flag);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: stopped as soon as started, again and again") {
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    auto body = [&]() -> task<> {
        ++begun;
        try {
            co_await until_cancelled();
        } catch (const cancelled&) {
            ++ended;
            throw;
        }
    };
    for (int i = 0; i < 50; ++i) {
        const loop_thread thread(body);
        thread.stop();
    }
    CHECK(begun.load() == ended.load());
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: without a main task it serves what is posted to it") {
    loop_thread_options options = named("server");
    loop_thread thread(options);
    std::promise<std::thread::id> where;
    CHECK(thread.ref().post([&] { where.set_value(std::this_thread::get_id()); }));
    CHECK(where.get_future().get() == thread.id());
    run([&]() -> task<> {
        auto name = [] {
            std::array<char, 16> text{};
            ::pthread_getname_np(::pthread_self(), text.data(), text.size());
            return std::string(text.data());
        };
        const std::string got = co_await call_on(thread.ref(), name);
        CHECK(got == "server");
    }());
    const loop_ref after = thread.ref();
    thread.stop();
    thread.join_blocking();
    CHECK_FALSE(after.post([] {}));
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: all that are there can be listed") {
    CHECK(loop_threads().empty());
    CHECK(active_loop_threads() == 0);
    {
        loop_thread first(named("first"));
        loop_thread_options options = named("second");
        options.daemon = true;
        loop_thread second(options);
        loop_thread third{loop_thread_options()};
        const auto all = loop_threads();
        REQUIRE(all.size() == 3);
        CHECK(all[0].name == "first");
        CHECK(all[0].id == first.id());
        CHECK(all[0].alive);
        CHECK_FALSE(all[0].daemon);
        CHECK(all[1].name == "second");
        CHECK(all[1].daemon);
        CHECK(all[2].name.starts_with("loop-"));
        CHECK(active_loop_threads() == 3);
        first.stop();
        first.join_blocking();
        CHECK(active_loop_threads() == 2);
        CHECK(loop_threads().size() == 3);
        CHECK_FALSE(loop_threads()[0].alive);
    }
    CHECK(loop_threads().empty());
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: may be pinned to a core") {
    cpu_set_t mine;
    ::sched_getaffinity(0, sizeof mine, &mine);
    unsigned core = 0;
    while (!CPU_ISSET(core, &mine)) ++core;
    loop_thread_options options;
    options.core = core;
    int count = 0;
    bool on_it = false;
    auto look = [&]() -> task<> {
        cpu_set_t set;
        ::sched_getaffinity(0, sizeof set, &set);
        count = CPU_COUNT(&set);
        on_it = CPU_ISSET(core, &set);
        co_return;
    };
    loop_thread(options, look).join_blocking();
    CHECK(count == 1);
    CHECK(on_it);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: a pinned one pins nothing that it has done elsewhere") {
    cpu_set_t mine;
    ::sched_getaffinity(0, sizeof mine, &mine);
    loop_thread_options options;
    options.core = 0;
    while (!CPU_ISSET(*options.core, &mine)) ++*options.core;
    subprocess_options asked("grep", "Cpus_allowed:", "/proc/self/status");
    asked.output = stdio::pipe();
    const std::string expected = run(run_program(asked)).output;
    CHECK(expected.starts_with("Cpus_allowed:"));
    cpu_set_t of_worker;
    std::string of_child;
    std::string of_bound_child;
    auto look = [&]() -> task<> {
        thread_pool pool(1);
        co_await pool.run([&] { ::sched_getaffinity(0, sizeof of_worker, &of_worker); });
        program_result ended = co_await run_program(asked);
        of_child = std::move(ended.output);
        subprocess_options bound = asked;
        bound.parent_death_signal = SIGKILL;
        program_result bound_ended = co_await run_program(bound);
        of_bound_child = std::move(bound_ended.output);
        co_await pool.shutdown();
    };
    loop_thread(options, look).join_blocking();
    CHECK(CPU_EQUAL(&of_worker, &mine));
    CHECK(of_child == expected);
    CHECK(of_bound_child == expected);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: one that does not start says why") {
    loop_thread_options options = named("nowhere");
    options.core = 1'000'000;
    bool ran = false;
    try {
        const loop_thread thread(options, set_flag, std::ref(ran));
        FAIL("it started");
    } catch (const std::system_error& error) {
        CHECK(std::string(error.what()).find("pinning the thread nowhere to core 1000000") !=
              std::string::npos);
    }
    CHECK_FALSE(ran);
    CHECK(loop_threads().empty());
}

TEST_CASE("loop_thread: where no thread can be made it says so" *
          doctest::skip(!forked_children_have_threads)) {
    const ending how = test::run_in_lone_child([] {
        // Without the right to exceed it: for root the limit does not hold.
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(7);
        rlimit none{0, 0};
        ::setrlimit(RLIMIT_NPROC, &none);
        try {
            const loop_thread thread(named("extra"));
        } catch (const std::system_error& error) {
            const bool said = std::string(error.what()).find("starting the thread extra") == 0;
            ::_exit(said && error.code() == std::errc::resource_unavailable_try_again ? 0 : 2);
        }
        ::_exit(1);
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
}

TEST_CASE_FIXTURE(leak_check, "loop_thread: a detached one goes on and is forgotten when it ends") {
    std::binary_semaphore gate(0);
    std::promise<void> over;
    auto work = [&]() -> task<> {
        gate.acquire();
        over.set_value();
        co_return;
    };
    loop_thread thread(work);
    thread.detach();
    CHECK_FALSE(static_cast<bool>(thread));
    CHECK(active_loop_threads() == 1);
    gate.release();
    over.get_future().wait();
    while (!loop_threads().empty()) std::this_thread::yield();
}

TEST_CASE("loop_thread: at exit the detached are awaited, and daemons told to stop" *
          doctest::skip(!forked_children_have_threads)) {
    const ending how = test::run_in_lone_child([] {
        static std::atomic<bool> leaves_main{false};
        auto slow = [](bool* /*unused*/) -> task<> {
            leaves_main.wait(false);
            while (!is_asleep(::getpid())) co_await yield_now();
            std::fputs("finished;", stderr);
        };
        loop_thread(slow, nullptr).detach();
        loop_thread_options options = named("daemon");
        options.daemon = true;
        options.exit_grace = 1h;
        auto lasting = []() -> task<> {
            try {
                co_await until_cancelled();
            } catch (const cancelled&) {
                std::fputs("stopped;", stderr);
                throw;
            }
        };
        loop_thread(options, lasting).detach();
        loop_thread_options deaf = options;
        deaf.exit_grace = 1ms;
        auto never = []() -> task<> {
            std::binary_semaphore nobody(0);
            nobody.acquire();
            co_return;
        };
        loop_thread(deaf, never).detach();
        leaves_main = true;
        leaves_main.notify_one();
        std::exit(0);
    });
    CHECK(how.exit_code == 0);
    CHECK(how.signal == 0);
    CHECK(how.text == "finished;stopped;");
}

TEST_CASE("loop_thread: a forked child may destroy its parent's, and is told the rule else" *
          doctest::skip(!forked_children_have_threads)) {
    std::optional<loop_thread> thread(named("parental"));
    CHECK(thread->ref().post([] {}));
    const ending how = test::run_in_lone_child([&] {
        if (thread->is_alive()) ::_exit(2);
        *thread = loop_thread(named("own"));
        thread.reset();
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
    const char* const rule = "inherited through fork";
    CHECK(stops_with(rule, [&] { thread->stop(); }));
    CHECK(stops_with(rule, [&] { thread->join_blocking(); }));
    CHECK(stops_with(rule, [&] { thread->join_blocking(1ms); }));
    CHECK(stops_with(rule, [&] { run(thread->join()); }));
    CHECK(stops_with(rule, [&] { thread->detach(); }));
    CHECK(thread->is_alive());
}

TEST_CASE("loop_thread: misuse is stopped with the rule" *
          doctest::skip(!forked_children_have_threads)) {
    CHECK(stops_with("names no thread", [] { loop_thread().stop(); }));
    CHECK(stops_with("co_await join() there", [] {
        run([]() -> task<> {
            const loop_thread thread(named("other"));
            thread.join_blocking();
            co_return;
        }());
    }));
    CHECK(stops_with("cannot wait for its own end", [] {
        std::promise<loop_thread*> self;
        auto joins_itself = [&]() -> task<> {
            loop_thread* const own = self.get_future().get();
            co_await own->join();
        };
        loop_thread thread(joins_itself);
        self.set_value(&thread);
        thread.join_blocking();
    }));
}

}  // namespace

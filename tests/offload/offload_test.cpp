#include <lariat/offload/offload.hpp>

#include "leak_check.hpp"
#include "pool_support.hpp"

#include <lariat/base/error.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::add;
using lariat::test::held_work;
using lariat::test::leak_check;

std::string thread_name() {
    std::array<char, 16> name{};
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    return name.data();
}

/// Notes on which thread it is destroyed.
struct traced {
    explicit traced(std::atomic<std::thread::id>& note) : where(&note) {}
    traced(traced&& other) noexcept : where(std::exchange(other.where, nullptr)) {}
    traced& operator=(traced&&) = delete;
    ~traced() {
        if (where != nullptr) where->store(std::this_thread::get_id());
    }
    std::atomic<std::thread::id>* where;
};

TEST_CASE_FIXTURE(leak_check, "offload: calls on another thread, with arguments of its own") {
    run([]() -> task<> {
        const int sum = co_await offload(add, 2, 3);
        CHECK(sum == 5);
        const std::string name = co_await offload(thread_name);
        CHECK(name.starts_with("lariat-pool-"));
        auto unpack = [](std::unique_ptr<int> given) { return given; };
        const auto same = co_await offload(unpack, std::make_unique<int>(4));
        CHECK(*same == 4);
        int target = 0;
        auto refer = [](int& to) -> int& { return to; };
        int& referred = co_await offload(refer, std::ref(target));
        CHECK(&referred == &target);
        std::string text = "a";
        auto append = [](std::string to) { return to + "b"; };
        const std::string longer = co_await offload(append, text);
        CHECK(longer == "ab");
        CHECK(text == "a");
        co_await offload(&std::string::clear, std::ref(text));
        CHECK(text.empty());
    }());
}

TEST_CASE_FIXTURE(leak_check, "offload: its exception arrives with its type") {
    run([]() -> task<> {
        auto fails = [] { throw std::out_of_range("beyond"); };
        CHECK_THROWS_WITH_AS(co_await offload(fails), "beyond", std::out_of_range);
        CHECK_THROWS_WITH_AS(co_await offload(abandon_on_cancel, fails), "beyond",
                             std::out_of_range);
    }());
}

TEST_CASE_FIXTURE(leak_check, "offload: another pool can be chosen for a stretch of a program") {
    thread_pool_options options;
    options.most_threads = 1;
    options.name = "outer";
    thread_pool outer(options);
    options.name = "inner";
    thread_pool inner(options);
    auto ask = []() -> task<std::string> {
        std::string name = co_await offload(thread_name);
        co_return name;
    };
    {
        const use_pool chosen(outer);
        CHECK(run(ask()) == "outer-1");
        {
            const use_pool nested(inner);
            CHECK(run(ask()) == "inner-1");
        }
        CHECK(run(ask()) == "outer-1");
    }
    CHECK(run(ask()).starts_with("lariat-pool-"));
}

TEST_CASE_FIXTURE(leak_check, "offload: queued work is taken back by a cancel, in both ways") {
    thread_pool pool(1);
    const use_pool chosen(pool);
    held_work first;
    bool ran = false;
    run([&]() -> task<> {
        auto busy = spawn([&]() -> task<> { co_await offload(std::ref(first)); });
        co_await yield_now();
        first.begun.acquire();
        auto note = [&] { ran = true; };
        CHECK_THROWS_AS(co_await timeout(1ms, offload(note)), timeout_error);
        CHECK_THROWS_AS(co_await timeout(1ms, offload(abandon_on_cancel, note)), timeout_error);
        CHECK(pool.stats().queued == 0);
        first.gate.release();
        co_await busy;
    }());
    CHECK_FALSE(ran);
    CHECK(pool.stats().taken_back == 2);
}

TEST_CASE_FIXTURE(leak_check, "offload: running work is awaited, and the cancel stays pending") {
    held_work work;
    test::check_running_work_is_awaited(work, [&] { return offload(std::ref(work)); });
}

TEST_CASE_FIXTURE(leak_check, "offload: a timeout as a result says what became of it") {
    run([&]() -> task<> {
        const result<int> in_time = co_await nothrow(timeout(1h, offload(add, 1, 2)));
        CHECK(in_time.has_value());
        held_work work;
        auto body = [&]() -> task<result<int>> {
            auto cut = co_await nothrow(timeout(1ms, offload(abandon_on_cancel, std::ref(work))));
            co_return cut;
        };
        auto handle = spawn(body);
        co_await yield_now();
        work.begun.acquire();
        const result<int> cut = co_await handle;
        CHECK(cut.error() == errc::timed_out);
        work.gate.release();
        while (thread_pool::shared().stats().running != 0) co_await yield_now();
    }());
}

TEST_CASE_FIXTURE(leak_check, "offload: abandoned work keeps its memory; its result dies with it") {
    thread_pool pool(1);
    const use_pool chosen(pool);
    std::atomic<std::thread::id> result_died_on;
    std::atomic<std::thread::id> argument_died_on;
    std::binary_semaphore begun(0);
    std::binary_semaphore gate(0);
    std::thread::id worker;
    run([&]() -> task<> {
        auto work = [&](traced&&) {
            worker = std::this_thread::get_id();
            begun.release();
            gate.acquire();
            return traced(result_died_on);
        };
        auto body = [&]() -> task<> {
            co_await offload(abandon_on_cancel, work, traced(argument_died_on));
        };
        auto handle = spawn(body);
        co_await yield_now();
        begun.acquire();
        handle.cancel();
        CHECK_THROWS_AS(co_await handle, task_cancelled);
        CHECK(pool.stats().running == 1);
        CHECK(argument_died_on.load() == std::thread::id());
        gate.release();
        co_await pool.shutdown();
    }());
    CHECK(result_died_on.load() == worker);
    CHECK(argument_died_on.load() == worker);
}

TEST_CASE_FIXTURE(leak_check, "offload: a failure of abandoned work goes to the report hook") {
    thread_pool pool(1);
    const use_pool chosen(pool);
    held_work work;
    std::vector<std::string> reports;
    event reported;
    run_options options;
    options.report = [&](const failure_report& report) {
        reports.push_back(describe(report.error));
        reported.set();
    };
    run(options, [&]() -> task<> {
        auto fails = [&] {
            work();
            throw std::runtime_error("alone");
        };
        auto handle = spawn([&]() -> task<> { co_await offload(abandon_on_cancel, fails); });
        co_await yield_now();
        work.begun.acquire();
        handle.cancel();
        CHECK_THROWS_AS(co_await handle, task_cancelled);
        work.gate.release();
        co_await reported.wait();
    }());
    CHECK(reports == std::vector<std::string>{"alone"});
}

TEST_CASE_FIXTURE(leak_check, "offload: abandoned work that outlives its loop ends in peace") {
    auto pool = std::make_unique<thread_pool>(1);
    held_work work;
    run([&]() -> task<> {
        const use_pool chosen(*pool);
        auto handle =
            spawn([&]() -> task<> { co_await offload(abandon_on_cancel, std::ref(work)); });
        co_await yield_now();
        work.begun.acquire();
        handle.cancel();
        CHECK_THROWS_AS(co_await handle, task_cancelled);
    }());
    work.gate.release();
    pool.reset();
}

TEST_CASE_FIXTURE(leak_check,
                  "offload: of a cancel and a completion in one turn, completion wins") {
    run([&]() -> task<> {
        for (int round = 0; round < 200; ++round) {
            std::atomic<bool> ran = false;
            bool delivered = false;
            auto body = [&]() -> task<> {
                co_await offload([&] { ran.store(true); });
                delivered = true;
            };
            auto handle = spawn(body);
            co_await yield_now();
            if (round % 2 == 0)
                while (!ran.load() && round % 4 == 0) std::this_thread::yield();
            handle.cancel();
            try {
                co_await handle;
            } catch (const task_cancelled&) {
            }
            CHECK(delivered == ran.load());
        }
    }());
}

TEST_CASE_FIXTURE(leak_check, "offload: a wait for it allocates nothing") {
    run([]() -> task<> {
        (void)co_await offload(add, 1, 1);  // the thread and what it keeps
        const std::size_t before = live_frames();
        std::size_t meanwhile = 0;
        auto look = [&] { meanwhile = live_frames(); };
        co_await offload(look);
        CHECK(meanwhile == before);
    }());
}

}  // namespace

#include <lariat/offload/thread_pool.hpp>

#include "death.hpp"
#include "forked.hpp"
#include "leak_check.hpp"
#include "pool_support.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <ranges>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::add;
using lariat::test::adds_up;
using lariat::test::barricade;
using lariat::test::ending;
using lariat::test::forked_children_have_threads;
using lariat::test::leak_check;
using lariat::test::of;
using lariat::test::until;

/// The shared pool of this whole test program.
const bool configured_before_main = [] {
    {
        const thread_pool own(1);
    }  // the end of another does not make it
    thread_pool::configure_shared(of(7));
    return true;
}();

TEST_CASE_FIXTURE(leak_check, "thread_pool: run brings the result back, and the exception") {
    thread_pool pool(2);
    run([&]() -> task<> {
        const int sum = co_await pool.run(add, 2, 3);
        CHECK(sum == 5);
        auto owned = std::make_unique<int>(7);
        auto unpack = [](std::unique_ptr<int> given) { return *given; };
        const int got = co_await pool.run(unpack, std::move(owned));
        CHECK(got == 7);
        int target = 0;
        auto set = [](int& where) { where = 9; };
        co_await pool.run(set, std::ref(target));
        CHECK(target == 9);
        auto fails = [](const std::string& why) -> int { throw std::out_of_range(why); };
        CHECK_THROWS_WITH_AS(co_await pool.run(fails, "beyond"), "beyond", std::out_of_range);
        auto throws_int = [] { throw 5; };
        CHECK_THROWS_AS(co_await pool.run(throws_int), int);
    }());
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a handle is awaited on a loop") {
    thread_pool pool(1);
    run([&]() -> task<> {
        auto sum = co_await pool.submit(add, 2, 3);
        const int got = co_await sum;
        CHECK(got == 5);
        CHECK_FALSE(static_cast<bool>(sum));
        auto fails = co_await pool.submit([]() -> int { throw std::runtime_error("broken"); });
        CHECK_THROWS_WITH_AS(co_await fails, "broken", std::runtime_error);
    }());
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a handle blocks a plain thread, for so long at most") {
    thread_pool pool(1);
    auto sum = pool.submit_blocking(add, 2, 3);
    CHECK(sum.get_blocking() == 5);
    barricade busy(pool, 1);
    auto late = pool.submit_blocking(add, 4, 5);
    CHECK_THROWS_AS((void)late.get_blocking(1ms), timeout_error);
    CHECK_FALSE(late.ready());
    busy.open();
    CHECK(late.get_blocking() == 9);
    auto fails = pool.submit_blocking([] { throw std::runtime_error("broken"); });
    CHECK_THROWS_WITH_AS(fails.get_blocking(), "broken", std::runtime_error);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a handle may go from a thread to a loop and back") {
    thread_pool pool(1);
    pool_future<int> sum = pool.submit_blocking(add, 2, 3);
    run([&]() -> task<> {
        const int got = co_await std::move(sum);
        CHECK(got == 5);
        sum = co_await pool.submit(add, 4, 5);
    }());
    CHECK(sum.get_blocking() == 9);
}

TEST_CASE_FIXTURE(leak_check,
                  "thread_pool: a wait that is cut leaves the work, and can be repeated") {
    thread_pool pool(1);
    barricade busy(pool, 1);
    run([&]() -> task<> {
        auto sum = co_await pool.submit(add, 2, 3);
        CHECK_THROWS_AS(co_await timeout(1ms, sum), timeout_error);
        CHECK(static_cast<bool>(sum));
        busy.open();
        const int got = co_await sum;
        CHECK(got == 5);
    }());
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: queued work that is cancelled never runs") {
    thread_pool pool(1);
    barricade busy(pool, 1);
    bool ran = false;
    auto work = pool.submit_blocking([&] { ran = true; });
    CHECK(work.cancel());
    CHECK_FALSE(work.cancel());
    CHECK(work.ready());
    busy.open();
    CHECK_THROWS_AS(work.get_blocking(), task_cancelled);
    CHECK_FALSE(ran);
    CHECK(pool.stats().taken_back == 1);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: cancelling the handle wakes who waits for it") {
    thread_pool pool(1);
    barricade busy(pool, 1);
    run([&]() -> task<> {
        auto work = co_await pool.submit([] {});
        auto waits = spawn([](pool_future<>& of) -> task<> { co_await of; }, std::ref(work));
        co_await yield_now();
        CHECK(work.cancel());
        CHECK_THROWS_AS(co_await waits, task_cancelled);
        busy.open();
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "thread_pool: work that runs is not stopped by cancelling its handle") {
    thread_pool pool(1);
    std::binary_semaphore begun(0);
    std::binary_semaphore gate(0);
    auto work = pool.submit_blocking([&] {
        begun.release();
        gate.acquire();
        return 3;
    });
    begun.acquire();
    CHECK_FALSE(work.cancel());
    gate.release();
    CHECK(work.get_blocking() == 3);
}

TEST_CASE_FIXTURE(leak_check,
                  "thread_pool: threads and queue full, try_submit says so and submit waits") {
    thread_pool pool(of(2, 3));
    barricade busy(pool, 2);
    std::vector<pool_future<>> queued;
    for (int i = 0; i < 3; ++i) queued.push_back(pool.try_submit([] {}).value());
    CHECK_FALSE(pool.try_submit([] {}).has_value());
    CHECK(pool.stats().queued == 3);
    run([&]() -> task<> {
        CHECK_THROWS_AS((void)co_await timeout(1ms, pool.submit([] {})), timeout_error);
        CHECK(pool.stats().waiting == 0);
        auto submits = [&]() -> task<int> {
            auto work = co_await pool.submit(add, 1, 2);
            CHECK(pool.stats().waiting == 0);
            const int got = co_await work;
            co_return got;
        };
        auto waits = spawn(submits);
        co_await yield_now();
        CHECK(pool.stats().waiting == 1);
        CHECK(adds_up(pool.stats()));
        busy.open();
        const int got = co_await waits;
        CHECK(got == 3);
    }());
    for (auto& each : queued) each.get_blocking();
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: those who wait for room come in in their order") {
    thread_pool pool(of(1, 1));
    barricade busy(pool, 1);
    std::vector<int> order;  // one thread writes it
    run([&]() -> task<> {
        auto one = [&](int mark) -> task<> {
            auto note = [&order](int what) { order.push_back(what); };
            auto work = co_await pool.submit(note, mark);
            co_await work;
        };
        std::vector<join_handle<>> all;
        for (int i = 0; i < 10; ++i) {
            all.push_back(spawn(one, i));
            co_await yield_now();
        }
        CHECK(pool.stats().waiting == 9);
        all[4].cancel();
        co_await yield_now();
        co_await yield_now();
        CHECK(pool.stats().waiting == 8);
        busy.open();
        for (auto& each : all) (void)co_await settled(std::move(each));
    }());
    CHECK(order == std::vector{0, 1, 2, 3, 5, 6, 7, 8, 9});
    CHECK(adds_up(pool.stats()));
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a plain thread waits for room, and comes in") {
    thread_pool pool(of(1, 1));
    barricade busy(pool, 1);
    auto queued = pool.try_submit(add, 1, 1).value();
    int got = 0;
    std::thread waits([&] { got = pool.submit_blocking(add, 2, 2).get_blocking(); });
    until(pool, [](const auto& now) { return now.waiting == 1; });
    busy.open();
    waits.join();
    CHECK(got == 4);
    CHECK(queued.get_blocking() == 2);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: taking queued work back lets the next one in") {
    thread_pool pool(of(1, 1));
    barricade busy(pool, 1);
    auto queued = pool.try_submit([] {}).value();
    run([&]() -> task<> {
        auto submits = spawn(
            [](thread_pool& to) -> task<pool_future<int>> {
                auto work = co_await to.submit(add, 1, 2);
                co_return work;
            },
            std::ref(pool));
        co_await yield_now();
        CHECK(pool.stats().waiting == 1);
        CHECK(queued.cancel());
        auto work = co_await submits;
        CHECK(pool.stats().queued == 1);
        busy.open();
        const int got = co_await work;
        CHECK(got == 3);
    }());
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: an idle thread's place counts as room") {
    thread_pool pool(of(3, 1));
    for (int round = 0; round < 100; ++round) {
        std::vector<pool_future<>> all;
        std::counting_semaphore<> gate(0);
        for (int i = 0; i < 4; ++i) {
            auto work = pool.try_submit([&] { gate.acquire(); });
            REQUIRE(work.has_value());
            all.push_back(std::move(*work));
        }
        CHECK_FALSE(pool.try_submit([] {}).has_value());
        gate.release(4);
        for (auto& each : all) each.get_blocking();
        until(pool, [](const auto& now) { return now.running == 0; });
    }
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a done-callback runs on the loop that asked for it") {
    thread_pool pool(1);
    int got = 0;
    std::string why;
    bool never = true;
    const auto here = std::this_thread::get_id();
    run([&]() -> task<> {
        promise<> both;
        auto called = [&](pool_future<int> done) {
            CHECK(std::this_thread::get_id() == here);
            CHECK(done.ready());
            got = done.get_blocking();
        };
        auto told = [&](pool_future<int> done) {
            try {
                (void)done.get_blocking();
            } catch (const std::runtime_error& error) {
                why = error.what();
            }
            both.set_value();
        };
        auto sum = co_await pool.submit(add, 2, 3);
        std::move(sum).add_done_callback(called);
        auto fails = co_await pool.submit([]() -> int { throw std::runtime_error("broken"); });
        std::move(fails).add_done_callback(told);
        future<> over = both.get_future();
        co_await over;
    }());
    CHECK(got == 5);
    CHECK(why == "broken");
    barricade busy(pool, 1);
    run([&]() -> task<> {
        auto late = co_await pool.submit([] {});
        std::move(late).add_done_callback([&](pool_future<>) { never = false; });
    }());
    busy.open();
    CHECK(never);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a failure that nobody asks for is reported") {
    thread_pool pool(1);
    std::vector<std::string> reports;
    event reported;
    run_options options;
    options.report = [&](const failure_report& report) {
        reports.push_back(describe(report.error));
        reported.set();
    };
    run(options, [&]() -> task<> {
        (void)co_await pool.submit([] { throw std::runtime_error("unheard"); });
        co_await reported.wait();
    }());
    CHECK(reports == std::vector<std::string>{"unheard"});
}

TEST_CASE("thread_pool: a failure without a loop to report it to is printed" *
          doctest::skip(!forked_children_have_threads)) {
    const ending how = test::run_in_child([] {
        thread_pool pool(1);
        (void)pool.submit_blocking([] { throw std::runtime_error("unheard"); });
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text.find("nobody was there to be told: unheard") != std::string::npos);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: several loops and threads use one at once") {
    thread_pool pool(of(2, 8));
    std::atomic<int> sum = 0;
    auto on_a_loop = [&] {
        run([&]() -> task<> {
            std::vector<task<>> all;
            auto one = [&]() -> task<> {
                co_await pool.run([&] { ++sum; });
                auto work = co_await pool.submit([&] { ++sum; });
                co_await work;
            };
            for (int i = 0; i < 100; ++i) all.push_back(one());
            co_await gather(std::move(all));
        }());
    };
    auto plainly = [&] {
        for (int i = 0; i < 100; ++i) pool.submit_blocking([&] { ++sum; }).get_blocking();
        pool.map_blocking(std::views::iota(0, 100), [&](int) { ++sum; });
    };
    std::vector<std::thread> others;
    others.emplace_back(on_a_loop);
    others.emplace_back(plainly);
    others.emplace_back(plainly);
    on_a_loop();
    for (auto& each : others) each.join();
    CHECK(sum.load() == 2 * 200 + 2 * 200);
    until(pool, [](const auto& now) { return now.running == 0; });
    CHECK(adds_up(pool.stats()));
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: its threads bear its name and a number") {
    auto name_here = [] {
        std::array<char, 16> name{};
        ::pthread_getname_np(::pthread_self(), name.data(), name.size());
        return std::string(name.data());
    };
    thread_pool_options options = of(2);
    options.name = "disk";
    thread_pool pool(options);
    std::latch both(2);
    auto meet_and_tell = [&] {
        both.arrive_and_wait();
        return name_here();
    };
    auto first = pool.submit_blocking(meet_and_tell);
    auto second = pool.submit_blocking(meet_and_tell);
    std::vector<std::string> names{first.get_blocking(), second.get_blocking()};
    std::sort(names.begin(), names.end());
    CHECK(names == std::vector<std::string>{"disk-1", "disk-2"});
    options.name = "a name too long for the system";
    thread_pool long_one(options);
    CHECK(long_one.submit_blocking(name_here).get_blocking() == "a name too lo-1");
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: the thread that worked last is called first") {
    thread_pool pool(of(4));
    barricade busy(pool, 4);
    busy.open();
    until(pool, [](const auto& now) { return now.idle == 4; });
    auto who = [] { return std::this_thread::get_id(); };
    const auto first = pool.submit_blocking(who).get_blocking();
    bool same = true;
    for (int i = 0; i < 50; ++i) {
        until(pool, [](const auto& now) { return now.idle == 4; });
        same = same && pool.submit_blocking(who).get_blocking() == first;
    }
    CHECK(same);
}

TEST_CASE("thread_pool: the shared one is configured before it is first used, not later") {
    CHECK(configured_before_main);
    CHECK(thread_pool::shared().engine().most_threads() == 7);
    CHECK_THROWS_AS(thread_pool::configure_shared(of(3)), std::logic_error);
    CHECK(thread_pool::shared().engine().most_threads() == 7);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a thread told to end that finds work is not awaited") {
    thread_pool pool(of(1));
    for (int round = 0; round < 50; ++round) {
        pool.submit_blocking([] {}).get_blocking();
        until(pool, [](const auto& now) { return now.idle == 1; });
        std::thread ender([&] { pool.engine().end_idle(); });
        // Told, and with luck not up yet: its lock is still to be had.
        until(pool, [](const auto& now) { return now.idle == 0; });
        std::binary_semaphore gate(0);
        auto work = pool.submit_blocking([&] { gate.acquire(); });
        ender.join();  // while the work is not done
        gate.release();
        work.get_blocking();
    }
}

TEST_CASE("thread_pool: where no thread can be made it says so, and works once one can be" *
          doctest::skip(!forked_children_have_threads)) {
    const ending how = test::run_in_child([] {
        // Without the right to exceed it: for root the limit does not hold.
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(7);
        rlimit none{0, 0};
        rlimit before{};
        ::getrlimit(RLIMIT_NPROC, &before);
        none.rlim_max = before.rlim_max;
        ::setrlimit(RLIMIT_NPROC, &none);
        thread_pool pool(2);
        try {
            (void)pool.submit_blocking([] {});
            ::_exit(1);
        } catch (const std::system_error& error) {
            if (error.code() != std::errc::resource_unavailable_try_again) ::_exit(2);
            if (std::string(error.what()).find("starting a thread") == std::string::npos)
                ::_exit(3);
        }
        if (pool.stats().submitted != 0 || pool.stats().queued != 0) ::_exit(4);
        ::setrlimit(RLIMIT_NPROC, &before);
        if (pool.submit_blocking(add, 1, 2).get_blocking() != 3) ::_exit(5);
        ::_exit(0);
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
}

}  // namespace

#include <lariat/offload/thread_pool.hpp>

#include "death.hpp"
#include "forked.hpp"
#include "leak_check.hpp"
#include "pool_support.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <ranges>
#include <semaphore>
#include <thread>
#include <vector>

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
using lariat::test::run_in_child;
using lariat::test::stops_with;

TEST_CASE_FIXTURE(leak_check, "thread_pool: a shutdown finishes what was submitted") {
    thread_pool pool(of(1, 1));
    int ran = 0;  // one thread writes it
    run([&]() -> task<> {
        barricade busy(pool, 1);
        auto one = [&]() -> task<> { co_await pool.run([&] { ++ran; }); };
        std::vector<join_handle<>> all;
        for (int i = 0; i < 5; ++i) all.push_back(spawn(one));
        auto ends = spawn([](thread_pool& which) { return which.shutdown(); }, std::ref(pool));
        co_await yield_now();
        CHECK(pool.stats().waiting == 4);
        CHECK_THROWS_AS(co_await pool.run([] {}), closed_error);
        CHECK_THROWS_AS((void)pool.try_submit([] {}), closed_error);
        CHECK_FALSE(ends.done());
        busy.open();
        co_await ends;
        CHECK(ran == 5);
        CHECK(pool.stats().threads == 0);
        for (auto& each : all) co_await each;
        co_await pool.shutdown();
    }());
    CHECK(adds_up(pool.stats()));
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a shutdown may cancel what has not begun") {
    thread_pool pool(of(1, 2));
    bool ran = false;
    run([&]() -> task<> {
        barricade busy(pool, 1);
        auto queued = co_await pool.submit([&] { ran = true; });
        auto runs = spawn([&]() -> task<> { co_await pool.run([&] { ran = true; }); });
        auto maps = spawn([&]() -> task<> {
            co_await pool.map(std::views::iota(0, 3), [&](int) { ran = true; });
        });
        auto submits = spawn([&]() -> task<> {
            auto work = co_await pool.submit([&] { ran = true; });
            co_await work;
        });
        co_await yield_now();
        CHECK(pool.stats().waiting == 2);
        auto ends = spawn(pool.shutdown(pool_shutdown::cancel_queued));
        CHECK_THROWS_AS(co_await queued, closed_error);
        CHECK_THROWS_AS(co_await runs, closed_error);
        CHECK_THROWS_AS(co_await maps, closed_error);
        CHECK_THROWS_AS(co_await submits, closed_error);
        CHECK_FALSE(ends.done());
        busy.open();
        co_await ends;
    }());
    CHECK_FALSE(ran);
    CHECK(adds_up(pool.stats()));
    CHECK(pool.stats().taken_back == 4);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: what one shutdown was to finish another may cancel") {
    thread_pool pool(1);
    bool ran = false;
    barricade busy(pool, 1);
    auto queued = pool.submit_blocking([&] { ran = true; });
    std::thread finishes([&] { pool.shutdown_blocking(); });
    while (true) {
        try {
            if (auto refused = pool.try_submit([] {})) (void)refused->cancel();
        } catch (const closed_error&) {
            break;
        }
    }
    std::thread cancels([&] { pool.shutdown_blocking(pool_shutdown::cancel_queued); });
    CHECK_THROWS_AS(queued.get_blocking(), closed_error);
    busy.open();
    finishes.join();
    cancels.join();
    CHECK_FALSE(ran);
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: a wait for its end can be cut; it stays shut down") {
    thread_pool pool(1);
    barricade busy(pool, 1);
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1ms, pool.shutdown()), timeout_error);
        CHECK_THROWS_AS(co_await pool.run([] {}), closed_error);
        busy.open();
        co_await pool.shutdown();
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "thread_pool: its end finishes what was submitted; handles outlive it") {
    std::vector<pool_future<int>> results;
    {
        thread_pool pool(2);
        for (int i = 0; i < 50; ++i) results.push_back(pool.submit_blocking(add, i, 1));
    }
    for (int i = 0; i < 50; ++i) {
        CHECK(results[static_cast<std::size_t>(i)].ready());
        CHECK_FALSE(results[static_cast<std::size_t>(i)].cancel());
        CHECK(results[static_cast<std::size_t>(i)].get_blocking() == i + 1);
    }
    run([&]() -> task<> {
        auto local = std::make_unique<thread_pool>(1);
        auto last = co_await local->submit(add, 1, 2);
        local.reset();
        const int got = co_await last;
        CHECK(got == 3);
    }());
}

TEST_CASE("thread_pool: misuse that would wait for ever is stopped with the rule" *
          doctest::skip(!forked_children_have_threads)) {
    CHECK(stops_with("it would wait for itself", [] {
        thread_pool pool(1);
        pool.submit_blocking([&] { pool.shutdown_blocking(); }).get_blocking();
    }));
    CHECK(stops_with("is not waited for by blocking a loop", [] {
        run([]() -> task<> {
            thread_pool pool(1);
            std::binary_semaphore gate(0);
            auto work = co_await pool.submit([&] { gate.acquire(); });
            work.get_blocking();
        }());
    }));
    CHECK(stops_with("a loop's thread is not blocked for a pool", [] {
        run([]() -> task<> {
            thread_pool pool(1);
            (void)pool.submit_blocking([] {});
            co_return;
        }());
    }));
    CHECK(stops_with("it is not shut down", [] { thread_pool::shared().shutdown_blocking(); }));
}

TEST_CASE("thread_pool: a forked child is told that its parent's pool has no threads there" *
          doctest::skip(!forked_children_have_threads)) {
    auto pool = std::make_unique<thread_pool>(of(1));
    CHECK(pool->submit_blocking(add, 2, 3).get_blocking() == 5);
    const char* const rule = "inherited through fork";
    CHECK(stops_with(rule, [&] { (void)pool->try_submit(add, 2, 3); }));
    CHECK(stops_with(rule, [&] { (void)pool->submit_blocking(add, 2, 3); }));
    CHECK(stops_with(rule, [&] { pool->shutdown_blocking(); }));
    CHECK(stops_with(rule, [&] { run(pool->shutdown()); }));
    const ending how = run_in_child([&] {
        pool.reset();
        thread_pool anew(1);
        if (anew.submit_blocking(add, 2, 3).get_blocking() != 5) ::_exit(1);
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
    CHECK(pool->submit_blocking(add, 2, 3).get_blocking() == 5);
}

}  // namespace

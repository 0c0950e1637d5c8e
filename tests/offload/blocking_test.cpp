#include <lariat/offload/blocking.hpp>

#include "death.hpp"
#include "forked.hpp"
#include "leak_check.hpp"
#include "pool_support.hpp"

#include <lariat/loop/future.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using detail::blocking_pool;
using detail::run_blocking;
using lariat::test::forked_children_have_threads;
using lariat::test::leak_check;

thread_pool_options limits_of(std::size_t threads, duration idle_after = 1h) {
    thread_pool_options limits;
    limits.most_threads = threads;
    limits.idle_after = idle_after;
    return limits;
}

template <class Fn>
task<> in_pool(blocking_pool& pool, Fn fn) {
    co_await run_blocking(pool, std::move(fn));
}

/// Others hold the pool's state for moments only: asks until it says so.
template <class Holds>
void until(const blocking_pool& pool, Holds holds) {
    while (!holds(pool.stats())) std::this_thread::yield();
}

TEST_CASE_FIXTURE(leak_check, "blocking: runs on another thread and brings the result back") {
    const auto here = std::this_thread::get_id();
    run([&]() -> task<> {
        auto where = [] { return std::this_thread::get_id(); };
        const auto there = co_await run_blocking(where);
        CHECK(there != here);
        CHECK(std::this_thread::get_id() == here);
        auto text = [] { return std::make_unique<std::string>("moved"); };
        const auto got = co_await run_blocking(text);
        CHECK(*got == "moved");
        int target = 0;
        auto reference = [&]() -> int& { return target; };
        int& same = co_await run_blocking(reference);
        CHECK(&same == &target);
        auto nothing = [&] { target = 5; };
        co_await run_blocking(nothing);
        CHECK(target == 5);
    }());
}

TEST_CASE_FIXTURE(leak_check, "blocking: its exception reaches who awaits") {
    run([]() -> task<> {
        auto fails = []() -> int { throw std::runtime_error("broken"); };
        CHECK_THROWS_WITH_AS(co_await run_blocking(fails), "broken", std::runtime_error);
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "blocking: as many at once as the pool has threads, the rest in order") {
    blocking_pool pool(limits_of(2));
    std::atomic<int> running = 0;
    std::atomic<int> most = 0;
    std::latch both(2);
    std::vector<int> begun;
    std::mutex begun_mutex;
    run([&]() -> task<> {
        std::vector<task<>> all;
        for (int i = 0; i < 20; ++i) {
            all.push_back(in_pool(pool, [&, i] {
                {
                    const std::lock_guard held(begun_mutex);
                    begun.push_back(i);
                }
                const int now = running.fetch_add(1) + 1;
                for (int seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);)
                    continue;
                if (i < 2) both.arrive_and_wait();  // only two threads let this pass
                running.fetch_sub(1);
            }));
        }
        co_await gather(std::move(all));
    }());
    CHECK(most.load() == 2);
    CHECK(begun.size() == 20);
    const auto late = std::find(begun.begin(), begun.end(), 19) - begun.begin();
    CHECK(late >= 18);
    CHECK(pool.stats().threads == 2);
    CHECK(pool.stats().queued == 0);
}

TEST_CASE_FIXTURE(leak_check, "blocking: the loop goes on meanwhile") {
    blocking_pool pool(limits_of(1));
    std::binary_semaphore gate(0);
    bool ticked = false;
    run([&]() -> task<> {
        promise<> begins;
        future<> begun = begins.get_future();
        auto handle = spawn(in_pool(pool, [&] {
            begins.set_value();
            gate.acquire();
        }));
        co_await begun;
        co_await sleep(1ns);
        ticked = !handle.done();
        gate.release();
        co_await handle;
    }());
    CHECK(ticked);
}

TEST_CASE_FIXTURE(leak_check, "blocking: cancelled in the line it never runs") {
    blocking_pool pool(limits_of(1));
    std::binary_semaphore gate(0);
    bool ran = false;
    run([&]() -> task<> {
        auto first = spawn(in_pool(pool, [&] { gate.acquire(); }));
        auto second = spawn(in_pool(pool, [&] { ran = true; }));
        co_await yield_now();
        CHECK(pool.stats().queued + pool.stats().running == 2);
        second.cancel();
        CHECK_THROWS_AS(co_await second, task_cancelled);
        CHECK(pool.stats().queued <= 1);
        gate.release();
        co_await first;
    }());
    CHECK_FALSE(ran);
}

TEST_CASE_FIXTURE(leak_check,
                  "blocking: cancelled while it runs it is awaited, and its result given") {
    blocking_pool pool(limits_of(1));
    test::held_work work;
    test::check_running_work_is_awaited(work, [&] { return run_blocking(pool, std::ref(work)); });
}

TEST_CASE_FIXTURE(leak_check, "blocking: a run that ends waits for the work of what it cancels") {
    blocking_pool pool(limits_of(1));
    std::binary_semaphore begun(0);
    std::atomic<bool> ended = false;
    run([&]() -> task<> {
        spawn(in_pool(pool, [&] {
            begun.release();
            std::this_thread::yield();
            ended.store(true);
        }));
        co_await yield_now();
        begun.acquire();
    }());
    CHECK(ended.load());
}

TEST_CASE_FIXTURE(leak_check, "blocking: many loops share a pool") {
    blocking_pool pool(limits_of(3));
    std::atomic<int> sum = 0;
    auto loop_of_many = [&] {
        run([&]() -> task<> {
            std::vector<task<>> all;
            for (int i = 1; i <= 100; ++i) all.push_back(in_pool(pool, [&, i] { sum += i; }));
            co_await gather(std::move(all));
        }());
    };
    std::thread other(loop_of_many);
    loop_of_many();
    other.join();
    CHECK(sum.load() == 2 * 5050);
}

TEST_CASE_FIXTURE(leak_check, "blocking: threads without work end, and are made again") {
    blocking_pool pool(limits_of(4, 0s));
    for (int round = 0; round < 3; ++round) {
        int got = 0;
        run(in_pool(pool, [&] { got = 1; }));
        CHECK(got == 1);
        until(pool, [](const auto& now) { return now.threads == 0; });
    }
}

TEST_CASE_FIXTURE(leak_check, "blocking: its threads have a name and leave signals to the others") {
    run([]() -> task<> {
        auto look = [] {
            std::array<char, 16> name{};
            ::pthread_getname_np(::pthread_self(), name.data(), name.size());
            sigset_t blocked;
            ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
            return std::string(name.data()) +
                   (::sigismember(&blocked, SIGTERM) == 1 ? " quiet" : " open");
        };
        const std::string seen = co_await run_blocking(look);
        CHECK(seen.starts_with("lariat-pool-"));
        CHECK(seen.ends_with(" quiet"));
        sigset_t ours;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &ours);
        CHECK(::sigismember(&ours, SIGTERM) == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "blocking: threads without work can be ended at once") {
    blocking_pool pool(limits_of(2));
    run(in_pool(pool, [] {}));
    until(pool, [&](const auto& now) {  // it may still be on its way from its work
        pool.end_idle();
        return now.threads == 0;
    });
    int got = 0;
    run(in_pool(pool, [&] { got = 1; }));
    CHECK(got == 1);
}

TEST_CASE("blocking: a forked child has the shared pool anew" *
          doctest::skip(!forked_children_have_threads)) {
    auto five = [] { return 5; };
    auto ask = [&]() -> task<int> {
        const int got = co_await run_blocking(five);
        co_return got;
    };
    CHECK(run(ask()) == 5);
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(run(ask()) == 5 && blocking_pool::shared().stats().threads == 1 ? 0 : 1);
    int status = -1;
    while (::waitpid(child, &status, 0) < 0) {
    }
    CHECK(status == 0);
    CHECK(run(ask()) == 5);
}

}  // namespace

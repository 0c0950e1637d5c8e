#include <lariat/process/shm/mutex.hpp>

#include "killed.hpp"
#include "program.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/value.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;

static_assert(std::is_nothrow_move_constructible_v<shm::mutex::guard>);
static_assert(transferable<shm::mutex>);

task<> pass_through(shm::mutex lock, int id, std::vector<int>& order) {
    auto guard = co_await lock.lock();
    order.push_back(id);
    co_await sleep(1ms);  // those who come lie down meanwhile, also in the kernel
}

/// Adds to what only the lock makes safe to add to so.
task<> add_in_task(shm::mutex lock, shm::value<int> sum, int times) {
    for (int i = 0; i < times; ++i) {
        auto guard = co_await lock.lock();
        const int before = sum.get();
        if (i % 64 == 0) co_await yield_now();
        sum.set(before + 1);
    }
}
void add_blocking(shm::mutex lock, shm::value<int> sum, int times) {
    for (int i = 0; i < times; ++i) {
        auto guard = lock.lock_blocking();
        sum.set(sum.get() + 1);
    }
}
void die_holding(shm::mutex lock, shm::event taken, shm::event let_go) {
    auto guard = lock.lock_blocking();
    taken.set();
    let_go.wait_blocking();
    (void)::raise(SIGKILL);
}
void leave_holding(shm::mutex lock) {
    static auto guard = lock.lock_blocking();  // nothing destroys it in time
    std::_Exit(0);
}

/// A lock whose holder was killed.
shm::mutex orphaned(int& pid) {
    shm::mutex lock;
    shm::event taken;
    shm::event let_go;
    let_go.set();
    process holder = process::start(die_holding, lock, taken, let_go);
    pid = holder.pid();
    CHECK(holder.join_blocking().signal() == SIGKILL);
    return lock;
}
void repair(const shm::mutex& lock) {
    auto held = lock.lock_to_repair_blocking();
    if (held.owner_died()) held.make_consistent();
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: one task at a time, also across awaits") {
    shm::mutex lock;
    int inside = 0;
    int most = 0;
    auto body = [&]() -> task<> {
        for (int i = 0; i < 10; ++i) {
            auto guard = co_await lock.lock();
            most = std::max(most, ++inside);
            co_await yield_now();
            --inside;
        }
    };
    run([&]() -> task<> { co_await gather(body(), body(), body()); }());
    CHECK(most == 1);
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a free one is taken without a turn of the loop") {
    shm::mutex lock;
    run([](const shm::mutex& free) -> task<> {
        const std::uint64_t legs = loop::current().stats().legs;
        for (int i = 0; i < 10; ++i) auto guard = co_await free.lock();
        CHECK(loop::current().stats().legs == legs);
    }(lock));
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: one at a time among tasks and threads of processes") {
    shm::mutex lock;
    shm::value<int> sum(0);
    constexpr int times = 2'000;
    std::vector<process> others;
    for (int i = 0; i < 2; ++i) {
        others.push_back(process::start(add_in_task, lock, sum, times));
        others.push_back(process::start(add_blocking, lock, sum, times));
    }
    run([&]() -> task<> {
        co_await gather(add_in_task(lock, sum, times), add_in_task(lock, sum, times));
        for (process& each : others) {
            const process_status ended = co_await each.join();
            CHECK(ended.exit_code() == 0);
        }
    }());
    CHECK(sum.get() == 6 * times);
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a copy names the same; moved from, it names nothing") {
    shm::mutex lock;
    shm::mutex copy = lock;
    CHECK(copy == lock);
    CHECK_FALSE(shm::mutex() == lock);
    auto guard = copy.try_lock();
    const shm::mutex moved = std::move(copy);
    CHECK(lock.locked());
    CHECK_FALSE(moved.try_lock());
    guard.unlock();
    CHECK(moved.try_lock());
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a cancelled waiter does not get it, others do") {
    shm::mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        auto guard = co_await lock.lock();
        auto first = spawn(pass_through(lock, 1, order));
        auto second = spawn(pass_through(lock, 2, order));
        co_await yield_now();
        first.cancel();
        const auto ended = co_await settled(std::move(first));
        CHECK(ended.is_cancelled());
        guard.unlock();
        co_await second;
    }());
    CHECK(order == std::vector{2});
    CHECK_FALSE(lock.locked());
}

// Without other processes: the end of one makes all who wait look again.
TEST_CASE_FIXTURE(family_check, "shm::mutex: given back once, all who wait have it in turn") {
    shm::mutex lock;
    std::vector<int> order;
    run([&]() -> task<> {
        auto guard = co_await lock.lock();
        std::vector<join_handle<>> waiting;
        for (int i = 0; i < 5; ++i) waiting.push_back(spawn(pass_through(lock, i, order)));
        co_await sleep(1ms);
        guard.unlock();
        for (auto& each : waiting) co_await timeout(10s, std::move(each));
    }());
    CHECK(order.size() == 5);
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: one who is cancelled once woken passes the wake on") {
    shm::mutex lock;
    for (int round = 0; round < 50; ++round) {
        std::vector<int> order;
        run([&]() -> task<> {
            auto guard = co_await lock.lock();
            auto first = spawn(pass_through(lock, 1, order));
            auto second = spawn(pass_through(lock, 2, order));
            co_await sleep(1ms);
            guard.unlock();
            if (round % 2 == 0) co_await yield_now();
            first.cancel();
            (void)co_await settled(std::move(first));
            co_await timeout(5s, std::move(second));
        }());
        CHECK(order.back() == 2);
        CHECK_FALSE(lock.locked());
    }
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a timeout ends the wait, and nothing is held") {
    shm::mutex lock;
    auto guard = lock.lock_blocking();
    run([](const shm::mutex& busy) -> task<> {
        const auto nothing = co_await nothrow(timeout(1ms, busy.lock()));
        CHECK(nothing.error() == errc::timed_out);
    }(lock));
    guard.unlock();
    CHECK_FALSE(lock.locked());
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a thread waits no longer than it was told") {
    shm::mutex lock;
    auto guard = lock.lock_blocking();
    std::thread([&] {
        const time_point began = clock::now();
        CHECK_FALSE(lock.lock_blocking(2ms));
        CHECK(clock::now() - began >= 2ms);
        CHECK_FALSE(lock.try_lock());
    }).join();
    std::thread other([&] { guard.unlock(); });  // it belongs to the process, not to a thread
    CHECK(lock.lock_blocking(5s));
    other.join();
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a killed holder is reported until it is repaired") {
    int pid = 0;
    const shm::mutex lock = orphaned(pid);
    CHECK_FALSE(lock.locked());
    for (int again = 0; again < 2; ++again) {
        try {
            (void)lock.lock_blocking();
            FAIL("the lock was had");
        } catch (const owner_died& report) {
            CHECK(report.pid() == pid);
            CHECK(report.code() == std::errc::owner_dead);
            const std::string words = report.what();
            CHECK(words.find(std::to_string(pid)) != std::string::npos);
            CHECK(words.find("lock_to_repair()") != std::string::npos);
        }
        CHECK_THROWS_AS((void)lock.try_lock(), owner_died);
    }
    run([](const shm::mutex& broken, int dead) -> task<> {
        CHECK_THROWS_AS((void)co_await broken.lock(), owner_died);
        {
            auto held = co_await broken.lock_to_repair();
            CHECK(held.owner_died());
            CHECK(held.pid() == dead);
            CHECK(broken.locked());
        }
        CHECK_THROWS_AS((void)co_await broken.lock(), owner_died);
        auto held = co_await broken.lock_to_repair();
        held.make_consistent();
        CHECK_FALSE(held.owner_died());
        held.unlock();
        auto guard = co_await broken.lock();
        CHECK(guard);
    }(lock, pid));
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: nobody waits for the dead, task or thread") {
    const shm::mutex lock;
    shm::event taken;
    shm::event let_go;
    process holder = process::start(die_holding, lock, taken, let_go);
    taken.wait_blocking();
    std::atomic<int> told = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            try {
                (void)lock.lock_blocking();
            } catch (const owner_died&) {
                ++told;
            }
        });
    }
    run([&]() -> task<> {
        auto wait = [&]() -> task<> {
            try {
                (void)co_await lock.lock();
            } catch (const owner_died&) {
                ++told;
            }
        };
        auto let_it_die = [&]() -> task<> {
            co_await yield_now();
            let_go.set();
        };
        co_await timeout(10s, gather(wait(), wait(), wait(), let_it_die()));
    }());
    for (std::thread& each : threads) each.join();
    CHECK(told == 6);
    CHECK(holder.join_blocking().signal() == SIGKILL);
}

TEST_CASE_FIXTURE(family_check,
                  "shm::mutex: those who wait behind a vain repair are told as well") {
    int pid = 0;
    const shm::mutex lock = orphaned(pid);
    int told = 0;
    run([&]() -> task<> {
        auto wait = [&]() -> task<> {
            try {
                (void)co_await lock.lock();
            } catch (const owner_died&) {
                ++told;
            }
        };
        auto held = co_await lock.lock_to_repair();
        auto one = spawn(wait());
        auto two = spawn(wait());
        co_await yield_now();
        CHECK(told == 0);
        held.unlock();
        co_await timeout(10s, gather(std::move(one), std::move(two)));
    }());
    CHECK(told == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::mutex: a process that just leaves with it has died as well") {
    const shm::mutex lock;
    process holder = process::start(leave_holding, lock);
    CHECK(holder.join_blocking().exit_code() == 0);
    CHECK_THROWS_AS((void)lock.lock_blocking(), owner_died);
}

TEST_CASE("shm::mutex: killed at any step, a process leaves a lock that says so or is free") {
    const family_check check;
    const shm::mutex lock;
    std::atomic<bool> over = false;
    // Another who comes and goes, so that the killed one waits and wakes, too.
    std::thread rival([&] {
        while (!over) {
            auto held = lock.lock_to_repair_blocking();
            if (held.owner_died()) held.make_consistent();
        }
    });
    const int killed = test::kill_at_every_step(
        [&](int step) {
            return process::start(
                [](int last, shm::mutex shared) {
                    test::die_at(last);
                    for (int i = 0; i < 8; ++i) {
                        auto guard = shared.lock_to_repair_blocking();
                        std::this_thread::yield();
                    }
                },
                step, lock);
        },
        [&] { repair(lock); });
    over = true;
    rival.join();
    CHECK(killed > 16);
    auto guard = lock.lock_blocking();
    CHECK(guard);
}

TEST_CASE("shm::mutex: killed at any step, a waiting task takes no wake with it") {
    const family_check check;
    const shm::mutex lock;
    const shm::value<int> done(0);
    const int killed = test::kill_at_every_step(
        [&](int step) {
            auto held = lock.lock_blocking();
            process victim = process::start(
                [](int last, shm::mutex shared) -> task<> {
                    test::die_at(last);
                    auto guard = co_await shared.lock();
                    guard.unlock();
                },
                step, lock);
            process other = process::start(
                [](shm::mutex shared, shm::value<int> count) -> task<> {
                    auto guard = co_await shared.lock_to_repair();
                    if (guard.owner_died()) guard.make_consistent();
                    count.fetch_add(1);
                },
                lock, done);
            held.unlock();
            CHECK(other.join_blocking().exit_code() == 0);
            return victim;
        },
        [&] { repair(lock); });
    CHECK(killed >= 3);
    CHECK(done.get() == killed + 1);
}

const test::role without_server("mutex-without-server", [] {
    start_fork_server();
    const shm::mutex lock;
    shm::event taken;
    shm::event let_go;
    process holder = process::start(die_holding, lock, taken, let_go);
    taken.wait_blocking();
    (void)::kill(test::parent_of(holder.pid()), SIGKILL);
    let_go.set();
    try {
        (void)lock.lock_blocking();
    } catch (const owner_died& report) {
        test::say(report.pid() == holder.pid() ? "told" : "told of another");
    }
    detach(std::move(holder));
    return 0;
});

TEST_CASE("shm::mutex: without its fork server a thread finds the dead holder by itself") {
    test::program alone("mutex-without-server");
    CHECK(alone.line() == "told");
    CHECK(alone.wait() == 0);
}

const test::role blocks_on_loop("mutex-blocks-on-loop", [] {
    run([]() -> task<> {
        shm::mutex lock;
        auto guard = lock.lock_blocking();
        co_return;
    }());
    return 0;
});
const test::role uses_moved("mutex-moved-from", [] {
    start_fork_server();
    shm::mutex lock;
    const shm::mutex taken = std::move(lock);
    (void)lock.locked();  // NOLINT(bugprone-use-after-move)
    return 0;
});
const test::role repairs_nothing("mutex-empty-guard", [] {
    start_fork_server();
    shm::mutex::repair_guard nothing;
    nothing.make_consistent();
    return 0;
});

TEST_CASE("shm::mutex: breaking its rules stops the program with the rule") {
    const auto words_of = [](const char* role) {
        test::program broken(role);
        std::string words = broken.rest();
        CHECK(broken.wait() == -SIGABRT);
        return words;
    };
    const std::string blocks = words_of("mutex-blocks-on-loop");
    CHECK(blocks.find("right: auto guard = co_await x.lock()") != std::string::npos);
    CHECK(blocks.find("shm_mutex_test.cpp") != std::string::npos);
    CHECK(words_of("mutex-moved-from").find("it was moved from") != std::string::npos);
    CHECK(words_of("mutex-empty-guard").find("has nothing to repair") != std::string::npos);
}

}  // namespace

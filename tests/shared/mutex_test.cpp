#include <lariat/sync/shared/mutex.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "shared_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/sync/shared/event.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;
using lariat::test::stops_with;

static_assert(!std::is_copy_constructible_v<shared::mutex>);
static_assert(std::is_nothrow_move_constructible_v<shared::mutex::guard>);
static_assert(sizeof(shared::mutex) <= 32);

/// Takes it, notes that it has, and gives it back at the second leg after.
task<> hold(shared::mutex& m, std::vector<int>& order, int id) {
    auto guard = co_await m.lock();
    order.push_back(id);
    co_await yield_now();
    guard.unlock();
}

TEST_CASE("shared::mutex: tasks of two loops have it in the order in which they came") {
    loop_set loops(2);
    shared::mutex m;
    std::vector<int> order;
    for (int id = 0; id < 6; ++id) {
        const auto which = static_cast<std::size_t>(id % 2);
        loops.spawn_on(which, hold(m, order, id));
        loops.turn(which);
    }
    loops.finish();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    CHECK_FALSE(m.locked());
}

TEST_CASE("shared::mutex: handed on, it is held before its new owner has run") {
    loop_set loops(2);
    shared::mutex m;
    std::vector<int> order;
    auto held = std::make_unique<shared::mutex::guard>(m.lock_blocking());
    loops.spawn_on(0, hold(m, order, 1));
    loops.turn(0);
    held.reset();
    CHECK(m.locked());
    CHECK_FALSE(m.try_lock());
    CHECK_FALSE(m.lock_blocking(0ns));
    CHECK(order.empty());
    loops.finish();
    CHECK(order == std::vector<int>{1});
}

TEST_CASE("shared::mutex: a free one is taken without a turn of the loop") {
    loop_set loops(1);
    shared::mutex m;
    auto body = [&]() -> task<> {
        const std::uint64_t legs = loop::current().stats().legs;
        for (int i = 0; i < 10; ++i) auto guard = co_await m.lock();
        CHECK(loop::current().stats().legs == legs);
    };
    loops.spawn_on(0, body());
    loops.finish();
}

TEST_CASE("shared::mutex: a cancelled waiter leaves the line") {
    loop_set loops(2);
    shared::mutex m;
    std::vector<int> order;
    auto guard = m.lock_blocking();
    loops.spawn_on(0, hold(m, order, 1));
    loops.turn(0);
    auto second = loops.spawn_on(1, hold(m, order, 2));
    loops.turn(1);
    loops.spawn_on(0, hold(m, order, 3));
    loops.turn(0);
    loops.on(1, [&] { second.cancel(); });
    guard.unlock();
    loops.finish();
    CHECK(order == std::vector<int>{1, 3});
}

TEST_CASE("shared::mutex: when the last in line has left, it is free again") {
    loop_set loops(1);
    shared::mutex m;
    std::vector<int> order;
    auto guard = m.lock_blocking();
    auto only = loops.spawn_on(0, hold(m, order, 1));
    loops.turn(0);
    loops.on(0, [&] { only.cancel(); });
    loops.finish();
    guard.unlock();
    CHECK_FALSE(m.locked());
    CHECK(m.try_lock());
}

TEST_CASE("shared::mutex: cancelled while the news travels, it is held; the cut comes after") {
    shared::mutex m;
    auto guard = m.lock_blocking();
    test::check_guard_on_its_way_is_had([&] { return m.lock(); }, [&] { guard.unlock(); });
    CHECK_FALSE(m.locked());
}

TEST_CASE("shared::mutex: a woken task may lock it again at once, behind those in line") {
    loop_set loops(2);
    shared::mutex m;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        auto guard = co_await m.lock();
        order.push_back(1);
        guard.unlock();
        auto again = co_await m.lock();
        order.push_back(3);
    };
    auto guard = m.lock_blocking();
    loops.spawn_on(0, twice());
    loops.turn(0);
    loops.spawn_on(1, hold(m, order, 2));
    loops.turn(1);
    guard.unlock();
    loops.finish();
    CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("shared::mutex: a timeout ends the wait, and nothing is held") {
    const leak_check leaks;
    shared::mutex m;
    auto guard = m.lock_blocking();
    lariat::run([](shared::mutex& busy) -> task<> {
        bool late = false;
        try {
            auto never = co_await timeout(1ms, busy.lock());
        } catch (const timeout_error&) {
            late = true;
        }
        CHECK(late);
        const auto nothing = co_await nothrow(timeout(1ms, busy.lock()));
        CHECK(nothing.error() == errc::timed_out);
    }(m));
    guard.unlock();
    CHECK_FALSE(m.locked());
}

TEST_CASE("shared::mutex: a thread waits for a task, and no longer than it was told") {
    const leak_check leaks;
    shared::mutex m;
    std::latch taken(1);
    shared::event tried;
    int guarded = 0;
    std::jthread other([&] {
        taken.wait();
        const time_point began = clock::now();
        CHECK_FALSE(m.lock_blocking(2ms));
        CHECK(clock::now() - began >= 2ms);
        tried.set();
        auto guard = m.lock_blocking();
        CHECK(guarded == 1);
        guarded = 2;
    });
    auto body = [&]() -> task<> {
        auto guard = co_await m.lock();
        taken.count_down();
        co_await tried.wait();
        guarded = 1;
        guard.unlock();
        other.join();
        auto again = co_await m.lock();
        CHECK(guarded == 2);
    };
    lariat::run(body());
}

TEST_CASE("shared::mutex: a guard may be given back on another thread") {
    shared::mutex m;
    auto guard = m.lock_blocking();
    std::jthread([held = std::move(guard)]() mutable { held.unlock(); }).join();
    CHECK(m.try_lock());
}

TEST_CASE("shared::mutex: whoever was let in last may destroy it") {
    for (int round = 0; round < 2'000; ++round) {
        auto m = std::make_unique<shared::mutex>();
        auto guard = m->lock_blocking();
        std::jthread other([&m] {
            m->lock_blocking().unlock();
            m.reset();
        });
        guard.unlock();
    }
}

TEST_CASE("shared::mutex: blocking where a loop runs stops the program and shows the right line") {
    const auto lock_on_loop = [] {
        lariat::run([]() -> task<> {
            shared::mutex m;
            auto guard = m.lock_blocking();
            co_return;
        }());
    };
    CHECK(stops_with("wrong: x.lock_blocking()", lock_on_loop));
    CHECK(stops_with("right: auto guard = co_await x.lock()", lock_on_loop));
    CHECK(stops_with("mutex_test.cpp", lock_on_loop));
}

TEST_CASE("shared::mutex: destroying one that is held or waited for stops the program") {
    CHECK(stops_with("a mutex must outlive those who hold it or wait for it", [] {
        auto m = std::make_unique<shared::mutex>();
        auto guard = m->lock_blocking();
        m.reset();
    }));
}

}  // namespace

#pragma once

#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace lariat::test {

/// Goes in, says so, and comes out.
template <class Lock>
task<> pass_through(Lock& door, int mark, std::vector<int>& order) {
    auto inside = co_await door.lock();
    order.push_back(mark);
}

/// Waits for an event or a latch, and says so.
template <class Awaited>
task<> wait_for(Awaited& what, int mark, std::vector<int>& order) {
    co_await what.wait();
    order.push_back(mark);
}

/// Takes a permit, says so, and keeps it until it is cancelled.
template <class Semaphore>
task<> hold_permit(Semaphore& permits, int mark, std::vector<int>& order) {
    auto permit = co_await permits.scoped_acquire();
    order.push_back(mark);
    co_await sleep(std::chrono::hours(1));
}

/// Whether other tasks have their turns while work() goes on, a task which never has to wait.
template <class Work>
bool others_run_beside(test_loop& loop, Work work) {
    int turns = 0;
    auto counts = [&turns]() -> task<> {
        for (;;) {
            ++turns;
            co_await yield_now();
        }
    };
    loop.run([&]() -> task<> {
        spawn(counts);
        co_await work();
    });
    return turns > 30;
}

// What an event, an auto_reset_event and a latch do alike.

/// `open` lets go on who waits, and then its task is cancelled before it has run.
template <class Awaited, class Open>
void check_woken_and_then_cancelled_goes_on(test_loop& loop, Awaited& what, Open open) {
    std::vector<int> order;
    loop.run([&]() -> task<> {
        auto waiting = spawn(wait_for(what, 1, order));
        co_await yield_now();
        open();
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
    });
    CHECK(order == std::vector{1});
}

/// For a child process, which it stops.
template <class Awaited, class... Args>
void destroy_while_waited_for(Args... args) {
    std::optional<Awaited> what(std::in_place, args...);
    std::vector<int> order;
    test_loop loop;
    loop.run([&]() -> task<> {
        spawn(wait_for(*what, 1, order));
        co_await yield_now();
        what.reset();
    });
}

// What a mutex and a recursive_mutex do alike.

template <class Mutex>
void check_first_come_first_served(test_loop& loop) {
    Mutex door;
    std::vector<int> order;
    loop.run([&]() -> task<> {
        auto held = co_await door.lock();
        for (int i = 0; i < 5; ++i) spawn(pass_through(door, i, order));
        co_await yield_now();
        CHECK(order.empty());
        held.unlock();
        CHECK(door.locked());
        CHECK_FALSE(door.try_lock());
        auto last = co_await door.lock();
        CHECK(order == std::vector{0, 1, 2, 3, 4});
    });
}

template <class Mutex>
void check_cancelled_waiters_leave(test_loop& loop) {
    Mutex door;
    std::vector<int> order;
    loop.run([&]() -> task<> {
        auto held = co_await door.lock();
        std::vector<join_handle<>> waiters;
        for (int i = 0; i < 5; ++i) waiters.push_back(spawn(pass_through(door, i, order)));
        co_await yield_now();
        for (const std::size_t leaver : {0U, 2U, 4U}) waiters[leaver].cancel();
        co_await yield_now();
        for (const std::size_t leaver : {0U, 2U, 4U}) CHECK(waiters[leaver].done());
        held.unlock();
        auto last = co_await door.lock();
    });
    CHECK(order == std::vector{1, 3});
    CHECK_FALSE(door.locked());
}

/// The next in line is cancelled, then it is unlocked, before the cancelled one has run.
template <class Mutex>
void check_unlock_after_cancel_goes_to_the_next(test_loop& loop) {
    Mutex door;
    std::vector<int> order;
    loop.run([&]() -> task<> {
        auto held = co_await door.lock();
        auto first = spawn(pass_through(door, 1, order));
        auto second = spawn(pass_through(door, 2, order));
        co_await yield_now();
        first.cancel();
        held.unlock();
        co_await yield_now();
        CHECK(first.done());
        CHECK(second.done());
    });
    CHECK(order == std::vector{2});
    CHECK_FALSE(door.locked());
}

/// `twice` locks it, notes 1, and after an unlock locks it again and notes 3.
template <class Mutex, class Twice>
void check_a_woken_task_waits_again(test_loop& loop, Mutex& door, std::vector<int>& order,
                                    Twice twice) {
    loop.run([&]() -> task<> {
        auto held = co_await door.lock();
        auto again = spawn(twice);
        spawn(pass_through(door, 2, order));
        co_await yield_now();
        held.unlock();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

/// For a child process, which it stops.
template <class Mutex>
void destroy_while_held_and_waited_for() {
    std::optional<Mutex> door(std::in_place);
    std::vector<int> order;
    test_loop loop;
    loop.run([&]() -> task<> {
        auto held = co_await door->lock();
        spawn(pass_through(*door, 1, order));
        co_await yield_now();
        door.reset();
    });
}

}  // namespace lariat::test

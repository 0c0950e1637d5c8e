#pragma once

#include "waits.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/offload/thread_pool.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <latch>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

namespace lariat::test {

inline int add(int left, int right) { return left + right; }

inline thread_pool_options of(std::size_t threads, std::size_t queued = 0) {
    thread_pool_options options;
    options.most_threads = threads;
    options.most_queued = queued;
    options.idle_after = std::chrono::hours(1);
    return options;
}

/// Others hold the pool's state for moments only: asks until it says so.
template <class Holds>
void until(const thread_pool& pool, Holds holds) {
    while (!holds(pool.stats())) std::this_thread::yield();
}

inline bool adds_up(const thread_pool_stats& now) {
    return now.submitted == now.ended + now.taken_back + now.running + now.queued + now.waiting;
}

/// Work that says when it has begun and goes on until it is let.
struct held_work {
    std::binary_semaphore begun{0};
    std::binary_semaphore gate{0};

    int operator()() {
        begun.release();
        gate.acquire();
        return 7;
    }
};

/// Cancels a task that awaits call(), which runs `work`: that is awaited and its result given, and
/// the cut comes after it.
template <class Call>
void check_running_work_is_awaited(held_work& work, Call call) {
    int got = 0;
    bool cut_after = false;
    run([&]() -> task<> {
        auto body = [&]() -> task<> {
            got = co_await call();
            try {
                co_await yield_now();
            } catch (const cancelled&) {
                cut_after = true;
                throw;
            }
        };
        auto handle = spawn(body);
        co_await yield_now();
        work.begun.acquire();
        handle.cancel();
        co_await some_turns();
        CHECK_FALSE(handle.done());
        work.gate.release();
        CHECK_THROWS_AS(co_await handle, task_cancelled);
    }());
    CHECK(got == 7);
    CHECK(cut_after);
}

/// Keeps every thread of a pool busy until it is opened.
class barricade {
 public:
    barricade(thread_pool& pool, std::ptrdiff_t threads) : begun_(threads), threads_(threads) {
        for (std::ptrdiff_t i = 0; i < threads; ++i) {
            auto work = pool.try_submit([this] {
                begun_.count_down();
                gate_.acquire();
            });
            held_.push_back(std::move(*work));
        }
        begun_.wait();
    }
    barricade(const barricade&) = delete;
    barricade& operator=(const barricade&) = delete;
    /// Pre: open. Its threads have let go of it when it goes.
    ~barricade() {
        for (const pool_future<>& each : held_) {
            while (!each.ready()) std::this_thread::yield();
        }
    }
    void open() { gate_.release(threads_); }

 private:
    std::latch begun_;
    std::ptrdiff_t threads_;
    std::counting_semaphore<> gate_{0};
    std::vector<pool_future<>> held_;
};

}  // namespace lariat::test

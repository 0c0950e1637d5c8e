#pragma once

#include <lariat/offload/thread_pool.hpp>

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

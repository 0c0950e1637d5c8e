// Tasks of one loop waiting for each other.
#include <lariat/lariat.hpp>

#include <utility>

#include "benches.hpp"

namespace {

using bench::stopwatch;

constexpr std::size_t many = 1'000'000;

lariat::task<double> lock_and_unlock() {
    lariat::mutex lock;
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        auto guard = co_await lock.lock();
        bench::keep(lock);
    }
    co_return watch.each(many);
}

lariat::task<> lock_often(lariat::mutex& lock, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) auto guard = co_await lock.lock();
}

/// Once both stand in line, every unlock hands it to the other, and every lock waits.
lariat::task<double> hand_over() {
    lariat::mutex lock;
    auto held = co_await lock.lock();
    auto one = lariat::spawn(lock_often(lock, many / 2));
    auto other = lariat::spawn(lock_often(lock, many / 2));
    co_await lariat::yield_now();
    const stopwatch watch;
    held.unlock();
    co_await lariat::gather(std::move(one), std::move(other));
    co_return watch.each(many);
}

lariat::task<double> acquire_and_release() {
    lariat::semaphore permits(1);
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        co_await permits.acquire();
        bench::keep(permits);
        permits.release();
    }
    co_return watch.each(many);
}

lariat::task<> answer(lariat::event& ping, lariat::event& pong, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        co_await ping.wait();
        ping.clear();
        pong.set();
    }
}

lariat::task<> ask(lariat::event& ping, lariat::event& pong, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        ping.set();
        co_await pong.wait();
        pong.clear();
    }
}

/// Per message: a set() that wakes the other task, and that task's next wait.
lariat::task<double> ping_pong() {
    lariat::event ping;
    lariat::event pong;
    const stopwatch watch;
    co_await lariat::gather(ask(ping, pong, many / 2), answer(ping, pong, many / 2));
    co_return watch.each(many);
}

}  // namespace

void bench::sync_benches(suite& all) {
    all.add("mutex, uncontended lock+unlock", "ns", 4,
            [] { return lariat::run(lock_and_unlock()); });
    all.add("mutex, handed over between two tasks", "ns", 20,
            [] { return lariat::run(hand_over()); });
    all.add("semaphore, uncontended acquire+release", "ns", 4,
            [] { return lariat::run(acquire_and_release()); });
    all.add("event ping-pong", "ns", 16, [] { return lariat::run(ping_pong()); });
}

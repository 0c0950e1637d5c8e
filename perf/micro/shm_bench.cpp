// Locks, values and events in shared memory: of one process alone, and of two that compete.
#include <lariat/lariat.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm.hpp>

#include <cstddef>

#include "benches.hpp"

namespace {

using bench::stopwatch;
using bench::wall_watch;

constexpr std::size_t many = 1'000'000;
constexpr std::size_t rounds = 20'000;

template <class Lock>
lariat::task<double> lock_and_unlock() {
    const Lock lock;
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        auto guard = co_await lock.lock();
        bench::keep(lock);
    }
    co_return watch.each(many);
}

double add_to_value() {
    const lariat::shm::value<std::size_t> sum(0);
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) sum.fetch_add(1);
    return watch.each(many);
}

/// Takes it as often as it can, until it is told to stop.
lariat::task<> compete(lariat::shm::mutex lock, lariat::shm::value<std::size_t> shared,
                       lariat::shm::event begun, lariat::shm::value<bool> stop) {
    begun.set();
    while (!stop.get()) {
        auto guard = co_await lock.lock();
        shared.set(shared.get() + 1);
    }
}
void compete_blocking(lariat::shm::mutex lock, lariat::shm::value<std::size_t> shared,
                      lariat::shm::event begun, lariat::shm::value<bool> stop) {
    begun.set();
    while (!stop.get()) {
        auto guard = lock.lock_blocking();
        shared.set(shared.get() + 1);
    }
}

/// The time of both together, for each time that either of them had it.
template <class Fn>
lariat::task<double> with_rival(Fn rival) {
    const lariat::shm::mutex lock;
    const lariat::shm::value<std::size_t> shared(0);
    const lariat::shm::event begun;
    const lariat::shm::value<bool> stop(false);
    lariat::process other = lariat::process::start(rival, lock, shared, begun, stop);
    co_await begun.wait();
    const std::size_t before = shared.get();
    const wall_watch watch;
    for (std::size_t i = 0; i < many; ++i) {
        auto guard = co_await lock.lock();
        shared.set(shared.get() + 1);
    }
    const double each = watch.each(shared.get() - before);
    stop.set(true);
    const lariat::process_status ended = co_await other.join();
    ended.check();
    co_return each;
}

lariat::task<> answer(lariat::shm::event there, lariat::shm::event back, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        co_await there.wait();
        there.clear();
        back.set();
    }
}

lariat::task<double> to_and_fro() {
    const lariat::shm::event there;
    const lariat::shm::event back;
    lariat::process other = lariat::process::start(answer, there, back, rounds + 1);
    there.set();  // it runs from here on
    co_await back.wait();
    back.clear();
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        there.set();
        co_await back.wait();
        back.clear();
    }
    const double each = watch.each(rounds) / 1e3;
    const lariat::process_status ended = co_await other.join();
    ended.check();
    co_return each;
}

}  // namespace

void bench::shm_benches(suite& all) {
    all.add("shm::mutex uncontended", "ns", 25,
            [] { return lariat::run(lock_and_unlock<lariat::shm::mutex>()); });
    all.add("shm::recursive_mutex uncontended", "ns", 0,
            [] { return lariat::run(lock_and_unlock<lariat::shm::recursive_mutex>()); });
    all.add("shm::value<size_t> fetch_add", "ns", 0, add_to_value);
    all.add("shm::mutex contended, tasks of two processes", "ns", 0,
            [] { return lariat::run(with_rival(compete)); });
    all.add("shm::mutex contended, a task and a thread", "ns", 0,
            [] { return lariat::run(with_rival(compete_blocking)); });
    all.add("shm::event round trip, two processes", "us", 0,
            [] { return lariat::run(to_and_fro()); });
}

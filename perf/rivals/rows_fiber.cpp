// Boost.Fiber, and below it Boost.Context: what switches, yields, fibers and their primitives cost.
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <boost/fiber/all.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

namespace fibers = boost::fibers;
using fibers::fiber;
using rival::million;
using rival::stopwatch;

/// Fibers of one benchmark: their stacks are kept for those that come after them.
class pool {
 public:
    template <class Fn>
    fiber start(Fn fn) {
        return {fibers::launch::post, std::allocator_arg, stacks_, std::move(fn)};
    }

 private:
    fibers::pooled_fixedsize_stack stacks_;
};

/// A value goes to a context and another comes back: two switches.
double switch_by_value() {
    constexpr std::size_t switches = 10 * million;
    std::size_t passed = 0;
    boost::context::fiber other([&passed](boost::context::fiber&& caller) {
        for (;;) {
            ++passed;
            caller = std::move(caller).resume();
        }
        return std::move(caller);
    });
    const stopwatch watch;
    for (std::size_t i = 0; i < switches / 2; ++i) {
        passed += i;
        other = std::move(other).resume();
    }
    const double each = watch.each(switches);
    rival::keep(passed);
    return each;
}

double yield_in_company() {
    constexpr std::size_t company = 100;
    pool of;
    std::vector<fiber> all;
    const stopwatch watch;
    for (std::size_t i = 0; i < company; ++i) {
        all.push_back(of.start([] {
            for (std::size_t turn = 0; turn < million / company; ++turn) boost::this_fiber::yield();
        }));
    }
    for (fiber& each : all) each.join();
    return watch.each(million);
}

double spawn_and_join() {
    pool of;
    constexpr std::size_t count = million / 10;
    of.start([] {}).join();
    const stopwatch watch;
    for (std::size_t i = 0; i < count; ++i) of.start([] {}).join();
    return watch.each(count);
}

constexpr std::size_t parked_fibers = 10'000;

double bytes_a_parked_fiber() {
    fibers::mutex lock;
    fibers::condition_variable_any go_on;
    bool over = false;
    std::vector<fiber> all;
    all.reserve(parked_fibers);
    pool of;
    std::unique_lock held(lock);
    const double before = bench::resident_bytes();
    for (std::size_t i = 0; i < parked_fibers; ++i) {
        all.push_back(of.start([&] {
            std::unique_lock mine(lock);
            go_on.wait(mine, [&over] { return over; });
        }));
    }
    held.unlock();
    boost::this_fiber::yield();
    const double bytes = (bench::resident_bytes() - before) / parked_fibers;
    held.lock();
    over = true;
    held.unlock();
    go_on.notify_all();
    for (fiber& each : all) each.join();
    return bytes;
}

double lock_and_unlock() {
    fibers::mutex lock;
    const stopwatch watch;
    for (std::size_t i = 0; i < million; ++i) {
        const std::lock_guard guard(lock);
        rival::keep(lock);
    }
    return watch.each(million);
}

class event {
 public:
    void set() {
        {
            const std::lock_guard guard(lock_);
            set_ = true;
        }
        changed_.notify_one();
    }
    void wait_and_clear() {
        std::unique_lock guard(lock_);
        changed_.wait(guard, [this] { return set_; });
        set_ = false;
    }

 private:
    fibers::mutex lock_;
    fibers::condition_variable changed_;
    bool set_ = false;
};

double ping_pong() {
    pool of;
    event ping;
    event pong;
    const stopwatch watch;
    fiber asks = of.start([&] {
        for (std::size_t i = 0; i < million / 2; ++i) {
            ping.set();
            pong.wait_and_clear();
        }
    });
    fiber answers = of.start([&] {
        for (std::size_t i = 0; i < million / 2; ++i) {
            ping.wait_and_clear();
            pong.set();
        }
    });
    asks.join();
    answers.join();
    return watch.each(million);
}

/// A buffered channel of `slots` holds one item less.
template <std::size_t slots>
double through_channel() {
    pool of;
    fibers::buffered_channel<std::size_t> way(slots);
    std::size_t sum = 0;
    const stopwatch watch;
    fiber puts = of.start([&way] {
        for (std::size_t i = 0; i < million; ++i) way.push(i);
        way.close();
    });
    fiber gets = of.start([&way, &sum] {
        std::size_t item = 0;
        while (way.pop(item) == fibers::channel_op_status::success) sum += item;
    });
    puts.join();
    gets.join();
    rival::keep(sum);
    return watch.each(million);
}

constexpr std::size_t sleepers = 1'000;

double sleep_two_seconds() {
    pool of;
    const rival::wall_watch watch;
    std::vector<fiber> all;
    for (std::size_t i = 0; i < sleepers; ++i) {
        all.push_back(of.start([] { boost::this_fiber::sleep_for(std::chrono::seconds(2)); }));
    }
    for (fiber& each : all) each.join();
    return watch.nanoseconds() / 1e9;
}

constexpr rival::row rows[] = {
    {"greenlet_switch", "ns", switch_by_value},
    {"yield", "ns", yield_in_company},
    {"green_yield", "ns", yield_in_company},
    {"green_spawn", "ns", spawn_and_join},
    {"green_bytes", "B", bytes_a_parked_fiber, false, parked_fibers},
    {"mutex", "ns", lock_and_unlock},
    {"event_pingpong", "ns", ping_pong},
    {"queue_1", "ns", through_channel<2>},
    {"queue_64", "ns", through_channel<64>},
    {"queue_unbounded", "ns", through_channel<2 * 1024 * 1024>},
    {"sleepers2s_green", "s", sleep_two_seconds, false},
};

}  // namespace

int main(int argc, char** argv) { return rival::run_row(rows, argc, argv); }

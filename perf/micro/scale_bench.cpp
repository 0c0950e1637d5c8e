// How the cost of one task, timer or sleeper grows with how many there are at once: per item, in
// CPU time of the thread, from 10^3 to 10^6. Every sample does about 10^6 of them.
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benches.hpp"

using namespace std::chrono_literals;

namespace {

using bench::stopwatch;

constexpr std::size_t million = 1'000'000;

lariat::task<> yield_once() { co_await lariat::yield_now(); }

lariat::task<double> tasks_at_once(std::size_t count) {
    const std::size_t rounds = million / count;
    std::vector<lariat::join_handle<>> handles;
    handles.reserve(count);
    const stopwatch watch;
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < count; ++i) handles.push_back(lariat::spawn(yield_once()));
        for (auto& handle : handles) co_await std::move(handle);
        handles.clear();
    }
    co_return watch.each(rounds * count);
}

/// Timers come and go at random times while `count` others stand, as in a server whose connections
/// all have a timeout.
lariat::task<double> timers_beside(std::size_t count) {
    lariat::loop& here = lariat::loop::current();
    std::minstd_rand random(1);
    std::uniform_int_distribution<int> later(1, 1'000'000'000);
    const auto start = std::chrono::steady_clock::now() + 1h;
    const auto nothing = [] {};
    std::vector<lariat::call_handle> others;
    others.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        others.push_back(here.call_at(start + std::chrono::nanoseconds(later(random)), nothing));
    }
    const stopwatch watch;
    for (std::size_t i = 0; i < million; ++i) {
        auto handle = here.call_at(start + std::chrono::nanoseconds(later(random)), nothing);
        handle.cancel();
    }
    const double each = watch.each(million);
    for (lariat::call_handle& other : others) other.cancel();
    co_return each;
}

lariat::task<> sleep_for(std::chrono::nanoseconds length) { co_await lariat::sleep(length); }

using random_length = std::uniform_int_distribution<int>;

lariat::task<> spawn_sleepers(lariat::task_group& group, std::size_t count, std::minstd_rand& from,
                              random_length length) {
    for (std::size_t i = 0; i < count; ++i) {
        group.spawn(sleep_for(std::chrono::nanoseconds(length(from))));
    }
    co_return;
}

/// As dense in time whatever their number, so that each turn of the loop has as many to wake.
lariat::task<double> sleepers_at_once(std::size_t count) {
    constexpr int nanoseconds_a_sleeper = 100;
    const std::size_t rounds = million / count;
    std::minstd_rand random(1);
    const random_length length(0, static_cast<int>(count) * nanoseconds_a_sleeper);
    const auto body = [&](lariat::task_group& group) {
        return spawn_sleepers(group, count, random, length);
    };
    const stopwatch watch;
    for (std::size_t round = 0; round < rounds; ++round) co_await lariat::with_group(body);
    co_return watch.each(rounds * count);
}

}  // namespace

void bench::scale_benches(suite& all) {
    for (std::size_t count = 1'000; count <= million; count *= 10) {
        const std::string at_once = ", " + std::to_string(count) + " at once";
        all.add("scale: spawn, yield, join a task" + at_once, "ns", 0,
                [count] { return lariat::run(tasks_at_once(count)); });
        all.add("scale: timer create + cancel" + at_once, "ns", 0,
                [count] { return lariat::run(timers_beside(count)); });
        all.add("scale: spawn a sleeper, wake, join" + at_once, "ns", 0,
                [count] { return lariat::run(sleepers_at_once(count)); });
    }
}

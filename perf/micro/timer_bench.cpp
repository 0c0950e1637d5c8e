// Sleepers and timers.
#include <lariat/lariat.hpp>

#include <chrono>
#include <random>
#include <vector>

#include "benches.hpp"

using namespace std::chrono_literals;

namespace {

using bench::stopwatch;
using bench::wall_watch;

lariat::task<> sleep_for(std::chrono::microseconds length) { co_await lariat::sleep(length); }

lariat::task<double> million_sleepers() {
    constexpr std::size_t sleepers = 1'000'000;
    std::minstd_rand random(1);
    std::uniform_int_distribution<int> microseconds(0, 100'000);
    const wall_watch watch;
    auto body = [&](lariat::task_group& group) -> lariat::task<> {
        for (std::size_t i = 0; i < sleepers; ++i) {
            group.spawn(sleep_for(std::chrono::microseconds(microseconds(random))));
        }
        co_return;
    };
    co_await lariat::with_group(body);
    co_return watch.nanoseconds() / 1e9;
}

lariat::task<double> create_and_cancel() {
    constexpr std::size_t timers = 1'000'000;
    lariat::loop& here = lariat::loop::current();
    const auto deadline = std::chrono::steady_clock::now() + 1h;
    const stopwatch watch;
    for (std::size_t i = 0; i < timers; ++i) {
        auto handle = here.call_at(deadline + std::chrono::nanoseconds(i), [] {});
        handle.cancel();
    }
    co_return watch.each(timers);
}

}  // namespace

void bench::timer_benches(suite& all) {
    all.add("1 M sleepers, 0-100 ms at random: wall", "s", 0.7,
            [] { return lariat::run(million_sleepers()); });
    all.add("timer create + cancel", "ns", 12, [] { return lariat::run(create_and_cancel()); });
}

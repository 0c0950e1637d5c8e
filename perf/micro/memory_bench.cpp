// Bytes of resident memory that a waiting task takes, its frame and all that the runtime keeps for
// it, measured in a process of its own.
#include <lariat/lariat.hpp>

#include <stdexcept>

#include "benches.hpp"
#include "parking.hpp"

namespace {

constexpr std::size_t tasks = 1'000'000;

lariat::task<> wait_for(lariat::event& news) { co_await news.wait(); }

lariat::task<double> bytes_a_parked_task() {
    lariat::event news;
    double bytes = 0;
    auto body = [&](lariat::task_group& group) -> lariat::task<> {
        const double before = bench::resident_bytes();
        for (std::size_t i = 0; i < tasks; ++i) group.spawn(wait_for(news));
        co_await lariat::yield_now();
        bytes = (bench::resident_bytes() - before) / tasks;
        news.set();
    };
    co_await lariat::with_group(body);
    co_return bytes;
}

}  // namespace

void bench::memory_benches(suite& all) {
    all.add("bytes per parked task, everything counted", "B", 144,
            [] { return in_child_process([] { return lariat::run(bytes_a_parked_task()); }); });
}

// Many tasks at once: spawn and join, gather, skynet.
#include <lariat/lariat.hpp>

#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "benches.hpp"

namespace {

using bench::stopwatch;

constexpr std::size_t million = 1'000'000;

lariat::task<> yield_once() { co_await lariat::yield_now(); }

lariat::task<double> spawn_and_join() {
    const stopwatch watch;
    std::vector<lariat::join_handle<>> handles;
    handles.reserve(million);
    for (std::size_t i = 0; i < million; ++i) handles.push_back(lariat::spawn(yield_once()));
    for (auto& handle : handles) co_await std::move(handle);
    handles.clear();
    co_return watch.each(million);
}

lariat::task<double> spawn_in_group() {
    const stopwatch watch;
    auto body = [](lariat::task_group& group) -> lariat::task<> {
        for (std::size_t i = 0; i < million; ++i) group.spawn(yield_once());
        co_return;
    };
    co_await lariat::with_group(body);
    co_return watch.each(million);
}

lariat::task<double> gather_ten() {
    constexpr std::size_t rounds = 100'000;
    const stopwatch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        co_await lariat::gather(yield_once(), yield_once(), yield_once(), yield_once(),
                                yield_once(), yield_once(), yield_once(), yield_once(),
                                yield_once(), yield_once());
    }
    co_return watch.each(rounds);
}

lariat::task<double> gather_vector_of_ten() {
    constexpr std::size_t rounds = 100'000;
    const stopwatch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        std::vector<lariat::task<>> tasks;
        tasks.reserve(10);
        for (int child = 0; child < 10; ++child) tasks.push_back(yield_once());
        co_await lariat::gather(std::move(tasks));
    }
    co_return watch.each(rounds);
}

// Skynet: a tree of tasks, ten children each, whose leaves are numbered and summed up.
lariat::task<long> skynet_by_vector(long number, long size) {
    if (size == 1) co_return number;
    std::vector<lariat::task<long>> children;
    children.reserve(10);
    for (int i = 0; i < 10; ++i) {
        children.push_back(skynet_by_vector(number + i * (size / 10), size / 10));
    }
    const std::vector<long> sums = co_await lariat::gather(std::move(children));
    long sum = 0;
    for (const long each : sums) sum += each;
    co_return sum;
}

lariat::task<long> skynet(long first, long size) {
    if (size == 1) co_return first;
    const long part = size / 10;
    const auto sums =
        co_await lariat::gather(skynet(first, part), skynet(first + part, part),
                                skynet(first + 2 * part, part), skynet(first + 3 * part, part),
                                skynet(first + 4 * part, part), skynet(first + 5 * part, part),
                                skynet(first + 6 * part, part), skynet(first + 7 * part, part),
                                skynet(first + 8 * part, part), skynet(first + 9 * part, part));
    const auto add = [](auto... each) { return (each + ...); };
    co_return std::apply(add, sums);
}

lariat::task<double> timed_skynet(lariat::task<long> tree) {
    const stopwatch watch;
    const long sum = co_await std::move(tree);
    if (sum != 499'999'500'000) throw std::logic_error("skynet: wrong sum");
    co_return watch.nanoseconds() / 1e6;
}

}  // namespace

void bench::spawn_benches(suite& all) {
    all.add("spawn 1 M tasks, each yields once, join all: handles", "ns", 60,
            [] { return lariat::run(spawn_and_join()); });
    all.add("spawn 1 M tasks, each yields once, join all: group", "ns", 60,
            [] { return lariat::run(spawn_in_group()); });
    all.add("gather of 10 ready-after-one-yield children", "ns", 150,
            [] { return lariat::run(gather_ten()); });
    all.add("gather of a vector of 10 such children", "ns", 150,
            [] { return lariat::run(gather_vector_of_ten()); });
    all.add("skynet, 1 M leaves: gather of ten", "ms", 28,
            [] { return lariat::run(timed_skynet(skynet(0, 1'000'000))); });
    all.add("skynet, 1 M leaves: gather of a vector", "ms", 28,
            [] { return lariat::run(timed_skynet(skynet_by_vector(0, 1'000'000))); });
}

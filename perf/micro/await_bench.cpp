// One task and its awaits: children, yields, generators.
#include <lariat/lariat.hpp>

#include <vector>

#include "benches.hpp"

namespace {

using bench::stopwatch;

constexpr std::size_t many = 1'000'000;

[[gnu::noinline]] lariat::task<std::size_t> child(std::size_t value) {
    [[maybe_unused]] const int has_a_local = 0;
    co_return value + 1;
}

lariat::task<double> await_children() {
    const stopwatch watch;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < many; ++i) sum = co_await child(sum);
    bench::keep(sum);
    co_return watch.each(many);
}

lariat::task<> yield_often(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) co_await lariat::yield_now();
}

lariat::task<double> yield_alone() {
    const stopwatch watch;
    co_await yield_often(many);
    co_return watch.each(many);
}

lariat::task<double> yield_in_company() {
    constexpr std::size_t company = 100;
    std::vector<lariat::task<>> tasks;
    for (std::size_t i = 0; i < company; ++i) tasks.push_back(yield_often(many / company));
    const stopwatch watch;
    co_await lariat::gather(std::move(tasks));
    co_return watch.each(many);
}

[[gnu::noinline]] lariat::task<long> fib(int n) {
    if (n < 2) co_return n;
    const long first = co_await fib(n - 1);
    const long second = co_await fib(n - 2);
    co_return first + second;
}

lariat::task<double> fib_27() {
    const stopwatch watch;
    const long value = co_await fib(27);
    bench::keep(value);
    co_return watch.nanoseconds() / 1e6;
}

[[gnu::noinline]] lariat::generator<long> count_to(long end) {
    for (long i = 0; i < end; ++i) co_yield i;
}

double nanoseconds_of(long items) {
    const stopwatch watch;
    long sum = 0;
    for (const long item : count_to(items)) {
        sum += item;
        bench::keep(sum);
    }
    return watch.nanoseconds();
}

}  // namespace

void bench::await_benches(suite& all) {
    all.add("await a ready child task", "ns", 7, [] { return lariat::run(await_children()); });
    all.add("yield, one task", "ns", 8, [] { return lariat::run(yield_alone()); });
    all.add("yield, 100 tasks in turn", "ns", 8, [] { return lariat::run(yield_in_company()); });
    all.add("fib(27) by plain await", "ms", 6, [] { return lariat::run(fib_27()); });
    all.add("generator, per item", "ns", 2, [] { return nanoseconds_of(5'000'000) / 5e6; });
    all.add("generator, 10^8 items", "s", 0, [] { return nanoseconds_of(100'000'000) / 1e9; });
}

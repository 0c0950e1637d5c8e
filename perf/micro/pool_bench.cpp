// A pool of processes: one call there and back, and maps of functions that do next to nothing.
#include <lariat/lariat.hpp>
#include <lariat/process/pool.hpp>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t workers = 2;
constexpr std::size_t round_trips = 2'000;
constexpr std::size_t in_chunks = 2'000'000;
constexpr std::size_t one_by_one = 200'000;

long square(long n) { return n * n; }
lariat::task<long> square_task(long n) { co_return n* n; }

std::vector<long> numbers(std::size_t count) {
    std::vector<long> all(count);
    std::iota(all.begin(), all.end(), 0L);
    return all;
}

lariat::task<double> round_trip(std::chrono::microseconds spin) {
    lariat::process_pool_options options(1);
    options.spin = spin;
    lariat::process_pool pool(options);
    long sum = co_await pool.run(square, 1L);
    const wall_watch watch;
    for (std::size_t i = 0; i < round_trips; ++i) {
        const long one = co_await pool.run(square, 1L);
        sum += one;
    }
    const double each = watch.each(round_trips) / 1e3;
    bench::keep(sum);
    co_await pool.close();
    co_return each;
}

/// The pool's loop and its worker's look for news for so long before they sleep.
double spinning_round_trip() {
    lariat::run_options options;
    options.spin = std::chrono::microseconds(500);
    return lariat::run(options, round_trip(options.spin));
}

template <class Fn>
lariat::task<double> map(Fn fn, std::size_t count, std::size_t chunk) {
    lariat::process_pool pool(workers);
    const std::vector<long> inputs = numbers(count);
    (void)co_await pool.map(square, inputs, 1000);  // all workers are up
    const wall_watch watch;
    const std::vector<long> squares = co_await pool.map(fn, inputs, chunk);
    const double each = watch.each(count) / 1e3;
    if (squares.back() != inputs.back() * inputs.back()) throw std::runtime_error("a wrong square");
    co_await pool.close();
    co_return each;
}

/// All of it: a pool is made, maps a thousand squares, and ends.
lariat::task<double> thousand_squares() {
    const std::vector<long> inputs = numbers(1'000);
    const wall_watch watch;
    lariat::process_pool pool(workers);
    const std::vector<long> squares = co_await pool.map(square, inputs);
    co_await pool.close();
    const double microseconds = watch.nanoseconds() / 1e3;
    if (squares.back() != inputs.back() * inputs.back()) throw std::runtime_error("a wrong square");
    co_return microseconds;
}

lariat::task<double> imap() {
    lariat::process_pool pool(workers);
    const std::vector<long> inputs = numbers(one_by_one);
    (void)co_await pool.map(square, inputs, 1000);
    const wall_watch watch;
    auto squares = pool.imap(square, inputs);
    long sum = 0;
    auto next = co_await squares.next();
    while (next) {
        sum += *next;
        next = co_await squares.next();
    }
    bench::keep(sum);
    const double each = watch.each(one_by_one) / 1e3;
    co_await pool.close();
    co_return each;
}

}  // namespace

void bench::pool_benches(suite& all) {
    all.add("process_pool: run, there and back", "us", 60,
            [] { return lariat::run(round_trip({})); });
    if (std::thread::hardware_concurrency() > 1)
        all.add("process_pool: run, there and back, spinning", "us", 0, spinning_round_trip);
    all.add("process_pool: map an item, automatic chunks", "us", 0.03,
            [] { return lariat::run(map(square, in_chunks, 0)); });
    all.add("process_pool: map an item, chunks of 1", "us", 1.5,
            [] { return lariat::run(map(square, one_by_one, 1)); });
    all.add("process_pool: map a task, chunks of 1", "us", 0,
            [] { return lariat::run(map(square_task, one_by_one, 1)); });
    all.add("process_pool: 1,000 squares", "us", 0, [] { return lariat::run(thousand_squares()); });
    all.add("process_pool: imap an item", "us", 0, [] { return lariat::run(imap()); });
}

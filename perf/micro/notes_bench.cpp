// What the field's notes measure: 300 calls of 10^6 additions on two cores, and 1,000 sleepers of
// two seconds. Everything is counted, from the start of the first thread or process to the end of
// the last.
#include <lariat/lariat.hpp>
#include <lariat/process/pool.hpp>
#include <lariat/process/process.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "benches.hpp"

namespace {

using bench::wall_watch;
using namespace std::chrono_literals;

constexpr std::size_t calls = 300;
constexpr long additions = 1'000'000;
constexpr long sum_of_each = additions * (additions - 1) / 2;
constexpr std::size_t sleepers = 1'000;
constexpr std::size_t workers = 2;

long add_up(long to) {
    long sum = 0;
    for (long i = 0; i < to; ++i) {
        sum += i;
        asm volatile("" : "+r"(sum));  // one by one, as in a language that does not know better
    }
    return sum;
}

void check_sum(long sum) {
    if (sum != sum_of_each) throw std::runtime_error("a wrong sum");
}

double on_one_core() {
    const wall_watch watch;
    for (std::size_t i = 0; i < calls; ++i) check_sum(add_up(additions));
    return watch.nanoseconds() / 1e9;
}

double in_threads() {
    const wall_watch watch;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < calls; ++i)
        threads.emplace_back([] { bench::keep(add_up(additions)); });
    for (std::thread& each : threads) each.join();
    return watch.nanoseconds() / 1e9;
}

/// What the machine gives two threads that know nothing of each other: its floor for two workers.
double in_two_threads() {
    const wall_watch watch;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < workers; ++i)
        threads.emplace_back([] {
            for (std::size_t call = 0; call < calls / workers; ++call) check_sum(add_up(additions));
        });
    for (std::thread& each : threads) each.join();
    return watch.nanoseconds() / 1e9;
}

void add_up_here() { check_sum(add_up(additions)); }

lariat::task<double> in_processes() {
    const wall_watch watch;
    std::vector<lariat::process> children;
    for (std::size_t i = 0; i < calls; ++i) children.push_back(lariat::process::start(add_up_here));
    for (lariat::process& each : children) {
        const lariat::process_status ended = co_await each.join();
        ended.check();
    }
    co_return watch.nanoseconds() / 1e9;
}

lariat::task<double> in_pool() {
    const wall_watch watch;
    lariat::process_pool pool(workers);
    const std::vector<long> parts(calls, additions);
    const std::vector<long> sums = co_await pool.map(add_up, parts);
    for (const long each : sums) check_sum(each);
    co_await pool.close();
    co_return watch.nanoseconds() / 1e9;
}

/// Two rows of one run: what it takes beside what one core takes at the same time of day, and the
/// seconds that its last repeat took.
template <class Measure>
void add_beside_one_core(bench::suite& all, const std::string& name, double target,
                         Measure measure) {
    const auto seconds = std::make_shared<double>();
    all.add(name, "of one core", target, [seconds, measure] {
        const double alone = on_one_core();
        *seconds = measure();
        return *seconds / alone;
    });
    all.add(name + ", its last repeat", "s", 0, [seconds] { return *seconds; });
}

lariat::task<> sleep_two_seconds() { co_await lariat::sleep(2s); }
lariat::task<long> sleep_so_long(long seconds) {
    co_await lariat::sleep(std::chrono::seconds(seconds));
    co_return seconds;
}

lariat::task<double> sleeping_tasks() {
    const wall_watch watch;
    std::vector<lariat::task<>> all;
    for (std::size_t i = 0; i < sleepers; ++i) all.push_back(sleep_two_seconds());
    co_await lariat::gather(std::move(all));
    co_return watch.nanoseconds() / 1e9;
}

lariat::task<double> sleeping_in_two_processes() {
    const wall_watch watch;
    lariat::process_pool pool(workers);
    const std::vector<long> naps(sleepers, 2);
    const std::vector<long> slept = co_await pool.map(sleep_so_long, naps);
    if (slept != naps) throw std::runtime_error("a wrong nap");
    co_await pool.close();
    co_return watch.nanoseconds() / 1e9;
}

}  // namespace

void bench::notes_benches(suite& all) {
    all.add("300 x 10^6 additions: one core", "s", 0, on_one_core);
    add_beside_one_core(all, "floor: 300 x 10^6 additions, two threads by hand", 0, in_two_threads);
    add_beside_one_core(all, "floor: 300 x 10^6 additions, 300 threads by hand", 0, in_threads);
    add_beside_one_core(all, "300 x 10^6 additions: 300 processes", 0,
                        [] { return lariat::run(in_processes()); });
    add_beside_one_core(all, "300 x 10^6 additions: process_pool(2)", 0.55,
                        [] { return lariat::run(in_pool()); });
    all.add("1,000 sleepers of 2 s: tasks in one process", "s", 2.003,
            [] { return lariat::run(sleeping_tasks()); });
    all.add("1,000 sleepers of 2 s: tasks in 2 processes", "s", 2.01,
            [] { return lariat::run(sleeping_in_two_processes()); });
}

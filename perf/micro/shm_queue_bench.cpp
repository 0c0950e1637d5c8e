// Items from process to process, through a queue in shared memory.
#include <lariat/lariat.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/queue.hpp>

#include <cstddef>
#include <string>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t many = 1'000'000;
constexpr std::size_t texts = 200'000;
constexpr std::size_t rounds = 20'000;

using numbers = lariat::shm::queue<std::size_t>;
using lines = lariat::shm::queue<std::string>;

lariat::task<> put_numbers(numbers way) {
    for (std::size_t i = 0; i < many; ++i) co_await way.put(i);
    way.close();
}
void put_numbers_blocking(numbers way) {
    for (std::size_t i = 0; i < many; ++i) way.put_blocking(i);
    way.close();
}
lariat::task<> put_texts(lines way) {
    const std::string text = "a line of forty bytes or so, as logs have";
    for (std::size_t i = 0; i < texts; ++i) co_await way.put(text);
    way.close();
}
lariat::task<> echo(numbers there, numbers back) {
    while (auto item = co_await there.get()) co_await back.put(*item);
}
void echo_blocking(numbers there, numbers back) {
    while (auto item = there.get_blocking()) back.put_blocking(*item);
}

double alone() {
    numbers way(1024);
    std::size_t sum = 0;
    const bench::stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        way.put_nowait(i);
        sum += way.get_nowait();
    }
    bench::keep(sum);
    return watch.each(many) / 1e3;
}

/// The first item is waited for before the clock starts: the other process runs then.
template <class T>
lariat::task<double> take_all(lariat::shm::queue<T> way, std::size_t count) {
    auto first = co_await way.get();
    bench::keep(first);
    const wall_watch watch;
    while (auto item = co_await way.get()) bench::keep(item);
    co_return watch.each(count) / 1e3;
}

double stream(std::size_t max) {
    const numbers way(max);
    lariat::process other = lariat::process::start(put_numbers, way);
    const double each = lariat::run(take_all(way, many));
    other.join_blocking().check();
    return each;
}

double stream_blocking(std::size_t max) {
    numbers way(max);
    lariat::process other = lariat::process::start(put_numbers_blocking, way);
    bench::keep(way.get_blocking());
    const wall_watch watch;
    while (auto item = way.get_blocking()) bench::keep(item);
    const double each = watch.each(many) / 1e3;
    other.join_blocking().check();
    return each;
}

double stream_texts(std::size_t max) {
    const lines way(max);
    lariat::process other = lariat::process::start(put_texts, way);
    const double each = lariat::run(take_all(way, texts));
    other.join_blocking().check();
    return each;
}

lariat::task<double> there_and_back(numbers there, numbers back) {
    co_await there.put(0);
    (void)co_await back.get();
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        co_await there.put(i);
        (void)co_await back.get();
    }
    const double each = watch.each(rounds) / 1e3;
    there.close();
    co_return each;
}

double ping_pong() {
    const numbers there(16);
    const numbers back(16);
    lariat::process other = lariat::process::start(echo, there, back);
    const double each = lariat::run(there_and_back(there, back));
    other.join_blocking().check();
    return each;
}

double ping_pong_blocking() {
    numbers there(16);
    numbers back(16);
    lariat::process other = lariat::process::start(echo_blocking, there, back);
    there.put_blocking(0);
    (void)back.get_blocking();
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        there.put_blocking(i);
        (void)back.get_blocking();
    }
    const double each = watch.each(rounds) / 1e3;
    there.close();
    other.join_blocking().check();
    return each;
}

}  // namespace

void bench::shm_queue_benches(suite& all) {
    all.add("shm::queue, put and get in one process", "us", 0, alone);
    all.add("shm::queue, per item, between tasks of two processes", "us", 0.15,
            [] { return stream(1024); });
    all.add("shm::queue, per item, between threads of two processes", "us", 0.15,
            [] { return stream_blocking(1024); });
    all.add("shm::queue of 64, per item, between tasks of two processes", "us", 0,
            [] { return stream(64); });
    all.add("shm::queue, per text of 41 bytes, between tasks of two processes", "us", 0,
            [] { return stream_texts(1024); });
    all.add("shm::queue ping-pong, tasks of two processes", "us", 0, ping_pong);
    all.add("shm::queue ping-pong, threads of two processes", "us", 0, ping_pong_blocking);
}

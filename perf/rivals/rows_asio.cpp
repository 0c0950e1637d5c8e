// Asio's coroutines: awaits, spawns, timers, and calls from other threads.
#include <asio.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

using asio::awaitable;
using asio::use_awaitable;
using rival::million;
using rival::stopwatch;
using rival::wall_watch;

/// Runs it to its end, with all that it started.
template <class T>
T run(awaitable<T> what) {
    asio::io_context context(1);
    T value{};
    asio::co_spawn(context, std::move(what), [&value](std::exception_ptr failure, T result) {
        if (failure) std::rethrow_exception(failure);
        value = std::move(result);
    });
    context.run();
    return value;
}

[[gnu::noinline]] awaitable<std::size_t> child(std::size_t value) { co_return value + 1; }

awaitable<double> await_children() {
    const stopwatch watch;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < million; ++i) sum = co_await child(sum);
    rival::keep(sum);
    co_return watch.each(million);
}

awaitable<void> yield_often(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) co_await asio::post(use_awaitable);
}

/// What `count` coroutines take that each yield `times`, for each yield.
double together(std::size_t count, std::size_t times) {
    asio::io_context context(1);
    const stopwatch watch;
    for (std::size_t i = 0; i < count; ++i) {
        asio::co_spawn(context, yield_often(times), asio::detached);
    }
    context.run();
    return watch.each(count * times);
}

/// Waits until ten children have ended: whoever ends last completes the wait, with the first
/// failure if there was one. A child takes half of what it does under operator&& or in a parallel
/// group, which can cancel the others as well.
class ten {
 public:
    awaitable<void> run() {
        const auto executor = co_await asio::this_coro::executor;
        auto start = [this, &executor](auto done) {
            done_ = [shared = std::make_shared<decltype(done)>(std::move(done))](
                        std::exception_ptr failure) { std::move (*shared)(failure); };
            for (std::size_t i = 0; i < 10; ++i) {
                asio::co_spawn(executor, yield_often(1), [this](std::exception_ptr failure) {
                    if (failure && !failure_) failure_ = failure;
                    if (--left_ == 0) std::exchange(done_, nullptr)(failure_);
                });
            }
        };
        co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
            start, use_awaitable);
    }

 private:
    std::size_t left_ = 10;
    std::exception_ptr failure_;
    std::function<void(std::exception_ptr)> done_;
};

awaitable<double> gather_ten() {
    constexpr std::size_t rounds = million / 100;
    const stopwatch watch;
    for (std::size_t i = 0; i < rounds; ++i) co_await ten().run();
    co_return watch.each(rounds);
}

[[gnu::noinline]] awaitable<long> fib(int n) {
    if (n < 2) co_return n;
    const long first = co_await fib(n - 1);
    const long second = co_await fib(n - 2);
    co_return first + second;
}

awaitable<double> fib_27() {
    const stopwatch watch;
    const long value = co_await fib(27);
    rival::keep(value);
    co_return watch.nanoseconds() / 1e6;
}

awaitable<void> sleep_for(std::chrono::microseconds length) {
    asio::steady_timer timer(co_await asio::this_coro::executor, length);
    co_await timer.async_wait(use_awaitable);
}

double million_sleepers() {
    asio::io_context context(1);
    std::minstd_rand random(1);
    std::uniform_int_distribution<int> microseconds(0, 100'000);
    const wall_watch watch;
    for (std::size_t i = 0; i < million; ++i) {
        const std::chrono::microseconds length(microseconds(random));
        asio::co_spawn(context, sleep_for(length), asio::detached);
    }
    context.run();
    return watch.nanoseconds() / 1e9;
}

double sleep_two_seconds() {
    asio::io_context context(1);
    const wall_watch watch;
    for (int i = 0; i < 1'000; ++i) {
        asio::co_spawn(context, sleep_for(std::chrono::seconds(2)), asio::detached);
    }
    context.run();
    return watch.nanoseconds() / 1e9;
}

/// With the delivery of what cancelled waits complete with.
double create_and_cancel() {
    asio::io_context context(1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
    const stopwatch watch;
    for (std::size_t i = 0; i < million; ++i) {
        asio::steady_timer timer(context, deadline);
        timer.async_wait([](const asio::error_code&) {});
        timer.cancel();
        if (i % 1024 == 0) context.poll();
    }
    context.run();
    return watch.each(million);
}

double posts_under_load() {
    asio::io_context context(1);
    auto open = asio::make_work_guard(context);
    std::size_t run = 0;
    const wall_watch watch;
    std::thread producer([&] {
        for (std::size_t i = 0; i < million; ++i) {
            asio::post(context, [&] {
                if (++run == million) open.reset();
            });
        }
    });
    context.run();
    const double each = watch.each(million);
    producer.join();
    return each;
}

/// Two contexts, each asleep while the other works.
class ping_pong {
 public:
    double microseconds() {
        std::thread other([this] {
            bench::pin_this_thread(1);
            far_.run();
        });
        bench::pin_this_thread(0);
        asio::post(near_, [this] { serve(); });
        const wall_watch watch;
        near_.run();
        const double each = watch.each(rounds) / 1e3;
        other.join();
        return each;
    }

 private:
    static constexpr int rounds = 5'000;

    void serve() {
        if (left_-- == 0) {
            near_open_.reset();
            far_open_.reset();
        } else {
            asio::post(far_, [this] { asio::post(near_, [this] { serve(); }); });
        }
    }

    asio::io_context near_{1};
    asio::io_context far_{1};
    asio::executor_work_guard<asio::io_context::executor_type> near_open_{near_.get_executor()};
    asio::executor_work_guard<asio::io_context::executor_type> far_open_{far_.get_executor()};
    int left_ = rounds;
};

double wake_and_back() { return ping_pong().microseconds(); }

awaitable<double> offload_round_trips() {
    constexpr int rounds = 20'000;
    asio::thread_pool pool(1);
    const auto nothing = [] {};
    const bench::watch_of<CLOCK_PROCESS_CPUTIME_ID> watch;
    for (int i = 0; i < rounds; ++i) {
        co_await asio::post(asio::bind_executor(pool, use_awaitable));
        nothing();
        co_await asio::post(use_awaitable);
    }
    const double each = watch.each(rounds) / 1e3;
    co_return each;
}

awaitable<void> wait_for(asio::steady_timer& never) {
    asio::error_code ignored;
    co_await never.async_wait(asio::redirect_error(use_awaitable, ignored));
}

/// Parked as Asio's coroutines wait for each other: at a timer that never expires.
double bytes_a_parked_task() {
    asio::io_context context(1);
    asio::steady_timer never(context, asio::steady_timer::time_point::max());
    const double before = bench::resident_bytes();
    for (std::size_t i = 0; i < million; ++i) {
        asio::co_spawn(context, wait_for(never), asio::detached);
    }
    context.poll();
    const double bytes = (bench::resident_bytes() - before) / million;
    if (never.cancel() != million) throw std::logic_error("not every coroutine was parked");
    context.run();
    return bytes;
}

constexpr rival::row rows[] = {
    {"await", "ns", [] { return run(await_children()); }},
    {"yield", "ns", [] { return together(100, million / 100); }},
    {"spawn_join", "ns", [] { return together(million, 1); }},
    {"task_bytes", "B", bytes_a_parked_task, false},
    {"sleepers", "s", million_sleepers},
    {"sleepers2s_tasks", "s", sleep_two_seconds, false},
    {"timer", "ns", create_and_cancel},
    {"gather10", "ns", [] { return run(gather_ten()); }},
    {"fib27", "ms", [] { return run(fib_27()); }},
    {"post", "ns", posts_under_load},
    {"wake", "us", wake_and_back},
    {"offload", "us", [] { return run(offload_round_trips()); }},
};

}  // namespace

int main(int argc, char** argv) { return rival::run_row(rows, argc, argv); }

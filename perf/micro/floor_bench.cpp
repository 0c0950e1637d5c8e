// What the machine itself takes, without a runtime: the figures the others are held against.
#include <sys/eventfd.h>
#include <unistd.h>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <thread>

#include "benches.hpp"

namespace {

using bench::stopwatch;
using bench::wall_watch;

constexpr std::size_t many = 2'000'000;

[[gnu::noinline]] int called(int value) {
    bench::keep(value);
    return value + 1;
}

double call() {
    const stopwatch watch;
    int sum = 0;
    for (std::size_t i = 0; i < many; ++i) sum = called(sum);
    bench::keep(sum);
    return watch.each(many);
}

struct bare_coroutine {
    struct promise_type {
        bare_coroutine get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> frame;
};

[[gnu::noinline]] bare_coroutine suspend_for_ever() {
    for (int turn = 0;; ++turn) {
        bench::keep(turn);
        co_await std::suspend_always{};
    }
}

double resume_and_suspend() {
    const bare_coroutine bare = suspend_for_ever();
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) bare.frame.resume();
    const double each = watch.each(many);
    bare.frame.destroy();
    return each;
}

void signal_eventfd(int fd) {
    const std::uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one) std::terminate();
}

void await_eventfd(int fd) {
    std::uint64_t value = 0;
    if (read(fd, &value, sizeof value) != sizeof value) std::terminate();
}

// Two threads on two cores, each asleep while the other works.
double wake_and_back() {
    constexpr int rounds = 5'000;
    const int there = eventfd(0, EFD_CLOEXEC);
    const int back = eventfd(0, EFD_CLOEXEC);
    std::thread other([there, back] {
        bench::pin_this_thread(1);
        for (int i = 0; i < rounds; ++i) {
            await_eventfd(there);
            signal_eventfd(back);
        }
    });
    double microseconds = 0;
    std::thread timed([&microseconds, there, back] {
        bench::pin_this_thread(0);
        const wall_watch watch;
        for (int i = 0; i < rounds; ++i) {
            signal_eventfd(there);
            await_eventfd(back);
        }
        microseconds = watch.each(rounds) / 1e3;
    });
    timed.join();
    other.join();
    close(there);
    close(back);
    return microseconds;
}

}  // namespace

void bench::floor_benches(suite& all) {
    all.add("floor: a call", "ns", 0, call);
    all.add("floor: resume and suspend a bare coroutine", "ns", 0, resume_and_suspend);
    if (std::thread::hardware_concurrency() > 1) {
        all.add(wake_floor, "us", 0, wake_and_back);
    }
}

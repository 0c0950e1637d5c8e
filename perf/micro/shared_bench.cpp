// Across loops: calls, items, locks and permits that threads share.
#include <lariat/lariat.hpp>

#include <cstddef>
#include <future>
#include <thread>

#include "benches.hpp"

namespace {

using bench::stopwatch;
using bench::wall_watch;

constexpr std::size_t many = 1'000'000;

lariat::task<double> lock_and_unlock() {
    lariat::shared::mutex lock;
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        auto guard = co_await lock.lock();
        bench::keep(lock);
    }
    co_return watch.each(many);
}

lariat::task<double> acquire_and_release() {
    lariat::shared::semaphore permits(1);
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        co_await permits.acquire();
        bench::keep(permits);
        permits.release();
    }
    co_return watch.each(many);
}

lariat::task<double> put_and_get() {
    lariat::shared::queue<std::size_t> way;
    std::size_t sum = 0;
    const stopwatch watch;
    for (std::size_t i = 0; i < many; ++i) {
        co_await way.put(i);
        sum += way.get_nowait();
    }
    bench::keep(sum);
    co_return watch.each(many);
}

/// A loop on the other core, until this goes.
class far_loop {
 public:
    far_loop() {
        std::promise<lariat::loop*> started;
        thread_ = std::thread([this, &started] {
            bench::pin_this_thread(1);
            lariat::run(stay(started));
        });
        loop_ = started.get_future().get();
    }
    far_loop(const far_loop&) = delete;
    ~far_loop() {
        end_.set();
        thread_.join();
    }
    [[nodiscard]] lariat::loop& get() const { return *loop_; }

 private:
    lariat::task<> stay(std::promise<lariat::loop*>& started) {
        started.set_value(&lariat::loop::current());
        co_await end_.wait();
    }

    lariat::shared::event end_;
    lariat::loop* loop_ = nullptr;
    std::thread thread_;
};

/// What task_of(loop on core 1) returns, run on core 0.
template <class Fn>
double on_two_cores(Fn task_of) {
    far_loop far;
    double figure = 0;
    std::thread near([&] {
        bench::pin_this_thread(0);
        figure = lariat::run(task_of(far.get()));
    });
    near.join();
    return figure;
}

lariat::task<double> call_and_return(lariat::loop& far) {
    constexpr std::size_t rounds = 5'000;
    auto nothing = [] {};
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) co_await lariat::call_on(far, nothing);
    co_return watch.each(rounds) / 1e3;
}

lariat::task<double> through_queue(lariat::loop& far, std::size_t max) {
    lariat::shared::queue<std::size_t> way(max);
    auto put_all = [&way]() -> lariat::task<> {
        for (std::size_t i = 0; i < many; ++i) co_await way.put(i);
        way.close();
    };
    auto put_there = [&]() -> lariat::task<> { co_await lariat::call_on(far, put_all); };
    std::size_t sum = 0;
    const wall_watch watch;
    auto putting = lariat::spawn(put_there());
    while (auto item = co_await way.get()) sum += *item;
    const double each = watch.each(many);
    bench::keep(sum);
    co_await putting;
    co_return each;
}

}  // namespace

void bench::shared_benches(suite& all) {
    all.add("shared::mutex uncontended", "ns", 0, [] { return lariat::run(lock_and_unlock()); });
    all.add("shared::semaphore uncontended", "ns", 0,
            [] { return lariat::run(acquire_and_release()); });
    all.add("shared::queue uncontended, put and get", "ns", 0,
            [] { return lariat::run(put_and_get()); });
    if (std::thread::hardware_concurrency() > 1) {
        all.add("shared::queue across two loops, per item", "ns", 0, [] {
            return on_two_cores([](lariat::loop& far) { return through_queue(far, 0); });
        });
        all.add("shared::queue across two loops, capacity 1024, per item", "ns", 0, [] {
            return on_two_cores([](lariat::loop& far) { return through_queue(far, 1024); });
        });
        all.add("cross-loop round trip (call_on)", "us", 1.1 * all.median_of(wake_floor),
                [] { return on_two_cores(call_and_return); });
    }
}

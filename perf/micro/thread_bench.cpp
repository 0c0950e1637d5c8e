// Between threads: posting to a loop that works, waking one that sleeps, calling one.
#include <lariat/lariat.hpp>

#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include "benches.hpp"
#include "parking.hpp"

namespace {

using bench::wall_watch;

// The loops here live until their benchmark has ended: none refuses.
template <class Fn>
void post(lariat::loop& to, Fn fn) {
    if (!to.post(std::move(fn))) throw std::logic_error("a live loop refused a call");
}

lariat::task<double> posts_under_load() {
    constexpr std::size_t items = 1'000'000;
    lariat::loop& here = lariat::loop::current();
    lariat::wait_queue all_run;
    std::size_t run = 0;
    const wall_watch watch;
    std::thread producer([&here, &all_run, &run] {
        for (std::size_t i = 0; i < items; ++i) {
            post(here, [&all_run, &run] {
                if (++run == items) all_run.wake_one();
            });
        }
    });
    co_await bench::parked_in(all_run);
    const double each = watch.each(items);
    producer.join();
    co_return each;
}

/// Two loops, each asleep while the other works.
struct ping_pong {
    lariat::loop* near = nullptr;
    lariat::loop* far = nullptr;
    int rounds_left = 0;
    lariat::wait_queue near_waits;
    lariat::wait_queue far_waits;

    void serve() {
        if (rounds_left-- == 0) {
            near_waits.wake_one();
        } else {
            post(*far, [this] { post(*near, [this] { serve(); }); });
        }
    }
};

lariat::task<> far_side(ping_pong& game, std::promise<lariat::loop*>& started) {
    started.set_value(&lariat::loop::current());
    co_await bench::parked_in(game.far_waits);
}

lariat::task<double> near_side(ping_pong& game) {
    constexpr int rounds = 5'000;
    game.near = &lariat::loop::current();
    game.rounds_left = rounds;
    const wall_watch watch;
    game.serve();
    co_await bench::parked_in(game.near_waits);
    const double microseconds = watch.each(rounds) / 1e3;
    post(*game.far, [&game] { game.far_waits.wake_one(); });
    co_return microseconds;
}

/// Both loops look for news for `spin` before they sleep.
double wake_and_back(std::chrono::microseconds spin) {
    lariat::run_options options;
    options.spin = spin;
    ping_pong game;
    std::promise<lariat::loop*> started;
    std::thread other([&game, &started, &options] {
        bench::pin_this_thread(1);
        lariat::run(options, far_side(game, started));
    });
    game.far = started.get_future().get();
    double microseconds = 0;
    std::thread timed([&game, &microseconds, &options] {
        bench::pin_this_thread(0);
        microseconds = lariat::run(options, near_side(game));
    });
    timed.join();
    other.join();
    return microseconds;
}

lariat::task<double> calls_to_a_core(lariat::cores& all) {
    constexpr int rounds = 5'000;
    bench::pin_this_thread(0);
    auto nothing = [] {};
    co_await all.call_on(1, nothing);
    const wall_watch watch;
    for (int i = 0; i < rounds; ++i) co_await all.call_on(1, nothing);
    co_return watch.each(rounds) / 1e3;
}

/// Two loops of one process, each asleep while the other works.
double call_and_back() {
    double microseconds = 0;
    std::thread timed([&microseconds] {
        lariat::cores_options options;
        options.count = 2;
        microseconds = lariat::run(lariat::with_cores(options, calls_to_a_core));
    });
    timed.join();
    return microseconds;
}

constexpr int offloads = 20'000;

lariat::task<> offload_again_and_again() {
    auto nothing = [] {};
    for (int i = 0; i < offloads; ++i) co_await lariat::offload(nothing);
}

/// One offload after the other: the loop and the worker sleep in turn.
template <class Watch>
double offload_round_trip() {
    const Watch watch;
    lariat::run(offload_again_and_again());
    return watch.each(offloads) / 1e3;
}

}  // namespace

void bench::thread_benches(suite& all) {
    all.add("post from another thread, per item under load", "ns", 30,
            [] { return lariat::run(posts_under_load()); });
    // The time of both threads: what the loop spends, and what the worker does.
    all.add("offload round trip, CPU time", "us", 4,
            offload_round_trip<bench::watch_of<CLOCK_PROCESS_CPUTIME_ID>>);
    all.add("offload round trip, wall", "us", 0, offload_round_trip<wall_watch>);
    if (std::thread::hardware_concurrency() > 1) {
        all.add("wake a sleeping loop on the other core and back", "us",
                1.1 * all.median_of(wake_floor), [] { return wake_and_back({}); });
        all.add("the same while both spin before they sleep", "us", 1.5,
                [] { return wake_and_back(std::chrono::microseconds(500)); });
        all.add("call_on: a function on the other core, and its result back", "us",
                1.1 * all.median_of(wake_floor), call_and_back);
    }
}

#include <lariat/task/timeout.hpp>

#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::give_after;
using lariat::test::parking;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "timeout: what ends in time gives its result, what does not is cut") {
    run([&]() -> task<> {
        const int got = co_await timeout(2s, give_after(1s, 5));
        CHECK(got == 5);
        CHECK_THROWS_AS(co_await timeout(2s, give_after(3s, 5)), timeout_error);
        co_await sleep(1s);
    });
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: never early, and not a nanosecond late when nothing else runs") {
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1234567ns, sleep(1h)), timeout_error);
    });
    CHECK(elapsed() == 1234567ns);
}

TEST_CASE_FIXTURE(test_loop, "timeout: references and move-only results pass through") {
    int place = 3;
    auto refer = [&]() -> task<int&> {
        co_await sleep(1s);
        co_return place;
    };
    run([&]() -> task<> {
        int& got = co_await timeout(2s, refer());
        CHECK(&got == &place);
        const auto owned = co_await timeout(2s, give_after(1s, std::make_unique<int>(4)));
        CHECK(*owned == 4);
        CHECK_THROWS_AS(co_await timeout(500ms, refer()), timeout_error);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: racing with completion, whichever came first is what happened") {
    parking place;
    auto waits = [&]() -> task<int> {
        co_await place.park();
        co_return 5;
    };
    run([&]() -> task<> {
        auto woken = spawn(detail::to_task(timeout(1s, waits())));
        co_await sleep(1s - 1ns);
        place.wake_one();
        const int got = co_await woken;
        CHECK(got == 5);
        auto cut = spawn(detail::to_task(timeout(1s, waits())));
        co_await yield_now();
        co_await sleep(1s);
        CHECK_FALSE(
            place.wake_one());  // the timer, which fired first, has taken it out of the line
        CHECK_THROWS_AS(co_await cut, timeout_error);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: fired in the turn of the wake, the result is still delivered") {
    parking place;
    auto waits = [&]() -> task<int> {
        co_await place.park();
        co_return 5;
    };
    run([&]() -> task<> {
        const time_point at = now() + 1s;
        auto wakes = [&]() -> task<> {
            co_await sleep_until(at - 1ns);
            place.wake_one();
            // Before the woken one runs, its deadline passes and its scope is cancelled.
            co_await sleep_until(at);
        };
        cancel_scope scope;
        auto cuts = [&]() -> task<> {
            co_await sleep_until(at - 1ns);
            scope.cancel();
        };
        spawn(wakes);
        spawn(cuts);
        auto body = [&]() -> task<> {
            const int got = co_await timeout_at(at, waits());
            CHECK(got == 5);
            CHECK_THROWS_AS(co_await yield_now(), cancelled);
        };
        const bool finished = co_await scope.run(body());
        CHECK(finished);
    });
}

TEST_CASE_FIXTURE(test_loop, "timeout: an inner one never swallows a cancel of the same turn") {
    std::string log;
    run([&]() -> task<> {
        const time_point at = now() + 1s;
        join_handle<> handle;
        auto cancels = [&]() -> task<> {
            co_await sleep_until(at);
            handle.cancel();
        };
        auto body = [&]() -> task<> {
            try {
                co_await timeout_at(at, sleep(1h));
            } catch (const timeout_error&) {
                log += "swallowed";
            }
        };
        // Timers of one moment fire in the order of arming, and before anybody runs: the canceller
        // is ready, then time is out, then the canceller cancels, then the body goes on.
        spawn(cancels);
        handle = spawn(body);
        CHECK_THROWS_AS(co_await handle, task_cancelled);
    });
    CHECK(log.empty());
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: nested with equal deadlines, the outer one's is what is thrown") {
    std::string log;
    run([&]() -> task<> {
        const time_point at = now() + 1s;
        auto inner = [&]() -> task<> {
            try {
                co_await timeout_at(at, sleep(1h));
            } catch (const timeout_error&) {
                log += "inner";
                throw;
            }
        };
        CHECK_THROWS_AS(co_await timeout_at(at, inner()), timeout_error);
        co_await yield_now();
    });
    CHECK(log.empty());
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "timeout: the inner one fires first and the outer one goes on") {
    std::string log;
    run([&]() -> task<> {
        auto inner = [&]() -> task<> {
            try {
                co_await timeout(1s, sleep(1h));
            } catch (const timeout_error&) {
                log += "inner";
            }
            co_await sleep(1s);
        };
        co_await timeout(5s, inner());
    });
    CHECK(log == "inner");
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: of no length cuts what must wait and lets pass what need not") {
    auto ready = []() -> task<int> { co_return 2; };
    run([&]() -> task<> {
        const int got = co_await timeout(0s, ready());
        CHECK(got == 2);
        CHECK_THROWS_AS(co_await timeout(-1h, sleep(1ns)), timeout_error);
    });
    CHECK(elapsed() == 0s);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: waits until what it cut has ended, however long that takes") {
    bool cut = false;
    auto clean_up = []() -> task<> { co_await sleep(3s); };
    auto lasting = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            cut = true;
        }
        co_await shield(clean_up());
    };
    run([&]() -> task<> {
        // It ended normally in the end: only its own completion decides.
        co_await timeout(1s, lasting());
        CHECK(cut);
    });
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: the exception of the work passes, also when time had run out") {
    auto fails = []() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            throw std::runtime_error("while unwinding");
        }
    };
    run([&]() -> task<> {
        CHECK_THROWS_WITH_AS(co_await timeout(1s, fails()), "while unwinding", std::runtime_error);
        co_await sleep(1s);
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "timeout: around a handle stops the waiting, not the task") {
    bool ended = false;
    auto lasting = [&]() -> task<> {
        co_await sleep(5s);
        ended = true;
    };
    run([&]() -> task<> {
        auto handle = spawn(lasting);
        CHECK_THROWS_AS(co_await timeout(1s, handle), timeout_error);
        CHECK_FALSE(handle.done());
        co_await timeout(10s, handle);
        CHECK(ended);
    });
    CHECK(elapsed() == 5s);
}

TEST_CASE_FIXTURE(test_loop, "timeout: reaches all children of what it cuts") {
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1s, gather(sleep(1h), gather(sleep(2h), sleep(3h)))),
                        timeout_error);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "timeout: a hundred thousand at once, each cuts its own") {
    int cut = 0;
    auto body = [&](duration length) -> task<> {
        try {
            co_await timeout(length, sleep(1h));
        } catch (const timeout_error&) {
            ++cut;
        }
    };
    run([&]() -> task<> {
        std::vector<task<>> all;
        for (int i = 0; i < 100'000; ++i) all.push_back(body(i * 1us));
        co_await gather(std::move(all));
    });
    CHECK(cut == 100'000);
    CHECK(elapsed() == 99'999us);
}

TEST_CASE_FIXTURE(test_loop,
                  "timeout: a deadline that has passed cuts what would always be ready") {
    const auto ready_at_once = []() -> task<int> { co_return 1; };
    const auto tries_on = [&](int& times) -> task<> {
        const time_point deadline = now() + 10ms;
        for (;;) {
            times += co_await timeout_at(deadline, ready_at_once());
            co_await sleep(3ms);
        }
    };
    int times = 0;
    CHECK_THROWS_AS(run(tries_on(times)), timeout_error);
    CHECK(times == 4);  // at 0, 3, 6 and 9 ms
    CHECK(elapsed() == 12ms);
}

}  // namespace

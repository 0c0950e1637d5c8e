// "Order and fairness" of the design, where it takes a whole loop to show it.
#include <lariat/loop/loop.hpp>

#include "leak_check.hpp"
#include "parking.hpp"
#include "test_loop.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::parking;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop,
                  "order: what became ready in one turn runs in the order of its making") {
    std::vector<int> order;
    parking place;
    auto waits = [&](int mark) -> task<> {
        co_await place.park();
        order.push_back(mark);
    };
    auto begins = [&](int mark) -> task<> {
        order.push_back(mark);
        co_return;
    };
    run([&]() -> task<> {
        spawn(waits, 1);
        spawn(waits, 4);
        co_await yield_now();
        place.wake_one();
        spawn(begins, 2);
        loop().call_soon([&] { order.push_back(3); });
        place.wake_one();
        spawn(begins, 5);
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2, 3, 4, 5});
}

TEST_CASE_FIXTURE(test_loop,
                  "order: timers due in one turn fire by deadline, then in order of arming") {
    std::vector<int> order;
    auto sleeps = [&](duration length, int mark) -> task<> {
        co_await sleep(length);
        order.push_back(mark);
    };
    run([&]() -> task<> {
        // All are armed before any is due, and all are due when the clock has jumped.
        const time_point start = now();
        spawn(sleeps, 2us, 3);
        spawn(sleeps, 1us, 1);
        loop().call_at(start + 2us, [&] { order.push_back(4); });
        spawn(sleeps, 1us, 2);
        co_await sleep(3us);
    });
    CHECK(order == std::vector{1, 2, 4, 3});  // the call was armed first: spawned tasks start later
}

TEST_CASE_FIXTURE(test_loop, "order: an await that is ready does not yield") {
    std::vector<int> order;
    auto ready = []() -> task<int> { co_return 1; };
    auto body = [&](int mark) -> task<> {
        for (int i = 0; i < 10; ++i) {
            const int got = co_await ready();
            order.push_back(mark * got);
        }
    };
    run([&]() -> task<> { co_await gather(body(1), body(2)); });
    std::vector<int> expected(10, 1);
    expected.insert(expected.end(), 10, 2);
    CHECK(order == expected);
}

TEST_CASE_FIXTURE(test_loop, "order: after a budget of ready awaits in one turn the task yields") {
    int longest = 0;
    int in_a_row = 0;
    auto ready = []() -> task<> { co_return; };
    auto greedy = [&]() -> task<> {
        for (int i = 0; i < 10'000; ++i) {
            co_await ready();
            longest = std::max(longest, ++in_a_row);
        }
    };
    auto modest = [&]() -> task<> {
        for (int i = 0; i < 30; ++i) {
            in_a_row = 0;
            co_await yield_now();
        }
    };
    run([&]() -> task<> { co_await gather(greedy(), modest(), greedy()); });
    CHECK(longest >= 128);
    CHECK(longest < 10'000);
}

TEST_CASE_FIXTURE(test_loop,
                  "order: waits that are over before they begin spend of the budget too") {
    bool other_ran = false;
    auto nothing = []() -> task<> { co_return; };
    auto greedy = [&]() -> task<> {
        int rounds = 0;
        while (!other_ran && ++rounds < 100'000) co_await gather();
        CHECK(rounds < 1000);
    };
    auto joins = [&]() -> task<> {
        std::vector<join_handle<>> finished;
        for (int i = 0; i < 1000; ++i) finished.push_back(spawn(nothing));
        co_await sleep(1ms);
        other_ran = false;
        auto other = [&]() -> task<> {
            other_ran = true;
            co_return;
        };
        spawn(other);
        std::size_t joined = 0;
        while (!other_ran && joined < finished.size()) co_await finished[joined++];
        CHECK(joined < finished.size());
    };
    auto other = [&]() -> task<> {
        other_ran = true;
        co_return;
    };
    run([&]() -> task<> {
        co_await gather(greedy(), other());
        co_await joins();
    });
}

TEST_CASE_FIXTURE(test_loop, "order: nobody runs inside the call that starts or wakes them") {
    std::vector<int> order;
    parking place;
    auto waits = [&]() -> task<> {
        order.push_back(1);
        co_await place.park();
        order.push_back(3);
    };
    run([&]() -> task<> {
        spawn(waits);
        CHECK(order.empty());
        co_await yield_now();
        order.push_back(2);
        place.wake_all();
        CHECK(order.size() == 2);
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2, 3});
}

/// Ready awaits, yields and calls without end: three ways to hold a loop.
struct busy_work {
    task<> awaits_ready() {
        auto ready = []() -> task<> { co_return; };
        while (!stop) co_await ready();
    }
    task<> yields() {
        while (!stop) co_await yield_now();
    }
    void asks_again(loop& own) {
        if (!stop) own.call_soon([this, &own] { asks_again(own); });
    }
    bool stop = false;
};

TEST_CASE_FIXTURE(leak_check, "fairness: busy tasks starve neither timers nor I/O nor posts") {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    const unique_fd reading(pipe[0]);
    const unique_fd writing(pipe[1]);
    loop own;
    busy_work work;
    int served = 0;
    auto timed = [&]() -> task<> {
        for (int i = 0; i < 5; ++i) co_await sleep(100us);
        ++served;
    };
    auto reads = [&]() -> task<> {
        for (int i = 0; i < 5; ++i) {
            co_await wait_readable(reading.get());
            char byte = 0;
            CHECK(::read(reading.get(), &byte, 1) == 1);
        }
        ++served;
    };
    auto writes = [&]() -> task<> {
        for (int i = 0; i < 5; ++i) {
            CHECK(::write(writing.get(), "x", 1) == 1);
            co_await sleep(50us);
        }
    };
    auto posts = [&]() -> task<> {
        parking place;
        CHECK(own.post([&] { place.wake_one(); }));
        co_await place.park();
        ++served;
    };
    auto body = [&]() -> task<> {
        for (int i = 0; i < 10; ++i) {
            spawn(&busy_work::awaits_ready, std::ref(work));
            spawn(&busy_work::yields, std::ref(work));
        }
        work.asks_again(own);
        co_await gather(timed(), reads(), writes(), posts());
        work.stop = true;
    };
    own.run(body());
    CHECK(served == 3);
}

TEST_CASE_FIXTURE(leak_check, "fairness: timers without end starve neither tasks nor each other") {
    int fired = 0;
    bool stop = false;
    auto rearms = [&]() -> task<> {
        while (!stop) {
            co_await sleep_until(clock::now() - 1s);
            ++fired;
        }
    };
    auto modest = [&]() -> task<> {
        for (int i = 0; i < 100; ++i) co_await yield_now();
        co_await sleep(1ms);
        stop = true;
    };
    auto body = [&]() -> task<> { co_await gather(rearms(), rearms(), rearms(), modest()); };
    lariat::run(body());
    CHECK(fired > 3);
}

}  // namespace

#include <lariat/sync/line_wait.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/sync/event.hpp>
#include <lariat/sync/latch.hpp>
#include <lariat/sync/mutex.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/sync/select.hpp>
#include <lariat/sync/semaphore.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

/// An item whose move throws when it is the one that sticks.
struct sticky {
    explicit sticky(int what) : value(what) {}
    sticky(sticky&& other) : value(other.value) {
        if (value == stuck) throw std::runtime_error("moved");
    }
    sticky& operator=(sticky&&) = delete;

    int value;
    static inline int stuck = -1;
};

TEST_CASE_FIXTURE(test_loop, "line_wait: what can be had at once is had before others run") {
    mutex door;
    semaphore permits(1);
    event open;
    latch none(0);
    queue<int> way;
    open.set();
    bool other_ran = false;
    run([&]() -> task<> {
        auto other = spawn([&]() -> task<> {
            other_ran = true;
            co_return;
        });
        {
            const auto inside = co_await door.lock();
            co_await permits.acquire();
            co_await open.wait();
            co_await none.wait();
            co_await way.put(1);
            CHECK(co_await way.get() == 1);
        }
        CHECK_FALSE(other_ran);
        co_await other;
    });
}

TEST_CASE_FIXTURE(test_loop, "line_wait: one that had been cut is awaited again, and passes") {
    queue<int> way;
    run([&]() -> task<> {
        auto getting = way.get();
        CHECK_THROWS_AS((void)co_await timeout(5ms, getting), timeout_error);
        way.put_nowait(1);
        CHECK(co_await timeout(5ms, getting) == 1);
        CHECK_THROWS_AS((void)co_await timeout(5ms, getting), timeout_error);
        auto later = spawn([&]() -> task<> {
            co_await sleep(1ms);
            co_await way.put(2);
        });
        CHECK(co_await timeout(5ms, getting) == 2);
        co_await later;
    });
    CHECK(elapsed() == 11ms);
}

TEST_CASE_FIXTURE(test_loop, "line_wait: an arm of a select is awaited alone, and an arm again") {
    queue<int> way;
    run([&]() -> task<> {
        auto getting = way.get();
        CHECK((co_await select(getting, after(1ms))).index == 1);
        auto later = spawn([&]() -> task<> {
            co_await sleep(1ms);
            co_await way.put(1);
        });
        CHECK(co_await timeout(5ms, getting) == 1);
        co_await later;
        CHECK((co_await select(getting, after(1ms))).index == 1);
        way.put_nowait(2);
        CHECK(co_await timeout(5ms, getting) == 2);
    });
}

TEST_CASE_FIXTURE(test_loop, "line_wait: with the last of the budget it takes, then others run") {
    for (const bool in_a_timeout : {false, true}) {
        CAPTURE(in_a_timeout);
        queue<int> way;
        std::uint32_t got = 0;
        std::uint32_t seen = 0;
        run([&]() -> task<> {
            for (std::uint32_t i = 0; i < 2 * scheduler::leg_budget; ++i) way.put_nowait(1);
            auto other = spawn([&]() -> task<> {
                seen = got;
                co_return;
            });
            while (!other.done()) {
                const std::optional<int> item =
                    in_a_timeout ? co_await timeout(1s, way.get()) : co_await way.get();
                CHECK(item == 1);
                ++got;
            }
            CHECK(way.size() == 2 * scheduler::leg_budget - got);
        });
        // The item of the get that has to suspend is taken, though nobody has counted it yet.
        CHECK(seen + 1 == scheduler::leg_budget);
        CHECK(got == scheduler::leg_budget);
    }
}

using int_queue = queue<int>;

/// Whether the rule stops `then` while another task awaits the same get.
template <class Then>
bool stops_while_one_waits(Then then) {
    return stops_with("one awaiter is awaited by one task at a time", [&] {
        int_queue way;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto getting = way.get();
            auto takes = [&]() -> task<> { (void)co_await timeout(1s, getting); };
            auto first = spawn(takes);
            co_await yield_now();
            co_await then(way, getting);
        });
    });
}

TEST_CASE("line_wait: an awaiter that two tasks await stops with the rule") {
    CHECK(stops_while_one_waits([](int_queue&, int_queue::get_wait& getting) -> task<> {
        (void)co_await timeout(1s, getting);
    }));
    // Given its item, the first has not gone on yet.
    CHECK(stops_while_one_waits([](int_queue& way, int_queue::get_wait& getting) -> task<> {
        way.put_nowait(1);
        way.put_nowait(2);
        (void)co_await timeout(1s, getting);
    }));
    CHECK(stops_while_one_waits([](int_queue& way, int_queue::get_wait& getting) -> task<> {
        (void)co_await select(way.get(), getting);
    }));
    CHECK(stops_while_one_waits([](int_queue&, int_queue::get_wait& getting) -> task<> {
        [[maybe_unused]] const auto moved = std::move(getting);
        co_return;
    }));
}

TEST_CASE("line_wait: an awaiter that a select has twice stops with the rule") {
    CHECK(stops_with("one awaiter is awaited by one task at a time", [] {
        int_queue way;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto getting = way.get();
            (void)co_await select(getting, getting);
        });
    }));
}

TEST_CASE_FIXTURE(test_loop, "line_wait: to arrive in a timeout is to arrive once") {
    latch gate(3);
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1ms, gate.arrive_and_wait()), timeout_error);
        CHECK_FALSE(gate.try_wait());
        auto other = spawn([&]() -> task<> { co_await gate.arrive_and_wait(); });
        co_await yield_now();
        CHECK_FALSE(gate.try_wait());
        co_await timeout(1ms, gate.arrive_and_wait());
        co_await other;
    });
}

TEST_CASE_FIXTURE(test_loop, "line_wait: what went wrong with a put that waited is thrown by it") {
    const auto fails = [](auto&& verb) -> task<bool> {
        try {
            (void)co_await std::move(verb);
        } catch (const std::runtime_error&) {
            co_return true;
        }
        co_return false;
    };
    queue<sticky> way(1);
    run([&]() -> task<> {
        for (int how = 0; how < 4; ++how) {
            CAPTURE(how);
            way.put_nowait(sticky(1));
            auto puts = spawn([&]() -> task<bool> {
                if (how == 0) co_return co_await fails(way.put(sticky(2)));
                if (how == 1) co_return co_await fails(timeout(1s, way.put(sticky(2))));
                if (how == 2) co_return co_await fails(nothrow(way.put(sticky(2))));
                co_return co_await fails(select(way.put(sticky(2)), after(1s)));
            });
            co_await yield_now();
            sticky::stuck = 2;
            CHECK(way.get_nowait().value == 1);
            sticky::stuck = -1;
            CHECK(co_await puts);
            CHECK(way.empty());
        }
        // One that failed keeps its item, and can be awaited again.
        way.put_nowait(sticky(1));
        auto putting = way.put(sticky(3));
        auto puts = spawn([&]() -> task<bool> { co_return co_await fails(timeout(1s, putting)); });
        co_await yield_now();
        sticky::stuck = 3;
        (void)way.get_nowait();
        sticky::stuck = -1;
        CHECK(co_await puts);
        CHECK(putting.item().value == 3);
        co_await timeout(1s, putting);
        CHECK(way.get_nowait().value == 3);
    });
    CHECK(elapsed() == 0ms);
}

}  // namespace

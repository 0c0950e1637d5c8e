#include <lariat/sync/barrier.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

using arrivals = std::vector<std::pair<int, std::size_t>>;  // who, and which index it was given

task<> arrive(barrier& line, int mark, arrivals& through) {
    const std::size_t index = co_await line.wait();
    through.emplace_back(mark, index);
}

TEST_CASE_FIXTURE(test_loop, "barrier: all go on when the last has come, in the order of arrival") {
    barrier line(3);
    arrivals through;
    run([&]() -> task<> {
        CHECK(line.parties() == 3);
        auto first = spawn(arrive(line, 1, through));
        auto second = spawn(arrive(line, 2, through));
        co_await sleep(1s);
        CHECK(line.waiting() == 2);
        CHECK(through.empty());
        const std::size_t index = co_await line.wait();
        CHECK(index == 2);
        CHECK(line.waiting() == 0);
        co_await gather(std::move(first), std::move(second));
    });
    CHECK(through == arrivals{{1, 0}, {2, 1}});
}

TEST_CASE_FIXTURE(test_loop,
                  "barrier: it begins anew; who comes between belongs to the next round") {
    barrier line(2);
    arrivals through;
    run([&]() -> task<> {
        spawn(arrive(line, 1, through));
        co_await yield_now();
        const std::size_t index = co_await line.wait();
        CHECK(index == 1);
        // The first has not run yet: its round is over all the same.
        CHECK(through.empty());
        auto next = spawn(arrive(line, 2, through));
        co_await sleep(1s);
        CHECK(through == arrivals{{1, 0}});
        CHECK_FALSE(next.done());
        co_await arrive(line, 3, through);
        co_await next;
    });
    CHECK(through == arrivals{{1, 0}, {3, 1}, {2, 0}});
}

TEST_CASE_FIXTURE(test_loop, "barrier: round after round nobody runs ahead") {
    barrier line(3);
    std::vector<int> rounds(3);
    auto runs = [&](std::size_t me) -> task<> {
        for (int round = 0; round < 50; ++round) {
            co_await sleep(1ms * static_cast<int>((me + static_cast<std::size_t>(round)) % 3));
            rounds[me] = round;
            (void)co_await line.wait();
            for (const int other : rounds) {
                CHECK(other >= round);
                CHECK(other <= round + 1);
            }
        }
    };
    run([&]() -> task<> { co_await gather(runs(0), runs(1), runs(2)); });
}

TEST_CASE_FIXTURE(test_loop, "barrier: for one task it never waits") {
    barrier line(1);
    run([&]() -> task<> {
        const std::size_t index = co_await line.wait();
        CHECK(index == 0);
    });
}

TEST_CASE_FIXTURE(test_loop, "barrier: a cancelled waiter leaves, and another comes in its place") {
    barrier line(3);
    arrivals through;
    run([&]() -> task<> {
        auto first = spawn(arrive(line, 1, through));
        auto second = spawn(arrive(line, 2, through));
        co_await yield_now();
        first.cancel();
        co_await yield_now();
        CHECK(first.done());
        CHECK(line.waiting() == 1);
        CHECK_FALSE(line.broken());
        CHECK_THROWS_AS((void)co_await timeout(1s, line.wait()), timeout_error);
        CHECK(line.waiting() == 1);
        auto third = spawn(arrive(line, 3, through));
        co_await yield_now();
        co_await arrive(line, 4, through);
        co_await gather(std::move(second), std::move(third));
    });
    CHECK(through == arrivals{{4, 2}, {2, 0}, {3, 1}});
}

TEST_CASE_FIXTURE(test_loop,
                  "barrier: one who went through and was cancelled then has gone through") {
    barrier line(2);
    arrivals through;
    run([&]() -> task<> {
        auto first = spawn(arrive(line, 1, through));
        co_await yield_now();
        (void)co_await line.wait();
        first.cancel();
        const auto ended = co_await settled(std::move(first));
        CHECK(ended.is_value());
    });
    CHECK(through == arrivals{{1, 0}});
}

TEST_CASE_FIXTURE(test_loop, "barrier: its action is called once a round, before anybody goes on") {
    int rounds = 0;
    arrivals through;
    barrier line(2, [&] {
        CHECK(through.size() == 2 * static_cast<std::size_t>(rounds));
        ++rounds;
    });
    run([&]() -> task<> {
        for (int round = 1; round <= 3; ++round) {
            co_await gather(arrive(line, 1, through), arrive(line, 2, through));
            CHECK(rounds == round);
        }
    });
    CHECK(through.size() == 6);
}

TEST_CASE_FIXTURE(test_loop, "barrier: an action that throws breaks it, and the last is told why") {
    bool fails = true;
    barrier line(2, [&] {
        if (fails) throw std::runtime_error("not this round");
    });
    arrivals through;
    run([&]() -> task<> {
        auto first = spawn(arrive(line, 1, through));
        co_await yield_now();
        CHECK_THROWS_WITH_AS((void)co_await line.wait(), "not this round", std::runtime_error);
        CHECK_THROWS_AS(co_await first, broken_barrier);
        CHECK(line.broken());
        CHECK_THROWS_AS((void)co_await line.wait(), broken_barrier);
        fails = false;
        line.reset();
        co_await gather(arrive(line, 3, through), arrive(line, 4, through));
    });
    CHECK(through == arrivals{{4, 1}, {3, 0}});
}

TEST_CASE_FIXTURE(test_loop, "barrier: abort breaks it for those who wait and those who come") {
    barrier line(3);
    arrivals through;
    run([&]() -> task<> {
        auto first = spawn(arrive(line, 1, through));
        auto second = spawn(arrive(line, 2, through));
        co_await yield_now();
        line.abort();
        CHECK(line.broken());
        CHECK(line.waiting() == 0);
        CHECK_THROWS_AS(co_await first, broken_barrier);
        CHECK_THROWS_AS(co_await second, broken_barrier);
        CHECK_THROWS_AS((void)co_await line.wait(), broken_barrier);
        line.reset();
        CHECK_FALSE(line.broken());
        co_await gather(arrive(line, 3, through), arrive(line, 4, through),
                        arrive(line, 5, through));
    });
    CHECK(through == arrivals{{5, 2}, {3, 0}, {4, 1}});
}

TEST_CASE_FIXTURE(test_loop, "barrier: reset sends away those who wait, and it is as new") {
    barrier line(2);
    arrivals through;
    run([&]() -> task<> {
        auto first = spawn(arrive(line, 1, through));
        co_await yield_now();
        line.reset();
        CHECK_FALSE(line.broken());
        auto second = spawn(arrive(line, 2, through));
        co_await yield_now();
        CHECK_THROWS_AS(co_await first, broken_barrier);
        CHECK(line.waiting() == 1);
        co_await arrive(line, 3, through);
        co_await second;
    });
    CHECK(through == arrivals{{3, 1}, {2, 0}});
}

TEST_CASE_FIXTURE(test_loop,
                  "barrier: broken and cancelled in one turn, the first to come decides") {
    barrier line(2);
    arrivals through;
    run([&]() -> task<> {
        auto broken = spawn(arrive(line, 1, through));
        co_await yield_now();
        line.abort();
        broken.cancel();
        CHECK_THROWS_AS(co_await broken, broken_barrier);
        line.reset();
        auto cut = spawn(arrive(line, 2, through));
        co_await yield_now();
        cut.cancel();
        line.abort();
        CHECK_THROWS_AS(co_await cut, task_cancelled);
    });
    CHECK(through.empty());
}

TEST_CASE_FIXTURE(test_loop,
                  "barrier: its error is a code through nothrow, and says what happened") {
    barrier line(2);
    run([&]() -> task<> {
        const auto late = co_await nothrow(timeout(1s, line.wait()));
        CHECK(late.error() == errc::timed_out);
        auto waits = [&]() -> task<> {
            const auto got = co_await nothrow(line.wait());
            CHECK(got.error() == errc::broken_barrier);
        };
        auto waiting = spawn(waits);
        co_await yield_now();
        line.abort();
        co_await waiting;
        const auto at_once = co_await nothrow(timeout(1s, line.wait()));
        CHECK(at_once.error() == errc::broken_barrier);
        std::string text;
        try {
            (void)co_await race(line.wait(), sleep(1s));
        } catch (const broken_barrier& error) {
            text = error.what();
        }
        CHECK(text == "barrier: the barrier was aborted or reset");
    });
}

TEST_CASE_FIXTURE(test_loop, "barrier: a woken task may wait at it again at once") {
    barrier line(2);
    std::vector<int> order;
    auto comes = [&](int mark) -> task<> {
        for (int i = 0; i < 3; ++i) {
            (void)co_await line.wait();
            order.push_back(mark);
        }
    };
    run([&]() -> task<> { co_await gather(comes(1), comes(2)); });
    CHECK(order == std::vector{2, 1, 1, 2, 2, 1});
}

TEST_CASE("barrier: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<barrier> line(std::in_place, 2);
        arrivals through;
        test_loop loop;
        loop.run([&]() -> task<> {
            spawn(arrive(*line, 1, through));
            co_await yield_now();
            line.reset();
        });
    }));
}

TEST_CASE("barrier: one for nobody stops with the rule") {
    CHECK(stops_with("a barrier is for one task at least", [] { const barrier line(0); }));
}

}  // namespace

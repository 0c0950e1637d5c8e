#include <lariat/sync/once.hpp>

#include "death.hpp"
#include "sync_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

/// Needs a second for it, and notes its beginning and its end.
task<> connect(once& connected, int mark, std::vector<int>& order) {
    auto work = [&order, mark]() -> task<> {
        order.push_back(mark);
        co_await sleep(1s);
        order.push_back(10 * mark);
    };
    co_await connected.call(work);
}

TEST_CASE_FIXTURE(test_loop, "once: the first to come runs it, the others wait for its end") {
    once connected;
    int runs = 0;
    std::vector<int> order;
    auto connect = [&]() -> task<> {
        ++runs;
        co_await sleep(1s);
    };
    auto uses = [&](int mark) -> task<> {
        co_await connected.call(connect);
        CHECK(elapsed() == 1s);
        CHECK(connected.done());
        order.push_back(mark);
    };
    run([&]() -> task<> {
        CHECK_FALSE(connected.done());
        co_await gather(uses(1), uses(2), uses(3));
        co_await connected.call(connect);
    });
    CHECK(runs == 1);
    CHECK(order == std::vector{1, 2, 3});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "once: a plain function will do, also one that only moves") {
    once made;
    int value = 0;
    run([&]() -> task<> {
        auto sets = [&value, owned = std::make_unique<int>(7)] { value += *owned; };
        co_await made.call(std::move(sets));
        auto again = [&value] { ++value; };
        co_await made.call(again);
    });
    CHECK(value == 7);
}

TEST_CASE_FIXTURE(test_loop,
                  "once: if it fails the next in line tries, and only its caller hears") {
    once tried;
    std::vector<int> order;
    auto uses = [&](int mark, bool fails) -> task<> {
        auto work = [&order, mark, fails]() -> task<> {
            co_await sleep(1s);
            order.push_back(mark);
            if (fails) throw std::runtime_error("no");
        };
        co_await tried.call(work);
    };
    run([&]() -> task<> {
        const auto [first, second, third, fourth] =
            co_await settled(uses(1, true), uses(2, true), uses(3, false), uses(4, true));
        CHECK(first.is_error());
        CHECK(second.is_error());
        CHECK(third.is_value());
        CHECK(fourth.is_value());
    });
    CHECK(order == std::vector{1, 2, 3});
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "once: a newcomer does not pass the one whose turn has come") {
    once tried;
    std::vector<int> order;
    auto fails = []() -> task<> {
        co_await sleep(1s);
        throw std::runtime_error("no");
    };
    auto first = [&]() -> task<> {
        CHECK_THROWS_AS(co_await tried.call(fails), std::runtime_error);
        co_await connect(tried, 1, order);  // the second was woken, and has not run yet
    };
    run([&]() -> task<> { co_await gather(first(), connect(tried, 2, order)); });
    CHECK(order == std::vector{2, 20});
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "once: failed with nobody in line, whoever comes next tries") {
    once tried;
    int runs = 0;
    auto fails = [&] {
        ++runs;
        throw std::runtime_error("no");
    };
    auto succeeds = [&] { ++runs; };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await tried.call(fails), std::runtime_error);
        CHECK_FALSE(tried.done());
        CHECK_THROWS_AS(co_await tried.call(fails), std::runtime_error);
        co_await tried.call(succeeds);
        co_await tried.call(fails);
    });
    CHECK(runs == 3);
}

TEST_CASE_FIXTURE(test_loop, "once: if who runs it is cancelled, the next in line does") {
    once connected;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = spawn(connect(connected, 1, order));
        auto second = spawn(connect(connected, 2, order));
        auto third = spawn(connect(connected, 3, order));
        co_await sleep(500ms);
        first.cancel();
        co_await gather(std::move(second), std::move(third));
        CHECK(first.done());
    });
    CHECK(order == std::vector{1, 2, 20});
    CHECK(elapsed() == 1500ms);
}

TEST_CASE_FIXTURE(test_loop, "once: a cancelled waiter leaves the line") {
    once connected;
    int runs = 0;
    auto work = [&]() -> task<> {
        ++runs;
        co_await sleep(2s);
        throw std::runtime_error("no");
    };
    auto uses = [&]() -> task<> { co_await connected.call(work); };
    run([&]() -> task<> {
        auto first = spawn(uses);
        auto second = spawn(uses);
        co_await sleep(1s);
        second.cancel();
        CHECK_THROWS_AS(co_await first, std::runtime_error);
        CHECK(second.done());
        CHECK_FALSE(connected.done());
    });
    CHECK(runs == 1);
}

TEST_CASE_FIXTURE(test_loop, "once: one whose turn had come when it was cancelled passes it on") {
    once connected;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = spawn(connect(connected, 1, order));
        auto second = spawn(connect(connected, 2, order));
        auto third = spawn(connect(connected, 3, order));
        co_await yield_now();
        first.cancel();
        co_await yield_now();  // the first has ended; the second is to run it, and has not yet
        CHECK(first.done());
        second.cancel();
        co_await third;
        CHECK(second.done());
    });
    CHECK(order == std::vector{1, 3, 30});
    CHECK(connected.done());
}

TEST_CASE_FIXTURE(test_loop,
                  "once: done in the turn of a cancel, it is done for those who waited") {
    once connected;
    auto work = []() -> task<> { co_await sleep(1s); };
    auto uses = [&]() -> task<> { co_await connected.call(work); };
    run([&]() -> task<> {
        auto first = spawn(uses);
        auto second = spawn(uses);
        co_await first;
        second.cancel();  // it was woken, and has not run yet
        const auto ended = co_await settled(std::move(second));
        CHECK(ended.is_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "once: it composes with timeout and race, as runner and as waiter") {
    once connected;
    int runs = 0;
    auto slow = [&]() -> task<> {
        ++runs;
        co_await sleep(2s);
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1s, connected.call(slow)), timeout_error);
        CHECK_FALSE(connected.done());
        const auto first = co_await race(connected.call(slow), sleep(1s));
        CHECK(first.index == 1);
        auto runner = [&]() -> task<> { co_await connected.call(slow); };
        auto running = spawn(runner);
        co_await yield_now();
        CHECK_THROWS_AS(co_await timeout(1s, connected.call(slow)), timeout_error);
        co_await running;
        co_await timeout(1s, connected.call(slow));
    });
    CHECK(runs == 3);
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop, "once: many calls of one that is done let the others run") {
    once made;
    auto calls = [&]() -> task<> {
        auto nothing = [] {};
        for (int i = 0; i < 10'000; ++i) co_await made.call(nothing);
    };
    CHECK(test::others_run_beside(*this, calls));
}

TEST_CASE_FIXTURE(test_loop, "once: what it runs may spawn one that waits for it") {
    once made;
    std::vector<int> order;
    auto nothing = [] {};
    auto waits = [&]() -> task<> {
        co_await made.call(nothing);
        order.push_back(2);
    };
    auto starts = [&]() -> task<> {
        spawn(waits);
        co_await sleep(1s);
        order.push_back(1);
    };
    run([&]() -> task<> {
        co_await made.call(starts);
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2});
}

TEST_CASE("once: what it runs may not call it again") {
    CHECK(stops_with("what a once runs does not call the same once", [] {
        once made;
        test_loop loop;
        loop.run([&]() -> task<> {
            auto nothing = [] {};
            auto again = [&]() -> task<> { co_await made.call(nothing); };
            co_await made.call(again);
        });
    }));
}

TEST_CASE("once: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<once> made(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto work = []() -> task<> { co_await sleep(1s); };
            auto uses = [&]() -> task<> { co_await made->call(work); };
            spawn(uses);
            spawn(uses);
            co_await yield_now();
            made.reset();
        });
    }));
}

}  // namespace

// How gather, settled and race start their tasks: inside the leg that awaits them.
#include <lariat/task/gather.hpp>

#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/trace.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::give_after;
using lariat::test::test_loop;

task<int> give(int value) { co_return value; }

task<> fail(std::string text) {
    co_await give(0);
    throw std::runtime_error(text);
}

TEST_CASE_FIXTURE(test_loop, "gather: each runs until it waits, then the next one starts") {
    std::string order;
    auto twice = [&](char mark) -> task<> {
        order += mark;
        co_await yield_now();
        order += mark;
    };
    run([&]() -> task<> {
        auto before = spawn(twice, '.');
        co_await gather(twice('a'), twice('b'), twice('c'));
        co_await std::move(before);
    });
    CHECK(order == "abc.abc.");
}

TEST_CASE_FIXTURE(test_loop, "gather: a tree opens depth first") {
    std::string order;
    auto leaf = [&](char mark) -> task<> {
        order += mark;
        co_return;
    };
    auto branch = [&](char mark) -> task<> {
        order += mark;
        co_await gather(leaf(static_cast<char>(mark + 1)), leaf(static_cast<char>(mark + 2)));
    };
    run([&]() -> task<> { co_await gather(branch('a'), branch('k')); });
    CHECK(order == "abcklm");
}

TEST_CASE_FIXTURE(test_loop, "gather: what is ready at once costs no turn of the loop") {
    run([&]() -> task<> {
        const auto before = loop::current().stats().turns;
        const auto got = co_await gather(give(1), give(2));
        const auto ended = co_await settled(give(3), fail("at once"));
        const auto won = co_await race(give(4), give(5));
        CHECK(loop::current().stats().turns == before);
        CHECK(got == std::tuple(1, 2));
        CHECK(std::get<0>(ended).is_value());
        CHECK(std::get<1>(ended).is_error());
        CHECK(won.index == 0);
        CHECK(won.value == 4);
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: after one that fails at once no other begins") {
    bool begun = false;
    auto second = [&]() -> task<> {
        begun = true;
        co_await sleep(1h);
    };
    run([&]() -> task<> {
        CHECK_THROWS_WITH_AS(co_await gather(fail("first"), second()), "first", std::runtime_error);
    });
    CHECK(!begun);
    CHECK(elapsed() == 0s);
}

TEST_CASE_FIXTURE(test_loop,
                  "gather: one that waits is cancelled by the next, which fails at once") {
    run([&]() -> task<> {
        CHECK_THROWS_WITH_AS(co_await gather(give_after(1h, 1), fail("second")), "second",
                             std::runtime_error);
    });
    CHECK(elapsed() == 0s);
}

TEST_CASE_FIXTURE(test_loop, "gather: a child that cancels its gatherer is heard") {
    bool begun = false;
    run([&]() -> task<> {
        join_handle<> gatherer;
        auto cancels = [&]() -> task<> {
            gatherer.cancel();
            co_return;
        };
        auto never = [&]() -> task<> {
            begun = true;
            co_return;
        };
        auto body = [&]() -> task<> { co_await gather(cancels(), never()); };
        gatherer = spawn(body());
        co_await yield_now();
        const auto ended = co_await settled(std::move(gatherer));
        CHECK(ended.is_cancelled());
    });
    CHECK(!begun);
}

TEST_CASE_FIXTURE(test_loop, "gather: a chain of gathers needs a constant stack") {
    struct chain {
        static task<int> of(int depth) {
            if (depth == 0) co_return 0;
            const auto [below] = co_await gather(of(depth - 1));
            co_return below + 1;
        }
    };
    CHECK(run(chain::of(100'000)) == 100'000);
}

TEST_CASE_FIXTURE(test_loop, "gather: many that are ready leave others their turn") {
    run([&]() -> task<> {
        constexpr int many = 10'000;
        int passed = 0;
        int seen = 0;
        auto count = [&]() -> task<> {
            ++passed;
            co_return;
        };
        auto other = [&]() -> task<> {
            seen = passed;
            co_return;
        };
        auto beside = spawn(other);
        std::vector<task<>> tasks;
        for (int i = 0; i < many; ++i) tasks.push_back(count());
        co_await gather(std::move(tasks));
        CHECK(passed == many);
        CHECK(seen > 0);
        CHECK(seen <= static_cast<int>(scheduler::leg_budget));
        co_await std::move(beside);
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: a child that uses up its leg leaves the others to the loop") {
    std::vector<int> order;
    auto busy = [&]() -> task<> {
        order.push_back(1);
        for (std::uint32_t i = 0; i < 2 * scheduler::leg_budget; ++i) co_await give(0);
        order.push_back(3);
    };
    auto other = [&]() -> task<> {
        order.push_back(2);
        co_return;
    };
    run([&]() -> task<> { co_await gather(busy(), other()); });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "gather: a dump from inside a child shows where its gatherer is") {
    std::string shown;
    auto child = [&]() -> task<> {
        shown = dump_tasks();
        co_return;
    };
    auto gatherer = [&]() -> task<> { co_await gather(child(), give(1)); };
    run([&]() -> task<> {
        auto running = spawn(gatherer());
        co_await std::move(running);
    });
    CHECK(shown.find("gather_start_test.cpp") != std::string::npos);
    CHECK(shown.find("waits for its children to end") != std::string::npos);
}

}  // namespace

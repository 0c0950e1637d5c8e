#include <lariat/task/race.hpp>

#include "death.hpp"
#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::fail_after;
using lariat::test::give_after;
using lariat::test::parking;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "race: the first to end decides, and the others are cancelled") {
    run([&]() -> task<> {
        const auto first = co_await race(give_after(3s, 1), give_after(1s, 2), give_after(2s, 3));
        CHECK(first.index == 1);
        CHECK(first.value == 2);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "race: of a vector, and of different types") {
    run([&]() -> task<> {
        std::vector<task<int>> tasks;
        for (int i = 0; i < 10; ++i) tasks.push_back(give_after((10 - i) * 1s, i));
        const auto last = co_await race(std::move(tasks));
        CHECK(last.index == 9);
        CHECK(last.value == 9);
        const auto mixed = co_await race(give_after(5s, 1), give_after(1s, std::string("text")));
        CHECK(mixed.index == 1);
        CHECK(std::get<1>(mixed.value) == "text");
        const auto bare = co_await race(sleep(1s), sleep(2s));
        CHECK(bare.index == 0);
        static_assert(std::is_same_v<decltype(bare.value), std::monostate>);
    });
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "race: a failure decides it too") {
    run([&]() -> task<> {
        CHECK_THROWS_WITH_AS(co_await race(give_after(2s, 1), fail_after<int>(1s, "broken")),
                             "broken", std::runtime_error);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "race: between equals the first given wins, the loser is discarded") {
    auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        const auto first = co_await race(give_after(1s, alive), give_after(1s, alive));
        CHECK(first.index == 0);
        CHECK(alive.use_count() == 2);
        const auto won = co_await race(give_after(1s, 1), fail_after<int>(1s, "discarded"));
        CHECK(won.index == 0);
    });
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "race: losers have ended when it returns, however long that takes") {
    bool ended = false;
    auto clean_up = [&]() -> task<> {
        co_await sleep(4s);
        ended = true;
    };
    auto loser = [&]() -> task<int> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            ended = false;
        }
        co_await shield(clean_up());
        co_return 1;
    };
    run([&]() -> task<> {
        const auto first = co_await race(loser(), give_after(1s, 2));
        CHECK(first.index == 1);
        CHECK(ended);
    });
    CHECK(elapsed() == 5s);
}

TEST_CASE_FIXTURE(test_loop, "race: cancelled from outside it ends all, then throws") {
    run([&]() -> task<> {
        auto body = [&]() -> task<> { co_await race(sleep(1h), sleep(2h)); };
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "race: one that finished as the race was cancelled still wins") {
    parking place;
    std::string log;
    auto waits = [&]() -> task<int> {
        co_await place.park();
        co_return 5;
    };
    auto body = [&]() -> task<> {
        const auto first = co_await race(waits(), give_after(1h, 6));
        CHECK(first.value == 5);
        log += "won";
        co_await yield_now();
        log += ", not cancelled";
    };
    run([&]() -> task<> {
        auto handle = spawn(body);
        co_await yield_now();
        co_await yield_now();
        place.wake_one();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "won");
}

TEST_CASE("race: of nothing stops with the rule") {
    CHECK(stops_with("a race needs at least one task", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            std::vector<task<int>> none;
            co_await race(std::move(none));
        });
    }));
}

}  // namespace

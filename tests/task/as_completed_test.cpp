#include <lariat/task/as_completed.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

static_assert(!std::is_copy_constructible_v<completions<int>>);
static_assert(std::is_nothrow_move_constructible_v<completions<int>>);

task<int> later(int value, duration delay) {
    co_await sleep(delay);
    co_return value;
}

task<int> fail_later(std::string text, duration delay) {
    co_await sleep(delay);
    throw std::runtime_error(text);
}

std::vector<task<int>> three() {
    std::vector<task<int>> tasks;
    tasks.push_back(later(10, 30ms));
    tasks.push_back(later(11, 10ms));
    tasks.push_back(later(12, 20ms));
    return tasks;
}

TEST_CASE_FIXTURE(test_loop, "as_completed: gives results in the order in which they come") {
    std::vector<std::size_t> order;
    std::vector<int> values;
    std::vector<duration> times;
    run([&]() -> task<> {
        auto results = as_completed(three());
        CHECK(results.size() == 3);
        while (auto done = co_await results.next()) {
            order.push_back(done->index);
            values.push_back(done->value());
            times.push_back(elapsed());
        }
        CHECK(results.size() == 0);
        const auto after = co_await results.next();
        CHECK_FALSE(after.has_value());
    });
    CHECK(order == std::vector<std::size_t>{1, 2, 0});
    CHECK(values == std::vector<int>{11, 12, 10});
    CHECK(times == std::vector<duration>{10ms, 20ms, 30ms});
}

TEST_CASE_FIXTURE(test_loop,
                  "as_completed: what ended before it was asked for is there, in order") {
    std::vector<std::size_t> order;
    run([&]() -> task<> {
        auto results = as_completed(three());
        co_await sleep(1s);
        while (auto done = co_await results.next()) order.push_back(done->index);
    });
    CHECK(order == std::vector<std::size_t>{1, 2, 0});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "as_completed: of nothing, it is at its end") {
    run([]() -> task<> {
        auto results = as_completed(std::vector<task<int>>());
        const auto none = co_await results.next();
        CHECK_FALSE(none.has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "as_completed: results may be nothing, references or move-only") {
    run([]() -> task<> {
        int place = 4;
        auto refer = [&]() -> task<int&> { co_return place; };
        auto own = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
        auto nothing = []() -> task<> { co_return; };
        std::vector<task<int&>> references;
        references.push_back(refer());
        std::vector<task<std::unique_ptr<int>>> owners;
        owners.push_back(own());
        std::vector<task<>> plain;
        plain.push_back(nothing());

        auto first = as_completed(std::move(references));
        auto reference = co_await first.next();
        CHECK(&reference->value() == &place);
        auto second = as_completed(std::move(owners));
        auto owner = co_await second.next();
        CHECK(*owner->value() == 5);
        auto third = as_completed(std::move(plain));
        auto ended = co_await third.next();
        CHECK(ended->result.is_value());
        ended->value();
    });
}

TEST_CASE_FIXTURE(test_loop, "as_completed: a failure is its own item's, the others go on") {
    std::vector<std::string> said;
    run([&]() -> task<> {
        std::vector<task<int>> tasks = three();
        tasks.push_back(fail_later("broken", 15ms));
        auto results = as_completed(std::move(tasks));
        while (auto done = co_await results.next()) {
            try {
                said.push_back(std::to_string(done->value()));
            } catch (const std::runtime_error& error) {
                said.push_back(error.what());
            }
        }
    });
    CHECK(said == std::vector<std::string>{"11", "broken", "12", "10"});
    CHECK(reports.empty());
}

TEST_CASE_FIXTURE(test_loop, "as_completed: destroyed early, it cancels what still runs") {
    bool unwound = false;
    struct mark {
        bool& flag;
        ~mark() { flag = true; }
    };
    run([&]() -> task<> {
        auto endless = [&]() -> task<int> {
            const mark held{unwound};
            co_await sleep(1h);
            co_return 0;
        };
        std::vector<task<int>> tasks = three();
        tasks.push_back(endless());
        {
            auto results = as_completed(std::move(tasks));
            const auto first = co_await results.next();
            CHECK(first->index == 1);
        }
        CHECK(loop().stats().tasks == 4);  // nobody runs inside the call that cancels
        co_await yield_now();
        CHECK(unwound);
        CHECK(loop().stats().tasks == 1);
    });
    CHECK(elapsed() == 10ms);
    CHECK(reports.empty());
}

TEST_CASE_FIXTURE(test_loop,
                  "as_completed: a failure that nobody asked for is reported, and ends "
                  "the run") {
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             std::vector<task<int>> tasks = three();
                             tasks.push_back(fail_later("unseen", 5ms));
                             {
                                 auto results = as_completed(std::move(tasks));
                                 co_await sleep(6ms);
                                 CHECK(reports.empty());
                             }
                             CHECK(reports.size() == 1);
                         }),
                         "unseen", std::runtime_error);
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].find("unseen") != std::string::npos);
}

TEST_CASE_FIXTURE(test_loop, "as_completed: cancelling next() loses nothing") {
    std::vector<std::size_t> order;
    run([&]() -> task<> {
        auto results = as_completed(three());
        bool timed_out = false;
        try {
            co_await timeout(4ms, results.next());
        } catch (const timeout_error&) {
            timed_out = true;
        }
        CHECK(timed_out);
        while (auto done = co_await results.next()) order.push_back(done->index);
    });
    CHECK(order == std::vector<std::size_t>{1, 2, 0});
}

TEST_CASE_FIXTURE(test_loop,
                  "as_completed: a result that comes in the turn of the cut is delivered") {
    run([]() -> task<> {
        auto results = as_completed(three());
        cancel_scope scope;
        auto cutter = [&]() -> task<> {
            co_await sleep(10ms);  // after the first task's, which was made before
            co_await yield_now();
            scope.cancel();
        };
        auto cutting = spawn(cutter());
        const auto got = co_await scope.run(results.next());
        REQUIRE(got.has_value());
        REQUIRE(got->has_value());
        CHECK((*got)->index == 1);
        co_await cutting;
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "as_completed: a task that was cancelled before it began is given out too") {
    run([&]() -> task<> {
        auto inside = [&]() -> task<std::size_t> {
            auto results = as_completed(three());
            detail::root_group("the test").cancel_root();
            std::size_t cancelled_ones = 0;
            while (auto done = co_await results.next())
                cancelled_ones += done->result.is_cancelled();
            co_return cancelled_ones;
        };
        const std::size_t cancelled_ones = co_await shield(inside());
        CHECK(cancelled_ones == 3);
    });
    CHECK(elapsed() == 0ms);
}

TEST_CASE_FIXTURE(test_loop, "as_completed: may be moved, also while its tasks run") {
    run([]() -> task<> {
        auto made = as_completed(three());
        auto sum_up = [](completions<int> results) -> task<int> {
            int sum = 0;
            while (auto done = co_await results.next()) sum += done->value();
            co_return sum;
        };
        const int sum = co_await sum_up(std::move(made));
        CHECK(sum == 33);
    });
}

TEST_CASE("as_completed: two tasks in next() at once stop the program") {
    const bool stopped = stops_with("one task at a time may await next() of an as_completed", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            auto results = as_completed(three());
            auto take = [&]() -> task<> { co_await results.next(); };
            auto first = spawn(take());
            auto second = spawn(take());
            co_await first;
            co_await second;
        });
    });
    CHECK(stopped);
}

TEST_CASE("as_completed: outside of a run, it stops with the rule") {
    CHECK(stops_with("lariat::as_completed needs a running loop",
                     [] { auto results = as_completed(three()); }));
}

}  // namespace

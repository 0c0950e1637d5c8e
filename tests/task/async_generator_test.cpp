#include <lariat/task/async_generator.hpp>

#include "death.hpp"
#include "parking.hpp"
#include "test_loop.hpp"

#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/trace.hpp>

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
using lariat::test::parking;
using lariat::test::stops_with;
using lariat::test::test_loop;

static_assert(!std::is_copy_constructible_v<async_generator<int>>);
static_assert(std::is_nothrow_move_constructible_v<async_generator<int>>);
static_assert(std::is_same_v<async_generator<int>::item, std::optional<int>>);
static_assert(std::is_same_v<async_generator<const int&>::item, const int*>);

async_generator<int> count(int from, int to) {
    for (int i = from; i < to; ++i) co_yield i;
}

async_generator<int> count_slowly(int to) {
    for (int i = 0; i < to; ++i) {
        co_await sleep(1ms);
        co_yield i;
    }
}

/// Tells when a frame that holds it goes.
struct mark {
    explicit mark(bool& flag) noexcept : gone(flag) {}
    mark(const mark&) = delete;
    mark& operator=(const mark&) = delete;
    ~mark() { gone = true; }
    bool& gone;
};

template <class T>
task<std::vector<T>> all_of(async_generator<T> source) {
    std::vector<T> items;
    while (auto item = co_await source.next()) items.push_back(std::move(*item));
    co_return items;
}

TEST_CASE_FIXTURE(test_loop, "async_generator: gives every item in order, then nothing, for ever") {
    run([]() -> task<> {
        auto numbers = count(1, 4);
        std::vector<int> seen;
        while (auto item = co_await numbers.next()) seen.push_back(*item);
        CHECK(seen == std::vector<int>{1, 2, 3});
        const auto after = co_await numbers.next();
        CHECK_FALSE(after.has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: its body may wait between the items") {
    CHECK(run(all_of(count_slowly(3))) == std::vector<int>{0, 1, 2});
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop, "async_generator: nothing of it runs before the first next()") {
    bool ran = false;
    auto body = [&]() -> async_generator<int> {
        ran = true;
        co_yield 1;
    };
    run([&]() -> task<> {
        auto made = body();
        co_await yield_now();
        CHECK_FALSE(ran);
        const auto item = co_await made.next();
        CHECK(item == 1);
        CHECK(ran);
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: a value is the consumer's own, also beyond next()") {
    run([]() -> task<> {
        auto body = []() -> async_generator<std::string> {
            std::string kept = "a yielded variable stays the generator's";
            co_yield kept;
            co_yield kept;
            co_yield "a temporary is moved out";
            co_yield std::move(kept);
        };
        auto texts = body();
        auto first = co_await texts.next();
        auto second = co_await texts.next();
        auto third = co_await texts.next();
        auto fourth = co_await texts.next();
        const auto end = co_await texts.next();
        CHECK(first == "a yielded variable stays the generator's");
        CHECK(second == first);
        CHECK(third == "a temporary is moved out");
        CHECK(fourth == first);
        CHECK_FALSE(end.has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: items may be move-only, or converted") {
    run([]() -> task<> {
        auto owners = []() -> async_generator<std::unique_ptr<int>> {
            for (int i = 0; i < 2; ++i) {
                co_await yield_now();
                co_yield std::make_unique<int>(i);
            }
            auto named = std::make_unique<int>(7);
            co_yield std::move(named);
            co_yield nullptr;
        };
        const auto owned = co_await all_of(owners());
        REQUIRE(owned.size() == 4);
        CHECK(*owned[1] == 1);
        CHECK(*owned[2] == 7);
        CHECK(owned[3] == nullptr);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "async_generator: of a reference, next() is a pointer to the original") {
    run([]() -> task<> {
        std::vector<int> places{1, 2};
        auto refer = [&]() -> async_generator<int&> {
            for (int& place : places) co_yield place;
        };
        auto references = refer();
        while (auto* place = co_await references.next()) *place *= 10;
        CHECK(places == std::vector<int>{10, 20});

        auto look = []() -> async_generator<const std::string&> {
            co_yield "a temporary lives until the next next()";
        };
        auto texts = look();
        const std::string* text = co_await texts.next();
        CHECK(*text == "a temporary lives until the next next()");
        text = co_await texts.next();
        CHECK(text == nullptr);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "async_generator: its exception comes out of next(), once, and ends it") {
    run([]() -> task<> {
        auto failing = []() -> async_generator<int> {
            co_yield 1;
            co_await sleep(1ms);
            throw std::runtime_error("no more");
        };
        auto numbers = failing();
        const auto first = co_await numbers.next();
        CHECK(first == 1);
        std::string said;
        try {
            co_await numbers.next();
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "no more");
        const auto after = co_await numbers.next();
        CHECK_FALSE(after.has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: destroyed at a co_yield, its locals are destroyed") {
    bool gone = false;
    bool went_on = false;
    auto body = [&]() -> async_generator<int> {
        mark held(gone);
        co_yield 1;
        went_on = true;
    };
    run([&]() -> task<> {
        {
            auto numbers = body();
            const auto first = co_await numbers.next();
            CHECK(first == 1);
            CHECK_FALSE(gone);
        }
        CHECK(gone);
        CHECK_FALSE(went_on);
        auto never = body();
        co_await yield_now();
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: a cancelled consumer unwinds the body's await") {
    bool gone = false;
    bool timed_out = false;
    auto body = [&]() -> async_generator<int> {
        mark held(gone);
        co_yield 1;
        co_await sleep(1h);
        co_yield 2;
    };
    run([&]() -> task<> {
        auto numbers = body();
        const auto first = co_await numbers.next();
        CHECK(first == 1);
        try {
            co_await timeout(5ms, numbers.next());
        } catch (const timeout_error&) {
            timed_out = true;
        }
        CHECK(timed_out);
        CHECK(gone);
        const auto after = co_await numbers.next();
        CHECK_FALSE(after.has_value());
    });
    CHECK(elapsed() == 5ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "async_generator: in a cancelled scope next() does not begin, and loses "
                  "nothing") {
    run([]() -> task<> {
        auto numbers = count(1, 3);
        cancel_scope scope;
        scope.cancel();
        const auto none = co_await scope.run(numbers.next());
        CHECK_FALSE(none.has_value());
        const auto first = co_await numbers.next();
        CHECK(first == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: generators feed one another") {
    run([]() -> task<> {
        auto doubled = [](async_generator<int> source) -> async_generator<int> {
            while (auto item = co_await source.next()) co_yield *item * 2;
        };
        const auto items = co_await all_of(doubled(doubled(count_slowly(3))));
        CHECK(items == std::vector<int>{0, 4, 8});
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: tasks may take turns with it") {
    std::vector<int> seen;
    run([&]() -> task<> {
        auto numbers = count_slowly(4);
        auto take_two = [&]() -> task<> {
            for (int i = 0; i < 2; ++i) {
                auto item = co_await numbers.next();
                seen.push_back(item.value_or(-1));
            }
        };
        co_await spawn(take_two());
        co_await spawn(take_two());
    });
    CHECK(seen == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop,
                  "async_generator: many ready items use constant stack, and others run "
                  "meanwhile") {
    run([]() -> task<> {
        std::size_t turns = 0;
        bool over = false;
        auto watch = [&]() -> task<> {
            while (!over) {
                ++turns;
                co_await yield_now();
            }
        };
        auto watcher = spawn(watch());
        auto numbers = count(0, 100'000);
        long long sum = 0;
        while (auto item = co_await numbers.next()) sum += *item;
        CHECK(sum == 4'999'950'000LL);
        for (int i = 0; i < 1000; ++i) co_await numbers.next();
        CHECK(turns > 100'000 / scheduler::leg_budget);
        over = true;
        co_await watcher;
    });
}

TEST_CASE_FIXTURE(test_loop, "async_generator: an exception thrown at its end leaves no frame") {
    CHECK_THROWS_AS(run([]() -> task<> {
                        auto failing = []() -> async_generator<int> {
                            [[maybe_unused]] int local = 0;
                            throw std::runtime_error("at once");
                            co_yield local;
                        };
                        auto numbers = failing();
                        co_await numbers.next();
                    }),
                    std::runtime_error);
}

TEST_CASE_FIXTURE(test_loop, "async_generator: a trace leads from its await to its consumer") {
    run([]() -> task<> {
        auto consumer = spawn(all_of(count_slowly(1)));
        co_await yield_now();
        co_await yield_now();
        const std::string trace = trace_of(consumer.who());
        const std::size_t body = trace.find("count_slowly");
        const std::size_t around = trace.find("all_of");
        CHECK(body != std::string::npos);
        CHECK(around != std::string::npos);
        CHECK(body < around);
        co_await consumer;
    });
}

TEST_CASE("async_generator: a second next() while one is under way stops the program") {
    const bool stopped = stops_with("another next() of it is under way", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            auto numbers = count_slowly(9);
            auto take = [&]() -> task<> { co_await numbers.next(); };
            auto first = spawn(take());
            auto second = spawn(take());
            co_await first;
            co_await second;
        });
    });
    CHECK(stopped);
}

TEST_CASE("async_generator: destroying one that somebody awaits stops the program") {
    const bool stopped = stops_with("destroyed while its next() is under way", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            auto numbers = std::make_unique<async_generator<int>>(count_slowly(9));
            auto take = [&]() -> task<> { co_await numbers->next(); };
            auto first = spawn(take());
            co_await yield_now();
            numbers.reset();
            co_await first;
        });
    });
    CHECK(stopped);
}

TEST_CASE("async_generator: one that was moved from stops the program when asked") {
    const bool stopped = stops_with("this async_generator was moved from", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            auto numbers = count(0, 1);
            auto taken = std::move(numbers);
            co_await numbers.next();
        });
    });
    CHECK(stopped);
}

}  // namespace

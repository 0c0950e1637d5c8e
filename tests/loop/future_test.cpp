#include <lariat/loop/future.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::stops_with;
using lariat::test::test_loop;

static_assert(!std::is_copy_constructible_v<promise<int>>);
static_assert(!std::is_copy_constructible_v<future<int>>);
static_assert(std::is_nothrow_move_constructible_v<promise<int>>);
static_assert(std::is_nothrow_move_constructible_v<future<int>>);
static_assert(nothrow_verb<future<int>&>);

/// Runs on whichever driver LARIAT_BACKEND names, with real threads.
template <class Body>
void run_real(Body body) {
    const leak_check leaks;
    lariat::run(body());
}

TEST_CASE_FIXTURE(test_loop, "future: gives what the promise is set to later, by a callback") {
    run([&]() -> task<> {
        promise<std::string> answer;
        auto coming = answer.get_future();
        loop().call_later(5ms, [&] { answer.set_value("from a callback"); });
        CHECK_FALSE(coming.ready());
        const std::string got = co_await coming;
        CHECK(got == "from a callback");
        CHECK_FALSE(static_cast<bool>(coming));
    });
    CHECK(elapsed() == 5ms);
}

TEST_CASE_FIXTURE(test_loop, "future: one that was set before does not suspend") {
    run([&]() -> task<> {
        promise<int> answer;
        answer.set_value(3);
        auto there = answer.get_future();
        CHECK(there.ready());
        const std::uint64_t legs = loop().stats().legs;
        const int got = co_await there;
        CHECK(got == 3);
        CHECK(loop().stats().legs == legs);
    });
}

TEST_CASE_FIXTURE(test_loop, "future: whoever sets the promise is not interrupted") {
    std::vector<int> order;
    run([&]() -> task<> {
        promise<> done;
        auto waits = [&]() -> task<> {
            co_await done.get_future();
            order.push_back(2);
        };
        auto waiting = spawn(waits());
        co_await yield_now();
        done.set_value();
        order.push_back(1);
        co_await waiting;
    });
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE_FIXTURE(test_loop, "future: results may be nothing, references or move-only") {
    run([]() -> task<> {
        promise<std::unique_ptr<int>> owner;
        owner.set_value(std::make_unique<int>(8));
        auto owned = co_await owner.get_future();
        CHECK(*owned == 8);
        int place = 0;
        promise<int&> reference;
        reference.set_value(place);
        int& referred = co_await reference.get_future();
        CHECK(&referred == &place);
        promise<std::string> converted;
        converted.set_value("literal");
        const std::string text = co_await converted.get_future();
        CHECK(text == "literal");
    });
}

TEST_CASE_FIXTURE(test_loop, "future: an exception that was set is thrown by the await") {
    run([]() -> task<> {
        promise<int> answer;
        answer.set_exception(std::make_exception_ptr(std::runtime_error("no answer")));
        std::string said;
        try {
            co_await answer.get_future();
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "no answer");
    });
}

TEST_CASE_FIXTURE(test_loop, "future: a promise that is dropped unset breaks it") {
    run([&]() -> task<> {
        auto broken = promise<int>().get_future();
        bool closed = false;
        try {
            co_await broken;
        } catch (const closed_error& error) {
            closed = std::string(error.what()).find("promise was dropped") != std::string::npos;
        }
        CHECK(closed);

        std::optional<promise<int>> held(std::in_place);
        auto waits = [&]() -> task<std::error_code> {
            auto coming = held->get_future();
            const auto got = co_await nothrow(coming);
            co_return got.error();
        };
        auto waiting = spawn(waits());
        co_await yield_now();
        held.reset();
        const std::error_code code = co_await waiting;
        CHECK(code == errc::closed);
    });
}

TEST_CASE_FIXTURE(test_loop, "future: nothrow gives the value too, and timed_out of a timeout") {
    run([]() -> task<> {
        promise<int> answer;
        auto coming = answer.get_future();
        const auto late = co_await nothrow(timeout(2ms, coming));
        CHECK(late.error() == errc::timed_out);
        answer.set_value(9);
        const auto got = co_await nothrow(coming);
        REQUIRE(got.has_value());
        CHECK(*got == 9);
        promise<> nothing;
        nothing.set_value();
        const auto ended = co_await nothrow(nothing.get_future());
        CHECK(ended.has_value());
    });
}

TEST_CASE_FIXTURE(test_loop, "future: nothrow gives the code of an exception that has one") {
    run([]() -> task<> {
        promise<int> refused;
        auto code = refused.get_future();
        const auto why = std::make_error_code(std::errc::connection_refused);
        refused.set_exception(std::make_exception_ptr(std::system_error(why, "connect")));
        const result<int> got = co_await nothrow(code);
        CHECK(got.error() == why);
        promise<int> broken;
        auto other = broken.get_future();
        broken.set_exception(std::make_exception_ptr(std::runtime_error("no code")));
        CHECK_THROWS_WITH_AS(static_cast<void>(co_await nothrow(other)), "no code",
                             std::runtime_error);
    });
}

TEST_CASE_FIXTURE(test_loop, "future: cancelling the wait leaves it usable") {
    run([&]() -> task<> {
        promise<int> answer;
        auto coming = answer.get_future();
        cancel_scope scope;
        scope.expires_after(1ms);
        const auto none = co_await scope.run(coming);
        CHECK_FALSE(none.has_value());
        CHECK(static_cast<bool>(coming));
        loop().call_later(1ms, [&] { answer.set_value(4); });
        const int got = co_await coming;
        CHECK(got == 4);
    });
    CHECK(elapsed() == 2ms);
}

TEST_CASE_FIXTURE(test_loop, "future: set and cancelled in one turn, it is delivered") {
    run([]() -> task<> {
        promise<int> answer;
        auto coming = answer.get_future();
        cancel_scope scope;
        auto set_and_cut = [&]() -> task<> {
            answer.set_value(6);
            scope.cancel();
            co_return;
        };
        auto other = spawn(set_and_cut());
        const auto got = co_await scope.run(coming);
        CHECK(got == 6);
        co_await other;
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "future: cut and set in one turn, the value waits for the next await") {
    run([]() -> task<> {
        promise<int> answer;
        auto coming = answer.get_future();
        cancel_scope scope;
        auto cut_and_set = [&]() -> task<> {
            scope.cancel();
            answer.set_value(6);
            co_return;
        };
        auto other = spawn(cut_and_set());
        const auto none = co_await scope.run(coming);
        CHECK_FALSE(none.has_value());
        const int got = co_await coming;
        CHECK(got == 6);
        co_await other;
    });
}

TEST_CASE_FIXTURE(test_loop, "promise: the first to try sets it, the others are told") {
    run([]() -> task<> {
        promise<int> answer;
        CHECK(answer.try_set_value(1));
        CHECK_FALSE(answer.try_set_value(2));
        CHECK_FALSE(answer.try_set_exception(std::make_exception_ptr(1)));
        const int got = co_await answer.get_future();
        CHECK(got == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "promise: a value whose making throws has not been set") {
    struct picky {
        explicit picky(int from) : value(from) {
            if (from < 0) throw std::invalid_argument("negative");
        }
        int value;
    };
    run([]() -> task<> {
        promise<picky> answer;
        CHECK_THROWS_AS(answer.set_value(-1), std::invalid_argument);
        answer.set_value(2);
        const picky got = co_await answer.get_future();
        CHECK(got.value == 2);
    });
}

TEST_CASE("promise: its record is one allocation, given back with the last of the two") {
    const std::size_t before = live_frames();
    {
        promise<int> answer;
        CHECK(live_frames() == before + 1);
        auto coming = answer.get_future();
        answer.set_value(1);
        promise<int> moved = std::move(answer);
        CHECK(live_frames() == before + 1);
    }
    CHECK(live_frames() == before);
}

TEST_CASE("promise: set from another thread, it wakes a loop that sleeps") {
    run_real([]() -> task<> {
        promise<std::string> answer;
        auto coming = answer.get_future();
        std::jthread other([&] { answer.set_value("from another thread"); });
        const std::string got = co_await coming;
        CHECK(got == "from another thread");
    });
}

TEST_CASE("promise: many threads set, drop and race with cancellation; each await ends once") {
    run_real([]() -> task<> {
        constexpr int rounds = 300;
        int values = 0;
        int dropped = 0;
        for (int i = 0; i < rounds; ++i) {
            auto answer = std::make_unique<promise<int>>();
            auto coming = answer->get_future();
            std::jthread other([i, set = std::move(answer)]() mutable {
                if (i % 3 == 0) {
                    set.reset();
                } else {
                    set->set_value(i);
                }
            });
            cancel_scope scope;
            auto cut_soon = [&]() -> task<> {
                co_await yield_now();
                scope.cancel();
            };
            auto cutter = spawn(cut_soon());
            bool closed = false;
            std::optional<int> got;
            try {
                got = co_await scope.run(coming);
            } catch (const closed_error&) {
                closed = true;
            }
            co_await cutter;
            if (!got && !closed) {
                const auto later = co_await nothrow(coming);
                closed = !later.has_value();
                if (later) got = *later;
            }
            if (got) CHECK(*got == i);
            values += got.has_value();
            dropped += closed;
        }
        CHECK(values + dropped == rounds);
        CHECK(dropped == rounds / 3);
    });
}

TEST_CASE("promise: several threads may try; one succeeds") {
    run_real([]() -> task<> {
        promise<int> answer;
        auto coming = answer.get_future();
        std::atomic<int> successes{0};
        auto attempt = [&](int value) {
            if (answer.try_set_value(value)) ++successes;
        };
        std::jthread one(attempt, 1);
        std::jthread two(attempt, 2);
        const int got = co_await coming;
        CHECK((got == 1 || got == 2));
        one.join();
        two.join();
        CHECK(successes == 1);
    });
}

TEST_CASE("promise: set after its loop has closed, it is dropped without harm") {
    const leak_check leaks;
    std::optional<promise<std::string>> left(std::in_place);
    lariat::run([](promise<std::string>& answer) -> task<> {
        auto coming = answer.get_future();
        const auto none = co_await nothrow(timeout(1ms, coming));
        CHECK(none.error() == errc::timed_out);
    }(*left));
    std::jthread([&] {
        left->set_value("nobody is there any more");
        left.reset();
    }).join();
}

TEST_CASE("promise: set on the loop's own thread, nothing is posted") {
    run_real([]() -> task<> {
        promise<int> answer;
        auto waits = [&]() -> task<int> { co_return co_await answer.get_future(); };
        auto waiting = spawn(waits());
        co_await yield_now();
        answer.set_value(5);
        CHECK(loop::current().box()->empty());
        const int got = co_await waiting;
        CHECK(got == 5);
    });
}

TEST_CASE("promise: setting it twice stops the program, with the place") {
    CHECK(stops_with("a promise is set once", [] {
        promise<int> answer;
        answer.set_value(1);
        answer.set_value(2);
    }));
    CHECK(stops_with("future_test.cpp", [] {
        promise<> answer;
        answer.set_value();
        answer.set_exception(std::make_exception_ptr(1));
    }));
}

TEST_CASE("promise: it has one future, and a future one result and one awaiter") {
    CHECK(stops_with("a promise has one future", [] {
        promise<int> answer;
        auto first = answer.get_future();
        auto second = answer.get_future();
    }));
    CHECK(stops_with("its result was already taken", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            promise<int> answer;
            answer.set_value(1);
            auto coming = answer.get_future();
            co_await coming;
            co_await coming;
        });
    }));
    CHECK(stops_with("one task at a time may await a future", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            promise<int> answer;
            auto coming = answer.get_future();
            auto waits = [&]() -> task<> { co_await coming; };
            auto first = spawn(waits());
            auto second = spawn(waits());
            co_await first;
            co_await second;
        });
    }));
}

TEST_CASE("future: destroying one that a task awaits stops the program") {
    CHECK(stops_with("a future must outlive the task that awaits it", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            promise<int> answer;
            auto coming = std::make_unique<future<int>>(answer.get_future());
            auto waits = [&]() -> task<> { co_await *coming; };
            auto waiting = spawn(waits());
            co_await yield_now();
            coming.reset();
            co_await waiting;
        });
    }));
}

}  // namespace

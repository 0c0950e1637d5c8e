#include <lariat/loop/loop.hpp>

#include "death.hpp"
#include "parking.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace debugged {

using namespace std::chrono_literals;

/// Holds the thread for as long, as a blocking call would.
void block(lariat::duration length) {
    const auto until = lariat::clock::now() + length;
    while (lariat::clock::now() < until) {
    }
}

lariat::task<> blocks_the_thread() {
    [[maybe_unused]] const int has_a_local = 0;
    co_await lariat::yield_now();
    block(8ms);
    co_await lariat::yield_now();
}

lariat::task<> blocks_at_its_end() {
    co_await lariat::yield_now();
    block(8ms);
}

lariat::task<> never_awaited(int) { co_return; }

lariat::task<> yields_twice() {
    for (int i = 0; i < 2; ++i) co_await lariat::yield_now();
}

/// Goes on after it was cancelled, to an await that refuses.
lariat::task<> awaits_when_cancelled() {
    bool cut = false;
    try {
        co_await lariat::sleep(1h);
    } catch (const lariat::cancelled&) {
        cut = true;
    }
    if (cut) co_await never_awaited(2);
}

lariat::task<> left_behind(lariat::test::parking& place) { co_await place.park(); }

struct ask {
    lariat::task<bool> once() {
        co_await lariat::yield_now();
        co_return --left >= 0;
    }
    int left = 3;
    int seen = 0;
};

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12
/// What GCC 12 makes a wrong program of: no local variable, and co_await in a condition.
lariat::task<> without_a_local(ask& queue) {
    while (co_await queue.once()) ++queue.seen;
}
#endif

}  // namespace debugged

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::ending;
using lariat::test::parking;
using lariat::test::run_in_child;
using lariat::test::stops_with;

/// A busy machine may hold any leg for long: only the tests of slow legs look at the time.
constexpr std::chrono::milliseconds never_slow = 1h;

run_options debugging(std::chrono::milliseconds slow_after = never_slow) {
    run_options options;
    options.debug = true;
    options.slow_after = slow_after;
    return options;
}

/// What a debugging run of `main` prints; the run must end well.
template <class Body>
std::string printed_by(Body body, std::chrono::milliseconds slow_after = never_slow) {
    const ending ended = run_in_child([&] { lariat::run(debugging(slow_after), body()); });
    CHECK(ended.exit_code == 0);
    return ended.text;
}

[[nodiscard]] bool has(const std::string& text, std::string_view part) {
    if (text.find(part) != std::string::npos) return true;
    MESSAGE("\"", std::string(part), "\" is not in:\n", text);
    return false;
}

TEST_CASE("debug: a task that holds the thread is named, with the place where it was resumed") {
    const std::string text = printed_by(
        []() -> task<> {
            auto blocking = spawn(debugged::blocks_the_thread());
            co_await blocking;
        },
        4ms);
    CHECK(has(text, "debugged::blocks_the_thread()"));
    CHECK(has(text, "held the thread for "));
    CHECK(has(text, "debug_test.cpp:"));
    CHECK(has(text, "nobody else ran in that time"));
}

TEST_CASE("debug: so is one that ends in that leg, by its name") {
    const std::string text = printed_by(
        []() -> task<> {
            bool ended = false;
            auto work = [](bool& over) -> task<> {
                set_task_name("a name that is longer than what a string holds in itself");
                co_await debugged::blocks_at_its_end();
                over = true;
            };
            {
                auto blocking = spawn(work(ended));
            }
            while (!ended) co_await yield_now();
        },
        4ms);
    CHECK(has(text, "a name that is longer than what a string holds in itself held the thread"));
    CHECK(has(text, "blocks_at_its_end()"));
}

TEST_CASE("debug: so is a call") {
    const std::string text = printed_by(
        []() -> task<> {
            bool called = false;
            loop::current().call_soon([&called] {
                debugged::block(8ms);
                called = true;
            });
            while (!called) co_await yield_now();
        },
        4ms);
    CHECK(has(text, "a call held the thread for "));
}

TEST_CASE("debug: quick tasks are not spoken of") {
    const std::string text = printed_by([]() -> task<> {
        for (int i = 0; i < 3; ++i) co_await yield_now();
    });
    CHECK(text.empty());
}

TEST_CASE("debug: a task that was made and never awaited is named") {
    const std::string text = printed_by([]() -> task<> {
        {
            auto forgotten = debugged::never_awaited(1);
        }
        co_return;
    });
    CHECK(has(text, "never awaited"));
    CHECK(has(text, "debug_test.cpp:"));
    CHECK(has(text, "debugged::never_awaited(int)"));
    CHECK(has(text, "co_await save(file);"));
}

TEST_CASE("debug: what main leaves behind is listed, with what it waits for") {
    const std::string text = printed_by([]() -> task<> {
        static std::optional<parking> place(std::in_place);
        spawn(debugged::left_behind(*place)).set_name("the patient one");
        spawn(debugged::left_behind(*place));
        co_await yield_now();
    });
    CHECK(has(text, "the main task has ended; 2 that it spawned"));
    CHECK(has(text, "the patient one waits for a place in the test's line"));
    CHECK(has(text, "debugged::left_behind("));
    CHECK(has(text, "#0 "));
}

TEST_CASE("debug: a run that leaves nothing says nothing; without debug, nothing is said at all") {
    const std::string clean =
        printed_by([]() -> task<> { co_await gather(yield_now(), debugged::yields_twice()); });
    CHECK(clean.empty());
    const ending silent = run_in_child([] {
        auto main_task = []() -> task<> {
            static parking place;
            spawn(debugged::left_behind(place));
            auto forgotten = debugged::never_awaited(1);
            co_await yield_now();
        };
        lariat::run(main_task());
    });
    CHECK(silent.exit_code == 0);
    CHECK(silent.text.empty());
}

TEST_CASE("debug: a task that a cancelled scope refused to start was not forgotten") {
    const ending ended = run_in_child([] {
        auto main_task = []() -> task<> {
            cancel_scope over;
            over.cancel();
            const bool began = co_await over.run(debugged::never_awaited(1));
            CHECK(!began);
            auto begun = spawn(debugged::awaits_when_cancelled());
            co_await yield_now();
            begun.cancel();
            const auto outcome = co_await settled(std::move(begun));
            CHECK(outcome.is_cancelled());
        };
        lariat::run(debugging(), main_task());
    });
    CHECK(ended.exit_code == 0);
    CHECK(ended.text.find("never awaited") == std::string::npos);
}

TEST_CASE(
    "debug: a task that its gather, race or group had and never let begin was not forgotten") {
    const ending ended = run_in_child([] {
        auto main_task = []() -> task<> {
            auto fails = []() -> task<> {
                throw std::runtime_error("at once");
                co_return;
            };
            std::vector<task<>> several;
            several.push_back(fails());
            several.push_back(debugged::never_awaited(1));
            CHECK_THROWS_AS(co_await gather(fails(), debugged::never_awaited(2)),
                            std::runtime_error);
            CHECK_THROWS_AS(co_await gather(std::move(several)), std::runtime_error);
            const auto won = co_await race(debugged::never_awaited(3), lariat::sleep(1h));
            CHECK(won.index == 0);
            cancel_scope over;
            auto body = [](task_group&) -> task<> { co_return; };
            auto group = [&]() -> task<> { co_await over.run(with_group(body)); };
            auto starts = spawn(group());
            co_await yield_now();
            over.cancel();
            co_await starts;
        };
        lariat::run(debugging(), main_task());
    });
    CHECK(ended.exit_code == 0);
    CHECK(ended.text.find("never awaited") == std::string::npos);
}

TEST_CASE("debug: LARIAT_DEBUG=1 asks for it too") {
    const ending ended = run_in_child([] {
        ::setenv("LARIAT_DEBUG", "1", 1);
        auto main_task = []() -> task<> {
            auto forgotten = debugged::never_awaited(1);
            co_await yield_now();
        };
        lariat::run(main_task());
    });
    CHECK(has(ended.text, "never awaited"));
}

TEST_CASE("debug: an object used from another thread stops the program") {
    const bool stopped = stops_with("used from another thread than the one its loop runs on", [] {
        auto main_task = []() -> task<> {
            parking place;
            auto waiting = spawn(debugged::left_behind(place));
            co_await yield_now();
            std::jthread([&] { place.wake_one(); }).join();
            co_await waiting;
        };
        lariat::run(debugging(), main_task());
    });
    CHECK(stopped);
}

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12
TEST_CASE("debug: a task that GCC 12 miscompiled never hangs: its cause is said, or it traps") {
    const ending ended = run_in_child([] {
        debugged::ask queue;
        lariat::run(debugged::without_a_local(queue));
    });
    // From -O2 on GCC may have taken the path for unreachable and put a trap in its place.
    if (ended.signal == SIGILL) return;
    CHECK(ended.signal == SIGABRT);
    CHECK(has(ended.text, "returned control without waiting for anything"));
    CHECK(has(ended.text, "debugged::without_a_local("));
    CHECK(has(ended.text, "GCC 12 miscompiles"));
}
#else
TEST_CASE("debug: a task without a local variable may await in a condition, but on GCC 12") {
    const ending ended = run_in_child([] {
        debugged::ask queue;
        auto without_a_local = [](debugged::ask& from) -> task<> {
            while (co_await from.once()) ++from.seen;
        };
        lariat::run(without_a_local(queue));
    });
    CHECK(ended.exit_code == 0);
}
#endif

TEST_CASE("debug: cancelling a task from another thread stops with the rule") {
    CHECK(stops_with("an object was used from another thread", [] {
        run_options options;
        options.debug = true;
        auto body = []() -> task<> {
            auto sleeper = spawn(detail::to_task(sleep(1h)));
            co_await yield_now();
            std::thread stranger([&] { sleeper.cancel(); });
            stranger.join();
        };
        lariat::run(options, body());
    }));
}

TEST_CASE("debug: the longest time that can be said is no limit") {
    const ending how = run_in_child([] {
        run_options options;
        options.debug = true;
        options.slow_after = std::chrono::milliseconds::max();
        lariat::run(options, debugged::yields_twice());
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text.find("held the thread") == std::string::npos);
}

}  // namespace

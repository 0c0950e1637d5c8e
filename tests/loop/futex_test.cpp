#include <lariat/loop/futex.hpp>

#include "death.hpp"
#include "futex_support.hpp"
#include "leak_check.hpp"
#include "test_loop.hpp"

#include "driver/fault.hpp"
#include "loop/futex_helper.hpp"
#include "loop/loop_state.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdint>
#include <optional>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace futex_test;
using lariat::detail::fault;
using lariat::detail::fault_plan;

#define ON_ALL_PATHS(sentence, body) ON_ALL_PATHS_AS(sentence, body)
#define ON_ALL_PATHS_AS(sentence, body)                                           \
    static void body(const run_options& options, path way);                       \
    TEST_CASE_FIXTURE(leak_check, "futex: " sentence) {                           \
        for (const path way : {path::driver, path::helper, path::lone_threads}) { \
            CAPTURE(static_cast<int>(way));                                       \
            const on_path here(way);                                              \
            body(here.options(), way);                                            \
        }                                                                         \
    }                                                                             \
    static void body([[maybe_unused]] const run_options& options, [[maybe_unused]] path way)

ON_ALL_PATHS("a task waits until a thread wakes it, and other tasks run meanwhile", woken) {
    shared_words words;
    tally notes;
    int ticks = 0;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await token_wait(words[0], &notes); });
        co_await until_waiting(1);
        for (; ticks < 5; ++ticks) co_await sleep(100us);
        const std::jthread waker([&] { give_token(words[0]); });
        co_await std::move(waits);
    };
    run(options, body());
    CHECK(ticks == 5);
    CHECK(notes.attempts == 2);
    CHECK(notes.passed_on == 0);
    CHECK(words[0] == 0);
}

ON_ALL_PATHS("a task waits until another process wakes it", woken_by_process) {
    shared_words words;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await token_wait(words[5]); });
        co_await until_waiting(1);
        const auto child = lariat::test::run_in_child([&] { give_token(words[5]); });
        CHECK(child.exit_code == 0);
        co_await std::move(waits);
    };
    run(options, body());
    CHECK(words[5] == 0);
}

ON_ALL_PATHS("an attempt that succeeds at once asks nobody for anything", uncontended) {
    shared_words words;
    words[0] = 1000;
    auto body = [&]() -> task<> {
        co_await yield_now();
        const auto before = loop::current().stats().driver;
        for (int i = 0; i < 1000; ++i) co_await token_wait(words[0]);
        CHECK(loop::current().stats().driver.submitted == before.submitted);
        CHECK(futex_helper::shared().stats().waits == 0);
    };
    run(options, body());
    CHECK(words[0] == 0);
}

ON_ALL_PATHS("woken in vain, it tries again and waits on, and its task does not run", in_vain) {
    shared_words words;
    tally notes;
    bool passed = false;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> {
            co_await token_wait(words[0], &notes);
            passed = true;
        });
        for (int i = 1; i <= 3; ++i) {
            co_await until_waiting(1);
            // The token is taken back before the task can have it.
            words[0] = 1;
            words[0] = 0;
            co_await until([&] {
                futex_wake(words[0], 1);
                return notes.attempts > i;
            });
            CHECK_FALSE(passed);
        }
        co_await until_waiting(1);
        give_token(words[0]);
        co_await std::move(waits);
    };
    run(options, body());
    CHECK(passed);
    CHECK(notes.attempts >= 5);
}

ON_ALL_PATHS("one that comes to wait beside others is not woken by its coming", beside_others) {
    constexpr std::size_t all = 20;
    shared_words words;
    std::array<tally, all> notes;
    std::size_t ended = 0;
    auto wait_for = [&](std::size_t which) -> task<> {
        co_await token_wait(words[which], &notes[which]);
        ++ended;
    };
    auto body = [&]() -> task<> {
        for (std::size_t i = 0; i < all; ++i) {
            spawn(wait_for, i);
            co_await until_waiting(i + 1);
            co_await sleep(1ms);  // the helper lies down with it before the next one comes
        }
        for (const tally& each : notes) CHECK(each.attempts == 1);
        for (std::size_t i = 0; i < all; ++i) give_token(words[i]);
        co_await until([&] { return ended == all; });
    };
    run(options, body());
    for (const tally& each : notes) CHECK(each.attempts == 2);
}

ON_ALL_PATHS("many words are waited for at once, each woken by its own", many) {
    shared_words words;
    const std::size_t all = way == path::lone_threads ? 50 : 1000;
    std::size_t ended = 0;
    auto wait_for = [&](std::size_t which) -> task<> {
        co_await token_wait(words[which]);
        ++ended;
    };
    auto body = [&]() -> task<> {
        for (std::size_t i = 0; i < all; ++i) spawn(wait_for, i);
        co_await until_waiting(all);
        if (futex_helper::shared().stats().waits == all)
            CHECK(futex_helper::shared().stats().threads >= all / 127);
        for (std::size_t i = 0; i < all; i += 2) give_token(words[i]);
        co_await until([&] { return ended == all / 2; });
        for (std::size_t i = 0; i < all; ++i) CHECK(words[i] == 0);
        for (std::size_t i = 1; i < all; i += 2) give_token(words[i]);
        co_await until([&] { return ended == all; });
    };
    run(options, body());
    CHECK(ended == all);
}

ON_ALL_PATHS("a cancelled wait leaves nobody waiting, and takes nothing", cancelled_wait) {
    shared_words words;
    tally notes;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await token_wait(words[0], &notes); });
        co_await until_waiting(1);
        waits.cancel();
        const auto ended = co_await settled(std::move(waits));
        CHECK(ended.is_cancelled());
        CHECK(futex_wake(words[0], INT_MAX) == 0);
    };
    run(options, body());
    CHECK(notes.gave_up == 1);
    CHECK(notes.passed_on == 0);
    give_token(words[0]);
    CHECK(words[0] == 1);
}

ON_ALL_PATHS("cancelled before it could begin to wait, it has not", cancelled_early) {
    shared_words words;
    auto body = [&]() -> task<> {
        for (int turns = 0; turns < 100; ++turns) {
            auto waits = spawn([&]() -> task<> { co_await token_wait(words[0]); });
            co_await yield_now();
            for (int i = 0; i < turns % 3; ++i) co_await sleep(1us);
            waits.cancel();
            const auto ended = co_await settled(std::move(waits));
            CHECK(ended.is_cancelled());
        }
    };
    run(options, body());
}

ON_ALL_PATHS("a wait that was woken and cancelled in one leg passes the wake on", handed_on) {
    shared_words words;
    tally first_notes;
    auto body = [&]() -> task<> {
        auto first = spawn([&]() -> task<> { co_await token_wait(words[0], &first_notes); });
        co_await until_waiting(1);
        auto second = spawn([&]() -> task<> { co_await token_wait(words[0]); });
        co_await until_waiting(2);
        give_token(words[0]);  // to the first: the kernel's lines are fair
        first.cancel();
        const auto ended = co_await settled(std::move(first));
        CHECK(ended.is_cancelled());
        co_await std::move(second);
    };
    run(options, body());
    CHECK(first_notes.attempts == 1);
    CHECK(first_notes.gave_up == 1);
    CHECK(words[0] == 0);
    if (way != path::lone_threads) CHECK(first_notes.passed_on == 1);
}

ON_ALL_PATHS("a timeout ends it in time; what came first is delivered", timeouts) {
    shared_words words;
    auto body = [&]() -> task<> {
        const time_point began = clock::now();
        auto ended = co_await nothrow(timeout(20ms, token_wait(words[0])));
        CHECK(ended.error() == errc::timed_out);
        CHECK(clock::now() - began >= 20ms);
        std::jthread waker([&] { give_token(words[0]); });
        auto in_time = co_await nothrow(timeout(20s, token_wait(words[0])));
        CHECK(in_time.has_value());
    };
    run(options, body());
    CHECK(words[0] == 0);
}

ON_ALL_PATHS("of many that come, wait and go, no token is lost and none is had twice", races) {
    shared_words words;
    const int tokens = lariat::test::long_tests() ? 50'000 : 2'000;
    int taken = 0;
    bool all_given = false;
    auto patient = [&]() -> task<> {
        for (;;) {
            co_await token_wait(words[0]);
            ++taken;
        }
    };
    auto hasty = [&](unsigned seed) -> task<> {
        std::minstd_rand random(seed);
        while (!all_given) {
            const auto longest = std::chrono::microseconds(random() % 200);
            const auto got = co_await nothrow(timeout(longest, token_wait(words[0])));
            if (got.has_value()) ++taken;
            co_await yield_now();
        }
    };
    auto body = [&]() -> task<> {
        const std::jthread giver([&, home = loop_ref(loop::current())] {
            std::minstd_rand random(7);
            for (int i = 0; i < tokens; ++i) {
                give_token(words[0]);
                // Some microseconds that nobody else can make long.
                for (unsigned pause = static_cast<unsigned>(random() % 2000); pause != 0; --pause)
                    words[1].fetch_add(1);
            }
            CHECK(home.post([&] { all_given = true; }));
        });
        for (unsigned i = 0; i < 4; ++i) {
            spawn(patient);
            spawn(hasty, i + 1);
        }
        co_await until([&] { return taken == tokens; });
    };
    run(options, body());
    CHECK(taken == tokens);
    CHECK(words[0] == 0);
}

ON_ALL_PATHS("a run ends what waits, and waits for its end", run_ends) {
    shared_words words;
    tally notes;
    const std::size_t all = way == path::lone_threads ? 20 : 200;
    auto body = [&]() -> task<> {
        for (std::size_t i = 0; i < all; ++i)
            spawn([&, i]() -> task<> { co_await token_wait(words[i], &notes); });
        co_await until_waiting(all / 2);
    };
    run(options, body());
    CHECK(notes.gave_up == static_cast<int>(all));
    for (std::size_t i = 0; i < all; ++i) CHECK(futex_wake(words[i], INT_MAX) == 0);
}

ON_ALL_PATHS("two loops wait for one word, and each wake is one's", two_loops) {
    shared_words words;
    std::atomic<int> taken{0};
    auto taker = [&]() -> task<> {
        for (int i = 0; i < 200; ++i) {
            co_await token_wait(words[0]);
            ++taken;
        }
    };
    std::jthread other([&] { run(options, taker()); });
    std::jthread giver([&] {
        for (int i = 0; i < 400; ++i) give_token(words[0]);
    });
    run(options, taker());
    other.join();
    CHECK(taken == 400);
    CHECK(words[0] == 0);
}

/// A watch without a verb, and how it ended.
class plain_watch : public futex_watch {
 public:
    plain_watch() : futex_watch(&plain_watch::note) {}
    std::optional<futex_end> how;

 private:
    static void note(futex_watch& self, futex_end how) noexcept {
        static_cast<plain_watch&>(self).how = how;
    }
};

ON_ALL_PATHS("a watch tells how it ended, once, and can be used again", watch) {
    shared_words words;
    auto body = [&]() -> task<> {
        plain_watch one;
        CHECK(one.start(words[0], 1) == futex_end::changed);
        CHECK(one.idle());
        one.cancel();
        for (const bool by_wake : {true, false, true}) {
            one.how.reset();
            CHECK(one.start(words[0], words[0]) == std::nullopt);
            CHECK_FALSE(one.idle());
            co_await until_waiting(1);
            if (by_wake)
                give_token(words[0]);
            else
                one.cancel();
            if (!by_wake) one.cancel();
            co_await until([&] { return one.how.has_value(); });
            CHECK(one.how == (by_wake ? futex_end::woken : futex_end::cancelled));
            CHECK(one.idle());
        }
    };
    run(options, body());
}

ON_ALL_PATHS("a run does not end under a watch", watch_holds) {
    shared_words words;
    plain_watch one;
    std::jthread waker;
    auto body = [&]() -> task<> {
        CHECK(one.start(words[0], 0) == std::nullopt);
        co_await until_waiting(1);
        waker = std::jthread([&] { give_token(words[0]); });
    };
    run(options, body());
    CHECK(one.idle());
}

TEST_CASE_FIXTURE(leak_check, "futex: a loop asks its driver once whether it waits for futexes") {
    const on_path here(path::helper);
    shared_words words;
    auto body = [&]() -> task<> {
        for (int i = 0; i < 3; ++i) {
            const auto before = loop::current().stats().driver.submitted;
            plain_watch one;
            CHECK(one.start(words[0], 0) == std::nullopt);
            CHECK(loop::current().stats().driver.submitted == before + (i == 0 ? 1 : 0));
            one.cancel();
            while (!one.idle()) co_await yield_now();
        }
    };
    run(here.options(), body());
}

TEST_CASE_FIXTURE(leak_check, "futex: what a driver refuses late, the helper waits for") {
    for (const int error : {ENOMEM, EOPNOTSUPP}) {
        shared_words words;
        fault_plan plan;
        plan.at(op_code::futex_wait, 0, fault::fail(error));
        plan.at(op_code::futex_wait, 1, fault::fail(error));
        detail::loop_state* state = nullptr;
        loop own;
        auto begin = [&]() -> task<> {
            state = &detail::loop_state::current();
            co_return;
        };
        own.run(begin());
        state->driver_.set_faults(&plan);
        auto body = [&]() -> task<> {
            auto waits = spawn([&]() -> task<> { co_await token_wait(words[0]); });
            co_await until([] { return futex_helper::shared().stats().waits == 1; });
            give_token(words[0]);
            co_await std::move(waits);
            auto withdrawn = spawn([&]() -> task<> { co_await token_wait(words[0]); });
            co_await yield_now();
            withdrawn.cancel();
            const auto ended = co_await settled(std::move(withdrawn));
            CHECK(ended.is_cancelled());
        };
        own.run(body());
        state->driver_.set_faults(nullptr);
        CHECK(plan.struck() >= 1);
    }
}

TEST_CASE_FIXTURE(test_loop, "futex: the simulated driver leaves it to the helper") {
    shared_words words;
    sim().expect_wakes(true);
    std::jthread waker;
    run([&]() -> task<> {
        waker = std::jthread([&] { give_token(words[0]); });
        co_await token_wait(words[0]);
    });
    CHECK(words[0] == 0);
}

}  // namespace

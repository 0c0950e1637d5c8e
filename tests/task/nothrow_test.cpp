#include <lariat/task/nothrow.hpp>

#include "parking.hpp"
#include "test_loop.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::parking;
using lariat::test::test_loop;

/// Counts the exceptions that it throws, to see that nothrow() builds none.
int thrown = 0;

/// A verb of one step, as the operations on a socket are: after a while it has a value or an error.
class verb : public sleep_awaiter {
 public:
    verb(duration length, result<std::unique_ptr<int>> ending)
        : sleep_awaiter(saturating_add(this_scheduler->now(), length)),
          ending_(std::move(ending)) {}

    result<std::unique_ptr<int>> finish_nothrow() {
        throw_if_cut();
        return std::move(ending_);
    }
    std::unique_ptr<int> await_resume() {
        if (!ending_) ++thrown;
        return finish_nothrow().value("verb");
    }

 private:
    result<std::unique_ptr<int>> ending_;
};

/// One whose resumption throws when it was cut, and is seen to.
class loud_wait : public sleep_awaiter {
 public:
    explicit loud_wait(duration length)
        : sleep_awaiter(saturating_add(this_scheduler->now(), length)) {}
    void await_resume() const {
        if (was_cut()) ++thrown;
        sleep_awaiter::await_resume();
    }
};

verb succeed(int value, duration length) { return {length, std::make_unique<int>(value)}; }
verb fail(duration length) { return {length, make_error_code(errc::closed)}; }

static_assert(nothrow_verb<verb>);
static_assert(nothrow_verb<verb&>);
static_assert(!nothrow_verb<sleep_awaiter>, "a sleep alone cannot fail");
static_assert(!nothrow_verb<task<int>>, "a task has no other way to fail than to throw");
static_assert(nothrow_verb<decltype(timeout(1ms, std::declval<verb>()))>);
static_assert(nothrow_verb<decltype(timeout(1ms, std::declval<sleep_awaiter>()))>);
static_assert(!nothrow_verb<decltype(timeout(1ms, std::declval<task<int>>()))>);
static_assert(std::is_same_v<await_result<decltype(nothrow(std::declval<verb>()))>,
                             result<std::unique_ptr<int>>>);

TEST_CASE_FIXTURE(test_loop, "nothrow: a value is in the result") {
    run([]() -> task<> {
        auto got = co_await nothrow(succeed(5, 1ms));
        REQUIRE(got.has_value());
        CHECK(**got == 5);
        auto named = succeed(6, 1ms);
        auto again = co_await nothrow(named);
        CHECK(**again == 6);
    });
    CHECK(elapsed() == 2ms);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: an error is its code, and no exception is built") {
    thrown = 0;
    run([]() -> task<> {
        const auto got = co_await nothrow(fail(1ms));
        CHECK_FALSE(got.has_value());
        CHECK(got.error() == errc::closed);
        CHECK(thrown == 0);
        bool caught = false;
        try {
            co_await fail(1ms);
        } catch (const closed_error&) {
            caught = true;
        }
        CHECK(caught);
        CHECK(thrown == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "nothrow: a cancellation is still thrown") {
    run([]() -> task<> {
        bool went_on = false;
        auto waits = [&]() -> task<> {
            const auto got = co_await nothrow(succeed(1, 1h));
            went_on = got.has_value() || !got.has_value();
        };
        cancel_scope scope;
        scope.expires_after(3ms);
        const bool finished = co_await scope.run(waits());
        CHECK_FALSE(finished);
        CHECK_FALSE(went_on);
    });
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: of a timeout, time that ran out is errc::timed_out") {
    run([]() -> task<> {
        const auto late = co_await nothrow(timeout(2ms, succeed(1, 1h)));
        CHECK(late.error() == errc::timed_out);
        auto in_time = co_await nothrow(timeout(2ms, succeed(4, 1ms)));
        REQUIRE(in_time.has_value());
        CHECK(**in_time == 4);
        const auto failed = co_await nothrow(timeout(2ms, fail(1ms)));
        CHECK(failed.error() == errc::closed);
    });
    CHECK(elapsed() == 4ms);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: of a shield it is the verb's own result") {
    run([]() -> task<> {
        cancel_scope scope;
        auto body = [&]() -> task<> {
            scope.cancel();
            auto got = co_await nothrow(shield(succeed(7, 1ms)));
            CHECK(**got == 7);
        };
        const bool finished = co_await scope.run(body());
        CHECK(finished);
        const auto failed = co_await nothrow(shield(fail(1ms)));
        CHECK(failed.error() == errc::closed);
    });
    CHECK(elapsed() == 2ms);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: of a scope's run, a cut is an empty optional and no error") {
    run([]() -> task<> {
        cancel_scope in_time;
        auto got = co_await nothrow(in_time.run(succeed(8, 1ms)));
        REQUIRE(got.has_value());
        REQUIRE(got->has_value());
        CHECK(***got == 8);
        cancel_scope late;
        late.expires_after(1ms);
        const auto cut = co_await nothrow(late.run(succeed(9, 1h)));
        REQUIRE(cut.has_value());
        CHECK_FALSE(cut->has_value());
        cancel_scope broken;
        const auto failed = co_await nothrow(broken.run(fail(1ms)));
        CHECK(failed.error() == errc::closed);
    });
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "nothrow: a timeout of a wait without errors of its own gives result<>") {
    run([]() -> task<> {
        const result<> late = co_await nothrow(timeout(1ms, sleep(1h)));
        CHECK(late.error() == errc::timed_out);
        const result<> in_time = co_await nothrow(timeout(1h, sleep(1ms)));
        CHECK(in_time.has_value());
        parking place;
        const result<> parked = co_await nothrow(timeout(1ms, place.park()));
        CHECK(parked.error() == errc::timed_out);
    });
    CHECK(elapsed() == 3ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "nothrow: a deadline that has passed is timed_out, and the verb does not "
                  "begin to end") {
    run([]() -> task<> {
        const auto late = co_await nothrow(timeout(0ms, succeed(1, 1h)));
        CHECK(late.error() == errc::timed_out);
    });
    CHECK(elapsed() == 0ms);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: a cancellation from outside is no timeout") {
    run([]() -> task<> {
        bool went_on = false;
        auto waits = [&]() -> task<> {
            const auto got = co_await nothrow(timeout(2ms, succeed(1, 1h)));
            went_on = got.has_value() || !got.has_value();
        };
        cancel_scope scope;
        scope.expires_after(2ms);  // in the same turn
        const bool finished = co_await scope.run(waits());
        CHECK_FALSE(finished);
        CHECK_FALSE(went_on);
    });
}

TEST_CASE_FIXTURE(test_loop, "nothrow: works inside a timeout as well as around one") {
    run([]() -> task<> {
        const auto failed = co_await timeout(2ms, nothrow(fail(1ms)));
        CHECK(failed.error() == errc::closed);
        bool timed_out = false;
        try {
            const auto got = co_await timeout(1ms, nothrow(succeed(1, 1h)));
            CHECK_FALSE(got.has_value());
        } catch (const timeout_error&) {
            timed_out = true;
        }
        CHECK(timed_out);
        const auto inner = co_await nothrow(timeout(1h, timeout(1ms, succeed(1, 1h))));
        CHECK(inner.error() == errc::timed_out);
        const auto outer = co_await nothrow(timeout(1ms, timeout(1h, succeed(1, 1h))));
        CHECK(outer.error() == errc::timed_out);
    });
    CHECK(elapsed() == 4ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "nothrow: a timeout of a wait of a single step throws nothing inside") {
    thrown = 0;
    run([]() -> task<> {
        const result<> late = co_await nothrow(timeout(1ms, loud_wait(1h)));
        CHECK(late.error() == errc::timed_out);
        bool timed_out = false;
        try {
            co_await timeout(1ms, loud_wait(1h));
        } catch (const timeout_error&) {
            timed_out = true;
        }
        CHECK(timed_out);
        cancel_scope scope;
        scope.expires_after(1ms);
        const bool finished = co_await scope.run(loud_wait(1h));
        CHECK_FALSE(finished);
    });
    CHECK(thrown == 0);
}

TEST_CASE_FIXTURE(test_loop, "nothrow: a result that came before the cut is delivered") {
    run([]() -> task<> {
        cancel_scope scope;
        parking place;
        bool woken = false;
        auto waits = [&]() -> task<> {
            const result<> got = co_await nothrow(timeout(1h, place.park()));
            woken = got.has_value();
        };
        auto waiting = spawn(waits());
        co_await yield_now();
        place.wake_one();
        waiting.cancel();
        auto ended = co_await settled(std::move(waiting));
        CHECK(woken);
        CHECK(ended.is_value());
    });
}

}  // namespace

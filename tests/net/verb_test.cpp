#include <lariat/net/verb.hpp>

#include "test_loop.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

static_assert(nothrow_verb<verb<int>>);
static_assert(nothrow_verb<verb<void>>);

task<result<int>> steps(int value) {
    co_await sleep(1ms);
    if (value < 0) co_return make_error_code(errc::limit);
    co_return value;
}
task<result<void>> empty_steps(bool fails) {
    co_await sleep(1ms);
    if (fails) co_return make_error_code(errc::broken);
    co_return result<void>();
}
task<result<std::unique_ptr<int>>> owned() {
    co_await yield_now();
    co_return std::make_unique<int>(5);
}

}  // namespace

TEST_CASE_FIXTURE(test_loop,
                  "verb: awaited, it gives the value or throws what belongs to the code") {
    run([]() -> task<> {
        const int got = co_await verb<int>(steps(4), "counting");
        CHECK(got == 4);
        co_await verb<void>(empty_steps(false), "doing");
        std::string text;
        try {
            (void)co_await verb<int>(steps(-1), "counting sheep");
        } catch (const limit_error& error) {
            text = error.what();
        }
        CHECK(text.rfind("counting sheep", 0) == 0);
        bool broken = false;
        try {
            co_await verb<void>(empty_steps(true), "doing");
        } catch (const broken_error&) {
            broken = true;
        }
        CHECK(broken);
    });
}

TEST_CASE_FIXTURE(test_loop, "verb: its exception may tell what a code cannot carry") {
    run([]() -> task<> {
        // What is known is a parameter of the steps: it lives as long as the verb.
        auto counts = [](std::unique_ptr<std::size_t> came) -> task<result<int>> {
            co_await sleep(1ms);
            *came = 7;
            co_return make_error_code(errc::incomplete);
        };
        const auto tell = [](std::error_code, const std::string& what, const void* known) {
            throw incomplete_read(what, *static_cast<const std::size_t*>(known));
        };
        auto came = std::make_unique<std::size_t>(0);
        const void* known = came.get();
        verb<int> counting(counts(std::move(came)), "counting", tell, known);
        verb<int> moved(std::move(counting));
        std::size_t told = 0;
        try {
            (void)co_await std::move(moved);
        } catch (const incomplete_read& error) {
            told = error.received();
        }
        CHECK(told == 7);
    });
}

TEST_CASE_FIXTURE(test_loop, "verb: through nothrow it gives a result") {
    run([]() -> task<> {
        const auto good = co_await nothrow(verb<int>(steps(4), ""));
        REQUIRE(good);
        CHECK(*good == 4);
        const auto bad = co_await nothrow(verb<int>(steps(-1), ""));
        CHECK(bad.error() == errc::limit);
        const auto nothing = co_await nothrow(verb<void>(empty_steps(true), ""));
        CHECK(nothing.error() == errc::broken);
        auto moved = co_await nothrow(verb<std::unique_ptr<int>>(owned(), ""));
        REQUIRE(moved);
        CHECK(**moved == 5);
    });
}

TEST_CASE_FIXTURE(test_loop, "verb: inside a timeout, and cancelled") {
    run([]() -> task<> {
        auto slow = verb<int>(steps(4), "");
        const auto late = co_await nothrow(timeout(100us, std::move(slow)));
        CHECK(late.error() == errc::timed_out);
        cancel_scope scope;
        scope.cancel();
        auto never = verb<int>(steps(4), "");
        const auto ended = co_await scope.run(std::move(never));
        CHECK_FALSE(ended.has_value());
    });
}

#include <lariat/task/cancel_scope.hpp>

#include "death.hpp"
#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::give_after;
using lariat::test::parking;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop,
                  "scope: work that ends by itself is told apart from work that was cut") {
    run([&]() -> task<> {
        cancel_scope enough;
        enough.expires_after(2s);
        const std::optional<int> got = co_await enough.run(give_after(1s, 5));
        CHECK(got == 5);
        CHECK_FALSE(enough.expired());
        CHECK_FALSE(enough.is_cancelled());
        cancel_scope tight;
        tight.expires_after(2s);
        const std::optional<int> none = co_await tight.run(give_after(3s, 5));
        CHECK_FALSE(none.has_value());
        CHECK(tight.expired());
    });
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "scope: cancelled by hand, from another task") {
    run([&]() -> task<> {
        cancel_scope scope;
        auto cut = [&]() -> task<> {
            co_await sleep(1s);
            scope.cancel();
        };
        spawn(cut);
        const bool finished = co_await scope.run(sleep(1h));
        CHECK_FALSE(finished);
        CHECK_FALSE(scope.expired());
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "scope: cancelled before it runs, the work does not begin") {
    bool began = false;
    run([&]() -> task<> {
        cancel_scope scope;
        scope.cancel();
        auto body = [&]() -> task<> {
            began = true;
            co_return;
        };
        const bool finished = co_await scope.run(body());
        CHECK_FALSE(finished);
        co_await sleep(1s);  // outside of it nothing is cancelled
    });
    CHECK_FALSE(began);
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "scope: a cancel from outside passes through, also when it expired too") {
    run([&]() -> task<> {
        auto body = [&]() -> task<> {
            cancel_scope inner;
            inner.expires_after(1s);
            const bool finished = co_await inner.run(sleep(1h));
            CHECK_MESSAGE(false, "a cancel from outside was swallowed: ", finished);
        };
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "scope: cut inside and outside in one turn, in either order, it passes") {
    for (const bool inner_first : {true, false}) {
        cancel_scope inner;
        bool swallowed = false;
        auto body = [&]() -> task<> {
            swallowed = co_await inner.run(sleep(1h));
            swallowed = true;
        };
        run([&]() -> task<> {
            auto handle = spawn(body);
            co_await sleep(1s);
            if (inner_first) inner.cancel();
            handle.cancel();
            if (!inner_first) inner.cancel();
            CHECK_THROWS_AS(co_await handle, task_cancelled);
        });
        CHECK_FALSE(swallowed);
    }
}

TEST_CASE_FIXTURE(test_loop, "scope: a deadline may be moved while the work runs, either way") {
    run([&]() -> task<> {
        cancel_scope scope;
        scope.expires_after(1s);
        auto extend = [&]() -> task<> {
            co_await sleep(500ms);
            scope.expires_after(9500ms);
            co_await sleep(1s);
            scope.expires_at(forever);
            co_await sleep(20s);
            scope.expires_after(1s);
        };
        spawn(extend);
        const bool finished = co_await scope.run(sleep(1h));
        CHECK_FALSE(finished);
        CHECK(elapsed() == 22500ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "scope: an exception of the work passes, and the scope is left") {
    run([&]() -> task<> {
        cancel_scope scope;
        auto fails = [&]() -> task<> {
            co_await yield_now();
            scope.cancel();
            throw std::runtime_error("broken");
        };
        CHECK_THROWS_WITH_AS(co_await scope.run(fails()), "broken", std::runtime_error);
        co_await sleep(1s);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "scope: work that completed as it was cut keeps its result") {
    parking place;
    run([&]() -> task<> {
        cancel_scope scope;
        auto body = [&]() -> task<int> {
            co_await place.park();
            co_return 3;
        };
        auto both = [&]() -> task<> {
            co_await yield_now();
            place.wake_one();
            scope.cancel();
        };
        spawn(both);
        const std::optional<int> got = co_await scope.run(body());
        CHECK(got == 3);
        CHECK(scope.is_cancelled());
    });
}

TEST_CASE_FIXTURE(test_loop, "scope: the inner one cut leaves the outer one's work alive") {
    std::string log;
    run([&]() -> task<> {
        cancel_scope outer;
        cancel_scope inner;
        auto inner_work = [&]() -> task<> {
            inner.cancel();
            co_await sleep(1h);
        };
        auto outer_work = [&]() -> task<> {
            const bool inner_finished = co_await inner.run(inner_work());
            log += inner_finished ? "inner finished" : "inner cut";
            co_await sleep(1s);
        };
        const bool outer_finished = co_await outer.run(outer_work());
        log += outer_finished ? ", outer finished" : ", outer cut";
    });
    CHECK(log == "inner cut, outer finished");
}

TEST_CASE_FIXTURE(test_loop, "scope: out of memory inside fails the await and leaves the scope") {
    run([&]() -> task<> {
        cancel_scope scope;
        auto body = []() -> task<> { co_return; };
        auto no_memory = [&]() -> task<> {
            fail_frame_after(1);
            co_await body();
        };
        CHECK_THROWS_AS(co_await scope.run(no_memory()), std::bad_alloc);
        scope.cancel();
        co_await sleep(1s);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "scope: awaits that it refuses let others run all the same") {
    run([&]() -> task<> {
        bool rang = false;
        auto bell = [&]() -> task<> {
            rang = true;
            co_return;
        };
        auto ringing = spawn(bell());
        const time_point past = now() - 1s;
        int refused = 0;
        for (; !rang && refused < 10'000; ++refused) {
            const result<> late = co_await nothrow(timeout_at(past, sleep(1s)));
            CHECK(late.error() == errc::timed_out);
        }
        CHECK(rang);
        co_await ringing;
    });
}

/// An await that cannot begin.
struct refusing : awaiter_base {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise>) {
        throw std::bad_alloc();
    }
    void await_resume() const {}
};

TEST_CASE_FIXTURE(test_loop,
                  "scope: an await that cannot begin leaves the scope, and may be repeated") {
    run([]() -> task<> {
        cancel_scope scope;
        scope.expires_after(1s);
        CHECK_THROWS_AS(co_await scope.run(refusing()), std::bad_alloc);
        CHECK_THROWS_AS(co_await timeout(1s, refusing()), std::bad_alloc);
        CHECK_THROWS_AS(co_await shield(refusing()), std::bad_alloc);
        const bool finished = co_await scope.run(sleep(1ms));
        CHECK(finished);
        scope.cancel();
        co_await sleep(2s);  // it is not inside any of them
    });
    CHECK(elapsed() == 2s + 1ms);
}

TEST_CASE("scope: entered by two at a time it stops with the rule") {
    CHECK(stops_with("a cancel scope is entered once at a time", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            cancel_scope scope;
            auto body = [&]() -> task<> {
                const bool finished = co_await scope.run(sleep(1s));
                CHECK(finished);
            };
            co_await gather(body(), body());
        });
    }));
}

}  // namespace

#include <lariat/task/join_handle.hpp>

#include "death.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
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
using lariat::test::give_after;
using lariat::test::stops_with;
using lariat::test::test_loop;

static_assert(!std::is_copy_constructible_v<join_handle<int>>);

task<> fail_after(duration length) {
    set_task_name("the failing one");
    co_await sleep(length);
    throw std::runtime_error("broken");
}

TEST_CASE_FIXTURE(test_loop, "join_handle: waits for the task and gives its result, once") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(2s, 5));
        CHECK_FALSE(handle.done());
        const int got = co_await handle;
        CHECK(got == 5);
        CHECK_FALSE(static_cast<bool>(handle));
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "join_handle: of a finished task is ready at once") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(1s, 5));
        co_await sleep(3s);
        CHECK(handle.done());
        const int got = co_await handle;
        CHECK(got == 5);
        CHECK(elapsed() == 3s);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "join_handle: gives the task's exception, and then it is not reported") {
    run([&]() -> task<> {
        auto early = spawn(fail_after(1s));
        CHECK_THROWS_WITH_AS(co_await early, "broken", std::runtime_error);
        auto late = spawn(fail_after(1s));
        co_await sleep(2s);
        CHECK_THROWS_WITH_AS(co_await late, "broken", std::runtime_error);
    });
    CHECK(reports.empty());
}

TEST_CASE_FIXTURE(test_loop,
                  "join_handle: of a cancelled task throws task_cancelled, not cancelled") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(1h, 1));
        co_await yield_now();
        handle.cancel();
        CHECK_THROWS_AS(co_await handle, task_cancelled);
        co_await sleep(1s);  // the awaiter itself was not cancelled
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "join_handle: who waits and is cancelled stops waiting, the task goes on") {
    run([&]() -> task<> {
        auto target = spawn(give_after(5s, 5));
        auto waits = [&]() -> task<int> { co_return co_await target; };
        auto waiting = spawn(waits);
        co_await sleep(1s);
        waiting.cancel();
        CHECK_THROWS_AS(co_await waiting, task_cancelled);
        CHECK(elapsed() == 1s);
        const int got = co_await target;
        CHECK(got == 5);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "join_handle: the task ends as its awaiter is cancelled: it is delivered") {
    int got = 0;
    run([&]() -> task<> {
        auto target = spawn(give_after(1s, 5));
        auto waits = [&]() -> task<> { got = co_await target; };
        auto waiting = spawn(waits);
        auto cancels = [&]() -> task<> {
            co_await sleep(1s);
            co_await yield_now();
            waiting.cancel();
        };
        auto canceller = spawn(cancels);
        co_await canceller;
        auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
    });
    CHECK(got == 5);
}

TEST_CASE_FIXTURE(test_loop, "join_handle: dropped before the failure, the task is on its own") {
    CHECK_THROWS_AS(run([&]() -> task<> {
                        {
                            const auto dropped = spawn(fail_after(1s));
                        }
                        co_await sleep(2s);
                    }),
                    std::runtime_error);
    CHECK(reports == std::vector<std::string>{"the failing one: broken"});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "join_handle: dropped after the failure, that is reported then") {
    CHECK_THROWS_AS(run([&]() -> task<> {
                        {
                            const auto held = spawn(fail_after(1s));
                            co_await sleep(2s);
                            CHECK(reports.empty());
                        }
                        CHECK(reports.size() == 1);
                        co_await sleep(1h);
                    }),
                    std::runtime_error);
    CHECK(reports == std::vector<std::string>{"the failing one: broken"});
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop,
                  "join_handle: kept beyond the run, it still gives what the task gave") {
    join_handle<int> kept;
    run([&]() -> task<> {
        kept = spawn(give_after(1s, 5));
        co_await sleep(2s);
    });
    const int got = run([&]() -> task<int> { co_return co_await kept; });
    CHECK(got == 5);
}

TEST_CASE("join_handle: dropped outside of its run, the failure is reported to its own loop") {
    test_loop first;
    test_loop second;
    join_handle<> kept;
    const auto fails = [&]() -> task<> {
        kept = spawn(fail_after(1s));
        co_await sleep(2s);
    };
    first.run(fails);
    SUBCASE("where no loop runs") { kept = join_handle<>(); }
    SUBCASE("where another one does") {
        second.run([&]() -> task<> {
            kept = join_handle<>();
            co_return;
        });
    }
    CHECK(first.reports.size() == 1);
    CHECK(second.reports.empty());
    bool ran = false;  // and it ends no later run
    first.run([&]() -> task<> {
        ran = true;
        co_return;
    });
    CHECK(ran);
}

TEST_CASE("join_handle: kept beyond the loop, an error in it was reported when the loop closed") {
    const lariat::test::leak_check leaks;
    std::vector<std::string> told;
    run_options options;
    options.driver.backend = backend::sim;
    options.report = [&](const failure_report& report) { told.push_back(report.task); };
    join_handle<> kept;
    {
        loop own(options);
        own.run([](join_handle<>& to) -> task<> {
            to = spawn(fail_after(1s));
            co_await sleep(2s);
        }(kept));
        CHECK(told.empty());
    }
    CHECK(told == std::vector<std::string>{"the failing one"});
    kept.cancel();
    kept = join_handle<>();
    CHECK(told.size() == 1);
}

TEST_CASE_FIXTURE(test_loop, "join_handle: a task's result is freed with the last handle") {
    auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        auto body = [&]() -> task<std::shared_ptr<int>> { co_return alive; };
        auto handle = spawn(body);
        co_await yield_now();
        CHECK(alive.use_count() == 2);
        handle = {};
        CHECK(alive.use_count() == 1);
        spawn(body);
        co_await yield_now();
        CHECK(alive.use_count() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "join_handle: gives a task a name, which the task sees too") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(1s, 1));
        CHECK(handle.name().empty());
        handle.set_name("sleeper");
        CHECK(handle.name() == "sleeper");
        const int got = co_await handle;
        CHECK(got == 1);
    });
}

task<> keep_for(duration length, [[maybe_unused]] std::shared_ptr<int> given) {
    co_await sleep(length);
}

TEST_CASE_FIXTURE(test_loop, "join_handle: what a task was given goes when it ends") {
    const auto given = std::make_shared<int>(1);
    run([&]() -> task<> {
        auto named = spawn(keep_for(1s, given));
        auto called = spawn([own = given]() -> task<> { co_await sleep(2s); });
        auto cut = spawn(keep_for(1h, given));
        auto unbegun = spawn(keep_for(1h, given));
        unbegun.cancel();
        CHECK(given.use_count() == 5);
        co_await sleep(1500ms);
        CHECK(given.use_count() == 3);
        cut.cancel();
        co_await sleep(1s);
        CHECK(given.use_count() == 1);
        CHECK(named.done());
        co_await named;
        co_await called;
        CHECK_THROWS_AS(co_await cut, task_cancelled);
        CHECK_THROWS_AS(co_await unbegun, task_cancelled);
    });
}

TEST_CASE_FIXTURE(test_loop, "join_handle: a task may be given what owns its own handle") {
    struct self_keeper {
        join_handle<> own;
    };
    std::weak_ptr<self_keeper> seen;
    run([&]() -> task<> {
        auto keeper = std::make_shared<self_keeper>();
        seen = keeper;
        self_keeper& there = *keeper;
        auto keeps = [kept = std::move(keeper)]() -> task<> { co_await sleep(1s); };
        there.own = spawn(std::move(keeps));
        co_await sleep(2s);
        CHECK(seen.expired());
    });
}

TEST_CASE("join_handle: misuse stops with the rule") {
    CHECK(stops_with("this join_handle is empty or its result was already taken", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            auto handle = spawn(give_after(0s, 1));
            const int first = co_await handle;
            const int second = co_await handle;
            CHECK(first == second);
        });
    }));
    CHECK(stops_with("this join_handle is empty or its result was already taken",
                     [] { join_handle<>().cancel(); }));
    CHECK(stops_with("a task cannot wait for itself", [] {
        test_loop loop;
        join_handle<> self;
        auto body = [&]() -> task<> { co_await self; };
        loop.run([&]() -> task<> {
            self = spawn(body);
            co_await sleep(1s);
        });
    }));
    CHECK(stops_with("one task at a time may await a join_handle", [] {
        test_loop loop;
        loop.run([&]() -> task<> {
            auto handle = spawn(give_after(1s, 1));
            auto waits = [&]() -> task<int> { co_return co_await handle; };
            spawn(waits);
            spawn(waits);
            co_await sleep(2s);
        });
    }));
}

}  // namespace

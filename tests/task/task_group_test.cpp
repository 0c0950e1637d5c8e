#include <lariat/task/task_group.hpp>

#include "death.hpp"
#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::fail_after;
using lariat::test::parking;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop,
                  "task_group: ends when all of its tasks have, and gives the body's result") {
    int ended = 0;
    auto child = [&](duration length) -> task<> {
        co_await sleep(length);
        ++ended;
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<int> {
            group.spawn(child, 2s);
            group.spawn(child, 3s);
            CHECK(group.size() == 3);
            co_return 5;
        };
        const int got = co_await with_group(body);
        CHECK(got == 5);
        CHECK(ended == 2);
    });
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop,
                  "task_group: children start in the order of spawning, none inside spawn") {
    std::vector<int> order;
    auto child = [&](int mark) -> task<> {
        order.push_back(mark);
        co_return;
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            for (int i = 1; i <= 4; ++i) group.spawn(child, i);
            CHECK(order.empty());
            co_return;
        };
        co_await with_group(body);
    });
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "task_group: the first failure cancels the rest, the body too") {
    std::string log;
    auto sleeper = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            log += "child ";
            throw;
        }
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(sleeper);
            group.spawn(fail_after<void>, 1s, "broken");
            try {
                co_await sleep(1h);
            } catch (const cancelled&) {
                log += "body";
                throw;
            }
        };
        CHECK_THROWS_WITH_AS(co_await with_group(body), "broken", std::runtime_error);
        co_await sleep(1s);  // who awaited the group was not cancelled
    });
    CHECK(log.find("child") != std::string::npos);
    CHECK(log.find("body") != std::string::npos);
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop,
                  "task_group: several failures are kept together, in the order of failing") {
    auto fails_when_cancelled = []() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            throw std::logic_error("second");
        }
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(fails_when_cancelled);
            group.spawn(fail_after<void>, 1s, "first");
            co_return;
        };
        try {
            co_await with_group(body);
            CHECK_MESSAGE(false, "the group did not fail");
        } catch (const error_group& both) {
            CHECK(both.errors().size() == 2);
            CHECK(std::string(both.what()) == "2 tasks failed: first; second");
            CHECK_THROWS_AS(std::rethrow_exception(both.errors()[0]), std::runtime_error);
            CHECK_THROWS_AS(std::rethrow_exception(both.errors()[1]), std::logic_error);
        }
    });
}

TEST_CASE_FIXTURE(test_loop, "task_group: the body's failure cancels the children and is thrown") {
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(detail::to_task(sleep(1h)));
            co_await sleep(1s);
            throw std::runtime_error("body");
        };
        CHECK_THROWS_WITH_AS(co_await with_group(body), "body", std::runtime_error);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "task_group: cancelled by its body, it returns normally") {
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(detail::to_task(sleep(1h)));
            co_await sleep(1s);
            group.cancel();
            CHECK(group.is_cancelled());
            co_await sleep(1h);
        };
        co_await with_group(body);
        co_await sleep(1s);
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "task_group: one that is cancelled and owes a value says so") {
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<int> {
            group.cancel();
            co_await sleep(1h);
            co_return 1;
        };
        CHECK_THROWS_AS(co_await with_group(body), task_cancelled);
    });
}

TEST_CASE_FIXTURE(test_loop, "task_group: a group does not swallow a cancel from outside") {
    std::string log;
    auto parent = [&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(detail::to_task(sleep(1h)));
            co_await sleep(1h);
        };
        co_await with_group(body);
        log += "swallowed";
    };
    run([&]() -> task<> {
        auto handle = spawn(parent);
        co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(log.empty());
}

TEST_CASE_FIXTURE(
    test_loop, "task_group: cancelled inside and outside in the same turn, the outer one passes") {
    for (const bool inner_first : {true, false}) {
        task_group* inner = nullptr;
        std::string log;
        auto parent = [&]() -> task<> {
            auto body = [&](task_group& group) -> task<> {
                inner = &group;
                co_await sleep(1h);
            };
            co_await with_group(body);
            log += "swallowed";
        };
        run([&]() -> task<> {
            auto handle = spawn(parent);
            co_await yield_now();
            co_await yield_now();
            if (inner_first) inner->cancel();
            handle.cancel();
            if (!inner_first) inner->cancel();
            auto ended = co_await settled(std::move(handle));
            CHECK(ended.is_cancelled());
        });
        CHECK(log.empty());
    }
}

TEST_CASE_FIXTURE(test_loop, "task_group: one child cancelled alone leaves the others at work") {
    int ended = 0;
    auto child = [&]() -> task<> {
        co_await sleep(1s);
        ++ended;
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.spawn(child);
            auto doomed = group.spawn(child);
            group.spawn(child);
            co_await yield_now();
            doomed.cancel();
            CHECK_THROWS_AS(co_await doomed, task_cancelled);
        };
        co_await with_group(body);
    });
    CHECK(ended == 2);
}

TEST_CASE_FIXTURE(test_loop, "task_group: a child may spawn into it, and it waits for those too") {
    int ran = 0;
    std::function<task<>(task_group&, int)> grow = [&](task_group& group, int left) -> task<> {
        ++ran;
        if (left > 0) {
            group.spawn(grow, std::ref(group), left - 1);
            group.spawn(grow, std::ref(group), left - 1);
        }
        co_await sleep(1ms);
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> { co_await grow(group, 5); };
        co_await with_group(body);
    });
    CHECK(ran == 63);
    CHECK(elapsed() == 1ms);
}

TEST_CASE_FIXTURE(test_loop, "task_group: a failure fails it also if somebody awaits the handle") {
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            auto handle = group.spawn(fail_after<void>, 1s, "broken");
            co_await shield(settled(std::move(handle)));
        };
        CHECK_THROWS_WITH_AS(co_await with_group(body), "broken", std::runtime_error);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "task_group: handles may outlive it, and give what its children gave") {
    run([&]() -> task<> {
        join_handle<int> kept;
        auto child = []() -> task<int> { co_return 4; };
        auto body = [&](task_group& group) -> task<> {
            kept = group.spawn(child);
            co_return;
        };
        co_await with_group(body);
        CHECK(kept.done());
        kept.cancel();
        const int got = co_await kept;
        CHECK(got == 4);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "task_group: the body is kept in the awaiting frame, not referred to") {
    auto alive = std::make_shared<int>(7);
    run([&]() -> task<> {
        auto make = [&] {
            auto body = [held = alive](task_group&) -> task<int> {
                co_await sleep(1s);
                co_return *held;
            };
            return with_group(body);
        };
        auto group = make();
        const int got = co_await std::move(group);
        CHECK(got == 7);
    });
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "task_group: groups nest, and a failure climbs one after the other") {
    run([&]() -> task<> {
        auto inner = [&](task_group& group) -> task<> {
            group.spawn(fail_after<void>, 1s, "deep");
            co_await sleep(1h);
        };
        auto outer = [&](task_group& group) -> task<> {
            group.spawn(detail::to_task(sleep(1h)));
            co_await with_group(inner);
        };
        CHECK_THROWS_WITH_AS(co_await with_group(outer), "deep", std::runtime_error);
    });
    CHECK(elapsed() == 1s);
}

/// A body that is no coroutine itself, and fails before it has given a task.
struct failing_body {
    int children = 0;
    task<> operator()(task_group& group) const {
        for (int i = 0; i < children; ++i) group.spawn(detail::to_task(sleep(1h)));
        throw std::runtime_error("no body");
    }
};

TEST_CASE_FIXTURE(test_loop, "task_group: a body that fails before it is a task fails the await") {
    run([]() -> task<> {
        failing_body alone;
        CHECK_THROWS_WITH_AS(co_await with_group(alone), "no body", std::runtime_error);
        CHECK_THROWS_WITH_AS(co_await timeout(1s, with_group(alone)), "no body",
                             std::runtime_error);
        failing_body with_children;
        with_children.children = 2;
        CHECK_THROWS_WITH_AS(co_await with_group(with_children), "no body", std::runtime_error);
        CHECK_THROWS_WITH_AS(co_await timeout(1s, with_group(with_children)), "no body",
                             std::runtime_error);
        co_await sleep(1ms);  // no scope is left entered
    });
    CHECK(elapsed() == 1ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "task_group: no memory for the body, inside a timeout, fails the await") {
    run([]() -> task<> {
        auto body = [](task_group&) -> task<> { co_return; };
        auto waiting = timeout(1s, with_group(body));
        fail_frame_after(1);
        CHECK_THROWS_AS(co_await std::move(waiting), std::bad_alloc);
        fail_frame_after(0);
    });
}

TEST_CASE("task_group: spawning into one whose tasks have all ended stops with the rule") {
    CHECK(stops_with("a task group takes no more tasks once all it had have ended", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            task_group* gone = nullptr;
            auto late = [&]() -> task<> {
                gone->spawn(detail::to_task(sleep(1s)));
                co_return;
            };
            auto body = [&](task_group& group) -> task<> {
                gone = &group;
                spawn(late);  // it runs when the body has ended, and before its owner goes on
                co_return;
            };
            co_await with_group(body);
        });
    }));
}

}  // namespace

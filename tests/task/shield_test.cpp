#include <lariat/task/timeout.hpp>

#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "shield: a cancel waits until the shielded work is done") {
    std::string log;
    auto work = [&]() -> task<int> {
        co_await sleep(5s);
        co_return 7;
    };
    auto body = [&]() -> task<> {
        const int got = co_await shield(work());
        CHECK(got == 7);
        log += "done";
        co_await yield_now();
        log += ", not cancelled";
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "done");
    CHECK(elapsed() == 5s);
}

TEST_CASE_FIXTURE(test_loop, "shield: works inside a scope that is cancelled already") {
    auto body = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            co_return;
        }
    };
    auto with_clean_up = [&]() -> task<> {
        co_await body();  // it returns, as it caught the cancel
        co_await shield(sleep(3s));
        co_await gather(sleep(1h), sleep(1h));
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(1s, with_clean_up);
        CHECK(ended.is_cancelled());
    });
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop, "shield: inside a shield is no different, and each is left in turn") {
    auto innermost = []() -> task<> { co_await shield(sleep(1s)); };
    auto inner = [&]() -> task<> {
        co_await shield(innermost());
        co_await sleep(1s);  // still shielded by the outer one
    };
    bool after = false;
    auto body = [&]() -> task<> {
        co_await shield(inner());
        co_await yield_now();
        after = true;
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(500ms, body);
        CHECK(ended.is_cancelled());
    });
    CHECK_FALSE(after);
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "shield: a timeout inside it still cuts") {
    auto body = []() -> task<> {
        CHECK_THROWS_AS(co_await shield(timeout(2s, sleep(1h))), timeout_error);
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_value());
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop,
                  "shield: holds off a timeout around it, which then lets the result pass") {
    run([&]() -> task<> {
        auto work = []() -> task<int> {
            co_await shield(sleep(5s));
            co_return 3;
        };
        const int got = co_await timeout(1s, work());
        CHECK(got == 3);
    });
    CHECK(elapsed() == 5s);
}

TEST_CASE_FIXTURE(test_loop, "shield: covers a whole group, its children and theirs") {
    int ended = 0;
    auto child = [&]() -> task<> {
        co_await sleep(2s);
        ++ended;
    };
    auto group_body = [&](task_group& group) -> task<> {
        group.spawn(child);
        co_await gather(child(), child());
    };
    auto body = [&]() -> task<> { co_await shield(with_group(group_body)); };
    run([&]() -> task<> {
        auto outcome = co_await cut_after(1s, body);
        CHECK(outcome.is_value());
    });
    CHECK(ended == 3);
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "shield: a child outside of it is cut while a sister inside goes on") {
    std::string log;
    auto open = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            log += "open cut, ";
            throw;
        }
    };
    auto covered = [&]() -> task<> {
        co_await shield(sleep(2s));
        log += "covered done";
    };
    run([&]() -> task<> {
        auto both = [&]() -> task<> { co_await gather(open(), covered()); };
        auto ended = co_await cut_after(1s, both);
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "open cut, covered done");
}

TEST_CASE_FIXTURE(test_loop,
                  "shield: an exception inside passes, the scope is left, the cancel waits") {
    std::string log;
    auto fails = []() -> task<> {
        co_await sleep(2s);
        throw std::runtime_error("broken");
    };
    auto body = [&]() -> task<> {
        try {
            co_await shield(fails());
        } catch (const std::runtime_error&) {
            log += "caught";
        }
        co_await yield_now();
        log += ", not cancelled";
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "caught");
}

}  // namespace

#include <lariat/task/local.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/trace.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "task_local: unset it is null, set it is the task's own") {
    task_local<int> number;
    CHECK(number.get() == nullptr);
    run([&]() -> task<> {
        CHECK(number.get() == nullptr);
        CHECK(number.value_or(9) == 9);
        number.set(1);
        CHECK(*number.get() == 1);
        number.set(2);
        CHECK(*number.get() == 2);
        co_await yield_now();
        CHECK(number.value_or(9) == 2);
    });
    CHECK(number.get() == nullptr);
}

TEST_CASE_FIXTURE(test_loop,
                  "task_local: children begin with their parent's, and change only theirs") {
    task_local<std::string> user;
    auto grandchild = [&]() -> task<> {
        CHECK(*user.get() == "child's");
        user.set("grandchild's");
        co_return;
    };
    auto child = [&]() -> task<> {
        CHECK(*user.get() == "parent's");
        user.set("child's");
        co_await gather(grandchild());
        CHECK(*user.get() == "child's");
    };
    run([&]() -> task<> {
        user.set("parent's");
        auto handle = spawn(child);
        user.set("parent's later");  // after the start of the child: not the child's business
        co_await handle;
        CHECK(*user.get() == "parent's later");
        auto body = [&](task_group&) -> task<> {
            CHECK(*user.get() == "parent's later");
            co_return;
        };
        co_await with_group(body);
    });
}

TEST_CASE_FIXTURE(test_loop, "task_local: an awaited task is the same task") {
    task_local<int> number;
    auto awaited = [&]() -> task<> {
        number.set(5);
        co_return;
    };
    run([&]() -> task<> {
        co_await awaited();
        CHECK(number.value_or(0) == 5);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "task_local: several do not mix, and values live as long as who sees them") {
    task_local<int> number;
    task_local<std::shared_ptr<int>> owner;
    const auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        auto child = [&]() -> task<> {
            co_await sleep(2s);
            CHECK(number.value_or(0) == 3);
            CHECK(owner.get()->get() == alive.get());
        };
        auto parent = [&]() -> task<> {
            number.set(3);
            owner.set(alive);
            spawn(child);
            co_await sleep(1s);
        };
        auto handle = spawn(parent);
        co_await handle;
        CHECK(alive.use_count() == 2);
        co_await sleep(2s);
        CHECK(alive.use_count() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "task_local: a chain of a hundred thousand values unwinds in constant stack") {
    task_local<int> number;
    run([&]() -> task<> {
        for (int i = 0; i < 100'000; ++i) number.set(i);
        CHECK(number.value_or(0) == 99'999);
        co_return;
    });
}

// Who joins a task keeps its values meanwhile (party_joiner).
TEST_CASE_FIXTURE(test_loop, "task_local: a task that is joined has its values before and after") {
    task_local<int> number;
    run([&]() -> task<> {
        auto grandchild = [&]() -> task<int> { co_return number.value_or(0); };
        auto child = [&]() -> task<int> {
            number.set(1);
            co_await sleep(2s);  // joined from here on
            CHECK(number.value_or(0) == 1);
            const int seen = co_await spawn(grandchild);
            CHECK(seen == 1);
            number.set(2);
            co_await sleep(2s);  // nobody joins any more
            CHECK(number.value_or(0) == 2);
            co_return number.value_or(0);
        };
        auto handle = spawn(child);
        co_await sleep(1s);
        cancel_scope patience;
        patience.expires_after(2s);
        const auto joined = co_await patience.run(handle);
        CHECK_FALSE(joined.has_value());
        CHECK_FALSE(handle.done());
        co_await sleep(500ms);
        const int last = co_await handle;
        CHECK(last == 2);
    });
}

TEST_CASE_FIXTURE(test_loop, "task_local: a task with none of its own, joined, hands none on") {
    task_local<int> number;
    run([&]() -> task<> {
        auto child = [&]() -> task<bool> {
            co_await sleep(1s);
            auto grandchild = [&]() -> task<bool> { co_return number.get() == nullptr; };
            co_return co_await spawn(grandchild);
        };
        auto handle = spawn(child);
        const bool none = co_await handle;
        CHECK(none);
    });
}

// A party's scopes, its joiner and its values share a place: every order of their coming and going.
TEST_CASE_FIXTURE(test_loop,
                  "task_local: values and names outlast scopes and joins, in any order") {
    run([&]() -> task<> {
        task_local<int> depth;
        auto within = [&]() -> task<> {
            CHECK(*depth.get() == 2);
            depth.set(3);
            co_await sleep(2s);  // until 2 s: joined at 1 s, and named
            CHECK(*depth.get() == 3);
        };
        auto third = [&]() -> task<> {
            auto limited = timeout(1h, within());
            co_await std::move(limited);
            CHECK(*depth.get() == 3);
        };
        auto second = [&]() -> task<> {
            CHECK(*depth.get() == 1);
            depth.set(2);
            auto limited = timeout(1h, third());
            co_await std::move(limited);
            CHECK(*depth.get() == 3);
            co_await sleep(2s);  // until 4 s: that join is cut at 3 s
            depth.set(4);
        };
        auto first = [&]() -> task<> {
            depth.set(1);
            auto limited = timeout(1h, second());
            co_await std::move(limited);
            CHECK(*depth.get() == 4);
            auto again = timeout(1h, sleep(2s));  // until 6 s: joined again at 5 s
            co_await std::move(again);
            CHECK(*depth.get() == 4);
        };
        auto target = spawn(first);
        auto joins = [&]() -> task<> { co_await target; };
        co_await sleep(1s);
        auto joiner = spawn(joins);
        co_await yield_now();
        target.set_name("worker");
        co_await sleep(2s);
        CHECK(target.name() == "worker");
        joiner.cancel();
        co_await sleep(2s);
        CHECK(joiner.done());
        CHECK(target.name() == "worker");
        joiner = spawn(joins);
        co_await yield_now();
        target.set_name("renamed");
        CHECK(dump_tasks().find("renamed waits for a sleep to end") != std::string::npos);
        co_await joiner;
        CHECK(dump_tasks().find("renamed") == std::string::npos);
    });
}

TEST_CASE_FIXTURE(test_loop, "task_local: setting again and again keeps the last value alone") {
    task_local<std::shared_ptr<int>> held;
    task_local<int> other;
    const auto value = std::make_shared<int>(1);
    run([&]() -> task<> {
        for (int i = 0; i < 1000; ++i) {
            held.set(value);
            other.set(i);
        }
        CHECK(value.use_count() == 2);
        CHECK(*other.get() == 999);
        auto child = [&]() -> task<> {
            CHECK(*held.get() == value);
            held.set(value);
            held.set(value);
            CHECK(value.use_count() == 3);
            held.set(nullptr);
            CHECK(value.use_count() == 2);  // the parent's is the parent's
            co_await sleep(1ms);
        };
        auto running = spawn(child());
        co_await running;
        CHECK(*held.get() == value);
    });
    CHECK(value.use_count() == 1);
}

TEST_CASE("task_local: setting one outside of a task stops with the rule") {
    CHECK(stops_with("only a running task has values and a name of its own", [] {
        test_loop loop;
        task_local<int> number;
        loop.run([&]() -> task<> {
            loop.loop().call_soon([&] { number.set(1); });
            co_await sleep(1s);
        });
    }));
}

TEST_CASE_FIXTURE(test_loop, "names: a task's name is its own, not its children's") {
    run([&]() -> task<> {
        set_task_name("parent");
        auto child = [&]() -> task<> {
            const std::string tree = dump_tasks();
            CHECK(tree.find("parent waits for") != std::string::npos);
            CHECK(tree.find("parent is running") == std::string::npos);
            set_task_name("child");
            CHECK(dump_tasks().find("child is running") != std::string::npos);
            co_return;
        };
        co_await gather(child());
        CHECK(dump_tasks().find("parent is running") != std::string::npos);
        set_task_name("renamed");
        CHECK(dump_tasks().find("parent") == std::string::npos);
    });
}

TEST_CASE_FIXTURE(test_loop, "names: given to a task that is joined, and kept once it is not") {
    run([&]() -> task<> {
        auto target = spawn([]() -> task<> { co_await sleep(1h); });
        auto joins = [&]() -> task<> { co_await target; };
        auto joiner = spawn(joins);
        co_await yield_now();
        target.set_name("worker");
        CHECK(target.name() == "worker");
        CHECK(dump_tasks().find("worker waits for a sleep to end") != std::string::npos);
        joiner.cancel();
        co_await yield_now();
        CHECK(joiner.done());
        CHECK(target.name() == "worker");
        target.set_name("renamed");
        CHECK(target.name() == "renamed");
        target.cancel();
    });
}

task<> nap() { co_await sleep(1h); }

TEST_CASE_FIXTURE(test_loop, "names: the tree of tasks says who waits for what, and where") {
    run([&]() -> task<> {
        set_task_name("main");
        auto body = [&](task_group& group) -> task<> {
            group.spawn(nap).set_name("sleeper");
            group.spawn(nap);
            co_await sleep(1s);
            const std::string tree = dump_tasks();
            CHECK(tree.find("main waits for its children to end\n") != std::string::npos);
            CHECK(tree.find("\n    sleeper waits for a sleep to end\n") != std::string::npos);
            CHECK(tree.find("nap()") != std::string::npos);
            CHECK(tree.find("local_test.cpp:") != std::string::npos);
            group.cancel();
            CHECK(dump_tasks().find("sleeper is ready (cancelled)") != std::string::npos);
        };
        co_await with_group(body);
    });
}

}  // namespace

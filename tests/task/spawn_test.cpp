#include <lariat/task/spawn.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<std::string> repeat(const std::string& text, int times) {
    co_await sleep(1s);
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    co_return all;
}

task<> append(std::string& to, std::string text) {
    co_await sleep(1s);
    to += text;
}

struct counter {
    task<int> next(int step) {
        co_await yield_now();
        value += step;
        co_return value;
    }
    int value = 0;
};

TEST_CASE_FIXTURE(test_loop, "spawn: does not run inside the call") {
    bool ran = false;
    auto body = [&]() -> task<> {
        ran = true;
        co_return;
    };
    run([&]() -> task<> {
        auto handle = spawn(body);
        CHECK_FALSE(ran);
        co_await handle;
        CHECK(ran);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "spawn: moves the function and its arguments into the task's own frame") {
    run([&]() -> task<> {
        join_handle<std::string> handle;
        {
            std::string text = "ab";
            handle = spawn(repeat, text, 2);
            text = "changed";
        }
        const std::string got = co_await handle;
        CHECK(got == "abab");
        auto lambda_handle = [] {
            auto captured = std::make_unique<int>(5);
            auto body = [held = std::move(captured)](std::unique_ptr<int> more) -> task<int> {
                co_await sleep(1s);
                co_return *held + *more;
            };
            return spawn(std::move(body), std::make_unique<int>(6));
        }();
        const int sum = co_await lambda_handle;
        CHECK(sum == 11);
    });
}

task<> read_view(std::string_view text, std::string& heard) {
    co_await sleep(1ms);
    heard += text;
}

TEST_CASE_FIXTURE(test_loop, "spawn: an argument lives as long as the task, also behind a view") {
    const std::string text = "a text that is too long to lie inside of a std::string";
    std::string heard;
    run([&]() -> task<> {
        auto direct = spawn(read_view, std::string(text), std::ref(heard));
        auto body = [&](task_group& group) -> task<> {
            group.spawn(read_view, std::string(text), std::ref(heard));
            co_return;
        };
        co_await with_group(body);
        co_await direct;
    });
    CHECK(heard == text + text);
}

TEST_CASE_FIXTURE(test_loop, "spawn: what is to be referred to says so with std::ref") {
    static_assert(!std::is_invocable_v<decltype(append)&, std::string, std::string>);
    std::string log;
    counter count;
    run([&]() -> task<> {
        auto handle = spawn(append, std::ref(log), "text");
        co_await handle;
        auto member = spawn(&counter::next, std::ref(count), 3);
        const int got = co_await member;
        CHECK(got == 3);
    });
    CHECK(log == "text");
    CHECK(count.value == 3);
}

TEST_CASE_FIXTURE(test_loop,
                  "spawn: what is left when the main task ends is cancelled and awaited") {
    std::vector<std::string> log;
    auto clean_up = [&]() -> task<> {
        co_await sleep(2s);
        log.emplace_back("cleaned up");
    };
    auto lasting = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            log.emplace_back("cut");
        }
        co_await shield(clean_up());
    };
    run([&]() -> task<> {
        spawn(lasting);
        co_await sleep(1s);
        log.emplace_back("main ends");
    });
    CHECK(log == std::vector<std::string>{"main ends", "cut", "cleaned up"});
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "spawn: a dropped handle leaves the task to its owner") {
    bool ended = false;
    auto body = [&]() -> task<> {
        co_await sleep(1s);
        ended = true;
    };
    run([&]() -> task<> {
        {
            const auto dropped = spawn(body);
        }
        co_await sleep(2s);
        CHECK(ended);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "spawn: a failure with nobody to catch it ends the run, and is reported") {
    auto fails = []() -> task<> {
        set_task_name("the failing one");
        co_await sleep(1s);
        throw std::runtime_error("broken");
    };
    bool cut = false;
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             spawn(fails);
                             try {
                                 co_await sleep(1h);
                             } catch (const cancelled&) {
                                 cut = true;
                                 throw;
                             }
                         }),
                         "broken", std::runtime_error);
    CHECK(cut);
    CHECK(reports == std::vector<std::string>{"the failing one: broken"});
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "spawn: every failure that nobody catches is reported, the first is thrown") {
    auto fails = [](const char* text) -> task<> {
        set_task_name("a task");
        try {
            co_await sleep(1s);
        } catch (const cancelled&) {
        }
        throw std::runtime_error(text);
    };
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             spawn(fails, "first");
                             spawn(fails, "second");
                             co_await sleep(1h);
                         }),
                         "first", std::runtime_error);
    CHECK(reports == std::vector<std::string>{"a task: first", "a task: second"});
}

TEST_CASE_FIXTURE(test_loop, "spawn: a failure while the run drains what is left is reported too") {
    auto fails = []() -> task<> {
        set_task_name("late");
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            throw std::runtime_error("while unwinding");
        }
    };
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             spawn(fails);
                             co_await yield_now();
                         }),
                         "while unwinding", std::runtime_error);
    CHECK(reports == std::vector<std::string>{"late: while unwinding"});
}

TEST_CASE_FIXTURE(test_loop,
                  "spawn: when the main task fails too, its failure is not lost either") {
    auto fails = []() -> task<> {
        set_task_name("spawned");
        co_await sleep(1s);
        throw std::runtime_error("first");
    };
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             set_task_name("main");
                             spawn(fails);
                             try {
                                 co_await sleep(1h);
                             } catch (const cancelled&) {
                                 throw std::runtime_error("second");
                             }
                         }),
                         "first", std::runtime_error);
    CHECK(reports == std::vector<std::string>{"spawned: first", "main: second"});
    run([]() -> task<> { co_return; });  // nothing of it is left for the next run
}

TEST_CASE_FIXTURE(test_loop, "spawn: a million tasks that yield once, all joined by the run") {
    int ended = 0;
    auto body = [](int& count) -> task<> {
        co_await yield_now();
        ++count;
    };
    run([&]() -> task<> {
        for (int i = 0; i < 1'000'000; ++i) spawn(body(ended));
        co_await sleep(1ms);
    });
    CHECK(ended == 1'000'000);
}

TEST_CASE("spawn: outside of a running loop it stops with the right way to do it") {
    CHECK(stops_with("lariat::spawn needs a running loop on this thread.\n  wrong:", [] {
        auto body = []() -> task<> { co_return; };
        spawn(body);
    }));
}

}  // namespace

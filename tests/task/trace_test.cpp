#include <lariat/task/trace.hpp>

#include "parking.hpp"
#include "test_loop.hpp"

#include <lariat/task/local.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <source_location>
#include <string>
#include <string_view>

// Outside of the unnamed namespace: the compilers write that one differently.
namespace traced {

using namespace std::chrono_literals;

constexpr unsigned leaf_line = __LINE__ + 3;
lariat::task<int> leaf(std::string text) {
    [[maybe_unused]] const int has_a_local = 0;
    co_await lariat::sleep(1ms);
    co_return static_cast<int>(text.size());
}

struct worker {
    lariat::task<int> work(int times) const {
        int sum = 0;
        for (int i = 0; i < times; ++i) sum += co_await leaf("four");
        co_return sum;
    }
};

template <class T>
lariat::task<T> through(T value, const worker& by) {
    const int got = co_await by.work(1);
    co_return value + got;
}

}  // namespace traced

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::parking;
using lariat::test::test_loop;

[[nodiscard]] bool has(std::string_view text, std::string_view part) {
    if (text.find(part) != std::string_view::npos) return true;
    MESSAGE("\"", std::string(part), "\" is not in:\n", std::string(text));
    return false;
}

[[nodiscard]] std::string line_of(const std::string& text, int number) {
    std::size_t at = 0;
    for (; number > 0; --number) at = text.find('\n', at) + 1;
    return text.substr(at, text.find('\n', at) - at);
}

TEST_CASE_FIXTURE(test_loop, "trace: names every frame from the innermost, with file and line") {
    run([]() -> task<> {
        const traced::worker by;
        auto traced_task = spawn(traced::through(1, by));
        co_await yield_now();
        const std::string trace = trace_of(traced_task.who());
        const std::string place = "trace_test.cpp:" + std::to_string(traced::leaf_line) + " in ";
        CHECK(has(line_of(trace, 0), "  #0 "));
        CHECK(has(line_of(trace, 0), place));
        CHECK(has(line_of(trace, 0), "traced::leaf(std::string)"));
        CHECK(has(line_of(trace, 1), "  #1 "));
        CHECK(has(line_of(trace, 1), "traced::worker::work(int) const"));
        CHECK(has(line_of(trace, 2), "traced::through"));
        CHECK(has(describe_place(traced_task.who()), place));
        co_await traced_task;
    });
}

TEST_CASE_FIXTURE(test_loop, "trace: no compiler's own words for a coroutine's body are shown") {
    run([]() -> task<> {
        const traced::worker by;
        auto lambda = [](int) -> task<> { co_await sleep(1ms); };
        auto plain = spawn(traced::through(1, by));
        auto of_lambda = spawn(lambda(1));
        co_await yield_now();
        const std::string dump = dump_tasks();
        CHECK(dump.find("Frame*") == std::string::npos);
        CHECK(dump.find("_Z") == std::string::npos);
        CHECK(has(trace_of(of_lambda.who()), "trace_test.cpp:"));
        co_await plain;
        co_await of_lambda;
    });
}

TEST_CASE_FIXTURE(test_loop, "trace: a task goes by its name, else by the function it began in") {
    run([]() -> task<> {
        const traced::worker by;
        auto named = spawn(traced::through(1, by));
        auto unnamed = spawn(traced::through(2, by));
        named.set_name("the named one");
        co_await yield_now();
        CHECK(describe_party(named.who()) == "the named one");
        CHECK(has(describe_party(unnamed.who()), "traced::through"));
        co_await named;
        co_await unnamed;
    });
}

TEST_CASE_FIXTURE(test_loop, "trace: before it began, a task is where it was made") {
    run([]() -> task<> {
        auto fresh = spawn(traced::leaf("x"));
        CHECK(has(describe_party(fresh.who()), "traced::leaf(std::string)"));
        CHECK(has(dump_tasks(), "traced::leaf(std::string) has not begun"));
        co_await fresh;
    });
}

// Its last wait was in a frame that is gone: under AddressSanitizer a look at it fails.
TEST_CASE_FIXTURE(test_loop, "dump_tasks: a task that runs may have left the frame it waited in") {
    run([]() -> task<> {
        auto dumper = []() -> task<> {
            const traced::worker by;
            co_await traced::through(1, by);
            const std::string dump = dump_tasks();
            CHECK(has(dump, "a task is running\n"));
        };
        auto handle = spawn(dumper());
        co_await handle;
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "dump_tasks: shows the tree, each task's state and what it waits for") {
    run([]() -> task<> {
        parking place;
        auto child = [&]() -> task<> { co_await place.park(); };
        auto parent = [&]() -> task<> {
            auto body = [&](task_group& group) -> task<> {
                group.spawn(child()).set_name("the child");
                co_await sleep(1ms);
            };
            co_await with_group(body);
        };
        auto family = spawn(parent());
        family.set_name("the parent");
        set_task_name("the one who asks");
        for (int turn = 0; turn < 3; ++turn) co_await yield_now();
        const std::string dump = dump_tasks();
        CHECK(has(dump, "the one who asks is running\n"));
        CHECK(has(dump, "\nthe parent waits for its children to end\n"));
        CHECK(has(dump, "\n    the child waits for a place in the test's line\n"));
        CHECK(has(dump, " waits for a sleep to end\n"));
        CHECK(dump.find("the parent") < dump.find("the child"));
        family.cancel();
        const std::string after = dump_tasks();
        CHECK(has(after, "the parent waits for its children to end (cancelled)\n"));
        CHECK(has(after, "the child is ready (cancelled)\n"));
        const bool woken = place.wake_one();
        CHECK_FALSE(woken);  // it was cut already
    });
}

/// A chain of tasks, each in a group of the one before; the last one tells.
task<> nest(int left, std::string& dump) {
    auto body = [&](task_group& group) -> task<> {
        group.spawn(nest(left - 1, dump));
        co_return;
    };
    if (left == 0) {
        dump = dump_tasks();
    } else {
        co_await with_group(body);
    }
}

TEST_CASE_FIXTURE(test_loop, "dump_tasks: shows a tree that is deeper than any stack") {
    std::string dump;
    run([&]() -> task<> { co_await nest(20'000, dump); });
    CHECK(has(dump, "\n" + std::string(64, ' ') + "[20000] "));
    CHECK_FALSE(dump.find("[20001]") != std::string::npos);
}

TEST_CASE("describe_place: a plain function's place is the same from every compiler") {
    const std::source_location here = std::source_location::current();
    const std::string place = describe_place(here);
    CHECK(has(place, "trace_test.cpp:" + std::to_string(here.line()) + " in "));
    CHECK(has(place, here.function_name()));
    CHECK(describe_function(here) == here.function_name());
}

}  // namespace

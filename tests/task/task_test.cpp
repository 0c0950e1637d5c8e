#include <lariat/task/task.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::run_in_child;
using lariat::test::stops_with;
using lariat::test::test_loop;

static_assert(!std::is_copy_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>>);

template <class Awaitable>
concept awaited_as_lvalue = requires(Awaitable& a) { a.operator co_await(); };
static_assert(!awaited_as_lvalue<task<int>>, "a task is awaited once, and so as an rvalue");

template <class T>
task<T> give(T value) {
    co_return value;
}

task<int> add(int a, int b) {
    const int first = co_await give(a);
    const int second = co_await give(b);
    co_return first + second;
}

TEST_CASE_FIXTURE(test_loop, "task: gives its result, through any depth of awaiting") {
    CHECK(run(add(3, 4)) == 7);
    CHECK(run(give(std::string("text"))) == "text");
}

TEST_CASE_FIXTURE(test_loop, "task: results may be move-only, references, or nothing") {
    const auto owned = run(give(std::make_unique<int>(5)));
    CHECK(*owned == 5);
    int place = 1;
    auto refer = [&]() -> task<int&> { co_return place; };
    auto through = [&]() -> task<int&> { co_return co_await refer(); };
    CHECK(&run(through()) == &place);
    bool ran = false;
    run([&]() -> task<> {
        ran = true;
        co_return;
    });
    CHECK(ran);
}

TEST_CASE_FIXTURE(test_loop, "task: nothing of it runs before it is awaited") {
    bool ran = false;
    auto body = [&]() -> task<> {
        ran = true;
        co_return;
    };
    run([&]() -> task<> {
        task<> made = body();
        co_await yield_now();
        CHECK_FALSE(ran);
        co_await std::move(made);
        CHECK(ran);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "task: an awaited child runs in its awaiter's place, no turn between") {
    std::vector<int> order;
    auto child = [&](int mark) -> task<> {
        order.push_back(mark);
        co_return;
    };
    auto caller = [&](int mark) -> task<> {
        co_await child(mark);
        co_await child(mark + 1);
    };
    run([&]() -> task<> { co_await gather(caller(1), caller(3)); });
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "task: an exception leaves through the await, and locals unwind") {
    auto alive = std::make_shared<int>(1);
    auto fails = [](std::shared_ptr<int> held) -> task<int> {
        co_await yield_now();
        if (held != nullptr) throw std::runtime_error("broken");
        co_return 1;
    };
    auto between = [&]() -> task<int> { co_return co_await fails(alive); };
    CHECK_THROWS_WITH_AS(run(between()), "broken", std::runtime_error);
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "task: an exception can be caught around the await, and work go on") {
    auto fails = []() -> task<int> {
        throw std::runtime_error("broken");
        co_return 1;
    };
    const int got = run([&]() -> task<int> {
        int value = 0;
        try {
            value = co_await fails();
        } catch (const std::runtime_error&) {
            value = 2;
        }
        co_await sleep(1ms);
        co_return value;
    });
    CHECK(got == 2);
}

TEST_CASE_FIXTURE(test_loop,
                  "task: one that is dropped without being awaited frees its arguments") {
    auto alive = std::make_shared<int>(1);
    auto body = [](std::shared_ptr<int>) -> task<> { co_return; };
    {
        const task<> dropped = body(alive);
        CHECK(alive.use_count() == 2);
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop,
                  "task: a move leaves an empty one, and assignment frees what was there") {
    auto alive = std::make_shared<int>(1);
    auto body = [](std::shared_ptr<int> held) -> task<int> { co_return *held; };
    task<int> first = body(alive);
    task<int> second = body(alive);
    CHECK(alive.use_count() == 3);
    second = std::move(first);
    CHECK(alive.use_count() == 2);
    CHECK(static_cast<bool>(second));
    CHECK_FALSE(static_cast<bool>(first));
    CHECK(run(std::move(second)) == 1);
}

TEST_CASE_FIXTURE(test_loop, "task: a million ready awaits use constant stack") {
    auto one = []() -> task<int> { co_return 1; };
    const int sum = run([&]() -> task<int> {
        int total = 0;
        for (int i = 0; i < 1'000'000; ++i) total += co_await one();
        co_return total;
    });
    CHECK(sum == 1'000'000);
}

task<int> depth(int left) {
    if (left == 0) co_return 0;
    co_return 1 + co_await depth(left - 1);
}

TEST_CASE_FIXTURE(test_loop, "task: a hundred thousand frames deep, constant stack") {
    CHECK(run(depth(100'000)) == 100'000);
}

task<> fail_below(int left) {
    if (left == 0) throw std::runtime_error("at the bottom");
    co_await fail_below(left - 1);
}

TEST_CASE_FIXTURE(test_loop, "task: an exception climbs ten thousand frames") {
    CHECK_THROWS_WITH_AS(run(fail_below(10'000)), "at the bottom", std::runtime_error);
}

task<> sleep_for_ever() { co_await sleep(1h); }

struct held_failure {
    std::shared_ptr<int> alive;
};

task<> fail_with(std::shared_ptr<int> alive) {
    co_await yield_now();
    throw held_failure{std::move(alive)};
}
task<> pass_on(std::shared_ptr<int> alive) { co_await fail_with(std::move(alive)); }

// It lies in its frame in a word that is no exception_ptr.
TEST_CASE_FIXTURE(test_loop,
                  "task: a failure lives until it was caught, or nobody can ask for it") {
    const auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await pass_on(alive), held_failure);
        CHECK(alive.use_count() == 1);
        {
            auto handle = spawn(pass_on(alive));
            co_await sleep(1s);
            CHECK(alive.use_count() == 2);
            CHECK_THROWS_AS(co_await handle, held_failure);
        }
        CHECK(alive.use_count() == 1);
        {
            const auto ended = co_await settled(pass_on(alive), pass_on(alive));
            CHECK(std::get<0>(ended).is_error());
            CHECK(alive.use_count() == 3);
        }
        CHECK(alive.use_count() == 1);
        CHECK_THROWS_AS(co_await gather(pass_on(alive), sleep_for_ever()), held_failure);
        CHECK(alive.use_count() == 1);
    });
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "task: endless ready awaits starve neither timers nor the others") {
    bool enough = false;
    int others = 0;
    auto ready = []() -> task<> { co_return; };
    auto greedy = [&]() -> task<> {
        while (!enough) co_await ready();
    };
    auto modest = [&]() -> task<> {
        for (; others < 10; ++others) co_await yield_now();
        co_await sleep_until(now());
        enough = true;
    };
    run([&]() -> task<> { co_await gather(greedy(), modest()); });
    CHECK(others == 10);
}

TEST_CASE_FIXTURE(test_loop, "task: out of memory for a child's frame fails that await alone") {
    auto child = []() -> task<int> { co_return 1; };
    const int got = run([&]() -> task<int> {
        int value = 0;
        fail_frame_after(1);
        try {
            value = co_await child();
        } catch (const std::bad_alloc&) {
            value = 10;
        }
        value += co_await child();
        co_return value;
    });
    CHECK(got == 11);
}

/// Whether a local of T is where it may be, in a frame of a size of its own.
template <class T, std::size_t Words>
task<bool> holds_aligned() {
    T strict = 1;
    std::array<std::uint64_t, Words> beside{};
    co_await yield_now();
    beside.fill(static_cast<std::uint64_t>(strict));
    const bool whole = std::ranges::all_of(beside, [](std::uint64_t word) { return word == 1; });
    const volatile auto at = reinterpret_cast<std::uintptr_t>(&strict);  // or it is assumed
    if (at % alignof(T) != 0) co_return false;
    co_return whole;
}

template <std::size_t... Words>
task<bool> hold_aligned(std::index_sequence<Words...>) {
    std::vector<join_handle<bool>> started;
    for (int round = 0; round < 300; ++round) {
        (started.push_back(spawn(holds_aligned<std::uint64_t, Words>())), ...);
        (started.push_back(spawn(holds_aligned<long double, Words>())), ...);
    }
    bool all = true;
    for (auto& each : started) {
        const bool one = co_await std::move(each);
        all = all && one;
    }
    co_return all;
}

TEST_CASE_FIXTURE(test_loop, "task: a frame is aligned for what it holds, beside whatever") {
    CHECK(run(hold_aligned(std::make_index_sequence<40>())));
}

TEST_CASE("task: awaiting one that was moved from stops with the rule") {
    CHECK(stops_with("this task was moved from or awaited before; a task can be awaited once", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            task<int> once = give(1);
            const int first = co_await std::move(once);
            const int second = co_await std::move(once);  // NOLINT(bugprone-use-after-move)
            CHECK(first == second);
        });
    }));
}

TEST_CASE("task: starting one that was moved from stops with the rule") {
    CHECK(stops_with("a task that was moved from or awaited before cannot be started", [] {
        test_loop loop;
        loop.run([]() -> task<> {
            task<int> once = give(1);
            const task<int> other = std::move(once);
            co_await gather(std::move(once));  // NOLINT(bugprone-use-after-move)
        });
    }));
    CHECK(stops_with("a task that was moved from or awaited before cannot be started", [] {
        test_loop loop;
        loop.run(task<>());
    }));
}

TEST_CASE("task: debug mode names one that was made and never awaited") {
    const auto how = run_in_child([] {
        run_options options;
        options.debug = true;
        test_loop loop(options);
        loop.run([]() -> task<> {
            {
                const task<int> forgotten = add(1, 2);
            }
            co_return;
        });
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text.find("a task was made and never awaited, so it never ran: ") !=
          std::string::npos);
    CHECK(how.text.find("add(int, int)") != std::string::npos);
}

}  // namespace

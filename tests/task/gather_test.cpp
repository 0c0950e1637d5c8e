#include <lariat/task/gather.hpp>

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
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::fail_after;
using lariat::test::give_after;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "gather: takes as long as the longest, results in the order given") {
    run([&]() -> task<> {
        const auto got = co_await gather(give_after(3s, 1), give_after(1s, std::string("two")),
                                         give_after(2s, 3.0));
        CHECK(got == std::tuple<int, std::string, double>(1, "two", 3.0));
    });
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "gather: of a vector gives a vector, in the order given") {
    run([&]() -> task<> {
        std::vector<task<int>> tasks;
        for (int i = 0; i < 100; ++i) tasks.push_back(give_after((100 - i) * 1ms, i));
        const std::vector<int> got = co_await gather(std::move(tasks));
        CHECK(got.size() == 100);
        for (int i = 0; i < 100; ++i) CHECK(got[static_cast<std::size_t>(i)] == i);
    });
    CHECK(elapsed() == 100ms);
}

TEST_CASE_FIXTURE(test_loop, "gather: of nothing is ready at once") {
    run([&]() -> task<> {
        co_await gather();
        std::vector<task<int>> none;
        const std::vector<int> got = co_await gather(std::move(none));
        CHECK(got.empty());
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: void, references and move-only results find their place") {
    int place = 5;
    auto refer = [&]() -> task<int&> { co_return place; };
    auto nothing = []() -> task<> { co_return; };
    auto owned = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(6); };
    run([&]() -> task<> {
        auto got = co_await gather(refer(), nothing(), owned());
        CHECK(&std::get<0>(got).get() == &place);
        static_assert(std::is_same_v<std::tuple_element_t<1, decltype(got)>, std::monostate>);
        CHECK(*std::get<2>(got) == 6);
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: takes any awaitable, not only tasks") {
    run([&]() -> task<> {
        auto handle = spawn(give_after(2s, 8));
        const auto got = co_await gather(std::move(handle), sleep(1s));
        CHECK(std::get<0>(got) == 8);
    });
    CHECK(elapsed() == 2s);
}

TEST_CASE_FIXTURE(test_loop, "gather: they start in the order given, none inside the call") {
    std::vector<int> order;
    auto note = [&](int mark) -> task<> {
        order.push_back(mark);
        co_return;
    };
    run([&]() -> task<> {
        auto all = gather(note(1), note(2), note(3));
        CHECK(order.empty());
        co_await std::move(all);
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(test_loop, "gather: the first failure cancels the rest and is thrown as itself") {
    run([&]() -> task<> {
        CHECK_THROWS_WITH_AS(co_await gather(detail::to_task(sleep(1h)), fail_after(1s, "broken")),
                             "broken", std::runtime_error);
    });
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "gather: several failures are kept together, of a vector too") {
    run([&]() -> task<> {
        std::vector<task<>> tasks;
        tasks.push_back(fail_after(1s, "b"));
        tasks.push_back(fail_after(1s, "a"));
        tasks.push_back(fail_after(1s, "c"));
        CHECK_THROWS_WITH_AS(co_await gather(std::move(tasks)), "3 tasks failed: b; a; c",
                             error_group);
        CHECK_THROWS_WITH_AS(co_await gather(fail_after(1s, "x"), fail_after(1s, "y")),
                             "2 tasks failed: x; y", error_group);
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: a result that was ready when another failed is freed") {
    auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await gather(give_after(1s, alive), fail_after(2s, "broken")),
                        std::runtime_error);
        CHECK(alive.use_count() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "gather: cancelled from outside it ends all, then throws") {
    int unwinds = 0;
    auto slow_to_end = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            ++unwinds;
            throw;
        }
    };
    auto lasting = [&]() -> task<> {
        auto clean_up = []() -> task<> { co_await sleep(5s); };
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            ++unwinds;
        }
        co_await shield(clean_up());
    };
    run([&]() -> task<> {
        auto body = [&]() -> task<> { co_await gather(slow_to_end(), lasting()); };
        auto ended = co_await cut_after(1s, body);
        CHECK(ended.is_cancelled());
        CHECK(unwinds == 2);
    });
    CHECK(elapsed() == 6s);
}

TEST_CASE_FIXTURE(test_loop, "gather: out of memory for its parties fails the await alone") {
    run([&]() -> task<> {
        auto no_memory = []() -> task<> { throw std::bad_alloc(); };
        CHECK_THROWS_AS(co_await gather(no_memory(), detail::to_task(sleep(1h))), std::bad_alloc);
        co_await sleep(1s);
    });
    CHECK(elapsed() == 1s);
}

}  // namespace

#include <lariat/sync/watch.hpp>

#include "test_loop.hpp"

#include <lariat/sync/select.hpp>
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
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop,
                  "watch: a late reader sees the latest value at once, then waits for a change") {
    watch<std::string> setting("first");
    run([&]() -> task<> {
        setting.set("second");
        auto reader = setting.subscribe();
        CHECK(reader.has_changed());
        CHECK((co_await reader.next()) == "second");
        CHECK_FALSE(reader.has_changed());
        CHECK_THROWS_AS((void)co_await timeout(1ms, reader.next()), timeout_error);
        auto waiting = spawn([&]() -> task<std::string> {
            const auto now = co_await reader.next();
            co_return *now;
        });
        co_await yield_now();
        setting.update([](std::string& text) { text += "!"; });
        CHECK(co_await waiting == "second!");
        CHECK(setting.get() == "second!");
        CHECK(setting.version() == 3);
    });
}

TEST_CASE_FIXTURE(test_loop, "watch: a reader that is slow sees only the latest") {
    watch<int> number(0);
    std::vector<int> seen;
    run([&]() -> task<> {
        auto reading = spawn([&]() -> task<> {
            auto reader = number.subscribe();
            while (auto now = co_await reader.next()) seen.push_back(*now);
        });
        co_await yield_now();
        for (int i = 1; i <= 5; ++i) number.set(i);
        co_await yield_now();
        number.set(6);
        number.close();
        co_await reading;
    });
    CHECK(seen == std::vector{0, 5, 6});
}

TEST_CASE_FIXTURE(test_loop, "watch: readers are woken in the order in which they came") {
    watch<int> number(0);
    std::vector<int> order;
    run([&]() -> task<> {
        auto waits = [&](int mark) -> task<> {
            auto reader = number.subscribe();
            (void)co_await reader.changed();
            const bool changed = co_await reader.changed();
            CHECK(changed);
            order.push_back(mark * 10 + reader.borrow());
        };
        std::vector<join_handle<>> handles;
        for (int i = 1; i <= 4; ++i) handles.push_back(spawn(waits, i));
        co_await yield_now();
        handles[1].cancel();
        number.set(7);
        co_await yield_now();
    });
    CHECK(order == std::vector{17, 37, 47});
}

TEST_CASE_FIXTURE(test_loop, "watch: cancelled while it waits, it has seen nothing") {
    watch<int> number(0);
    std::vector<int> order;
    run([&]() -> task<> {
        auto reader = number.subscribe();
        (void)co_await reader.next();
        const auto wait = [&](watch_reader<int>& with, int mark) -> task<> {
            (void)co_await with.next();
            order.push_back(mark);
        };
        auto other = reader;
        auto third = reader;
        auto first = spawn(wait(reader, 1));
        auto cut = spawn(wait(other, 2));
        auto last = spawn(wait(third, 3));
        co_await yield_now();
        cut.cancel();
        CHECK((co_await settled(std::move(cut))).is_cancelled());
        number.set(5);
        CHECK(other.has_changed());
        CHECK((co_await other.next()) == 5);
        co_await first;
        co_await last;
    });
    CHECK(order == std::vector{1, 3});
}

TEST_CASE_FIXTURE(test_loop, "watch: one that was woken and then cancelled has seen the change") {
    watch<int> number(0);
    run([&]() -> task<> {
        auto reader = number.subscribe();
        (void)co_await reader.next();
        auto waiting = spawn([&]() -> task<> { (void)co_await reader.next(); });
        auto cut = spawn([&]() -> task<> { (void)co_await reader.next(); });
        co_await yield_now();
        cut.cancel();
        number.set(1);
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
        const auto gone = co_await settled(std::move(cut));
        CHECK(gone.is_cancelled());
        CHECK_FALSE(reader.has_changed());
    });
}

TEST_CASE_FIXTURE(test_loop, "watch: when it goes, readers see the last value and then the end") {
    auto number = std::make_unique<watch<int>>(1);
    auto reader = number->subscribe();
    auto again = reader;
    run([&]() -> task<> {
        auto waiting = spawn([&]() -> task<> {
            (void)co_await reader.next();
            const auto end = co_await reader.next();
            CHECK_FALSE(end.has_value());
        });
        co_await yield_now();
        number.reset();
        co_await waiting;
        CHECK(again.borrow() == 1);
        CHECK(co_await again.changed());
        CHECK_FALSE(co_await again.changed());
    });
    watch<int> shut(1);
    shut.close();
    CHECK_THROWS_AS(shut.set(2), closed_error);
    CHECK(shut.borrow() == 1);
}

TEST_CASE_FIXTURE(
    test_loop, "watch: a value that cannot be copied is borrowed; a change that throws is none") {
    watch<std::unique_ptr<int>> owner(std::make_unique<int>(1));
    run([&]() -> task<> {
        auto reader = owner.subscribe();
        (void)co_await reader.changed();
        const auto fails = [](std::unique_ptr<int>&) { throw std::runtime_error("no"); };
        CHECK_THROWS_AS(owner.update(fails), std::runtime_error);
        CHECK_FALSE(reader.has_changed());
        owner.set(std::make_unique<int>(2));
        const auto got = co_await select(reader.changed(), after(1h));
        CHECK(got.index == 0);
        CHECK(*reader.borrow() == 2);
    });
}

TEST_CASE_FIXTURE(test_loop, "watch: a woken reader may set it again") {
    watch<int> number(0);
    run([&]() -> task<> {
        auto reader = number.subscribe();
        while (auto now = co_await reader.next()) {
            if (*now == 5) number.close();
            if (*now < 5) number.set(*now + 1);
        }
    });
    CHECK(number.get() == 5);
}

}  // namespace

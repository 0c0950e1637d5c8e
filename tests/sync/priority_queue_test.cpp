#include <lariat/sync/priority_queue.hpp>

#include "queue_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "priority_queue: the smallest item comes first") {
    priority_queue<int> jobs;
    std::vector<int> got;
    run([&]() -> task<> {
        for (const int job : {5, 1, 4, 1, 3}) co_await jobs.put(job);
        jobs.close();
        while (auto job = co_await jobs.get()) got.push_back(*job);
    });
    CHECK(got == std::vector{1, 1, 3, 4, 5});
}

TEST_CASE_FIXTURE(test_loop, "priority_queue: with std::greater the largest comes first") {
    priority_queue<int, std::greater<>> jobs;
    std::vector<int> got;
    run([&]() -> task<> {
        for (const int job : {5, 1, 4}) co_await jobs.put(job);
        for (int i = 0; i < 3; ++i) got.push_back(jobs.get_nowait());
    });
    CHECK(got == std::vector{5, 4, 1});
}

struct job {
    job(int level, std::string text) : priority(level), name(std::move(text)) {}
    int priority;
    std::string name;
};
struct by_priority {
    bool operator()(const job& a, const job& b) const { return a.priority < b.priority; }
};

TEST_CASE_FIXTURE(test_loop, "priority_queue: of equal items the oldest comes first") {
    priority_queue<job, by_priority> jobs;
    std::string order;
    run([&]() -> task<> {
        for (const char* name : {"a", "b", "c", "d"}) {
            co_await jobs.put(job(2, name));
            co_await jobs.put(job(1, std::string(name) + "!"));
        }
        jobs.close();
        while (auto next = co_await jobs.get()) order += next->name;
    });
    CHECK(order == "a!b!c!d!abcd");
}

struct by_value {
    bool operator()(const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) const {
        if (fails) throw std::runtime_error("compared");
        return *a < *b;
    }
    static inline bool fails = false;
};

TEST_CASE_FIXTURE(test_loop,
                  "priority_queue: a comparison that throws fails that put and changes nothing") {
    priority_queue<std::unique_ptr<int>, by_value> jobs(3);
    std::vector<int> got;
    run([&]() -> task<> {
        for (const int value : {3, 1, 2}) co_await jobs.put(std::make_unique<int>(value));
        auto waiting = spawn([&]() -> task<> { co_await jobs.put(std::make_unique<int>(0)); });
        auto next = spawn([&]() -> task<> { co_await jobs.put(std::make_unique<int>(9)); });
        co_await yield_now();
        by_value::fails = true;
        got.push_back(*jobs.get_nowait());  // the putters in line are compared, and fail
        by_value::fails = false;
        CHECK_THROWS_AS(co_await waiting, std::runtime_error);
        CHECK_THROWS_AS(co_await next, std::runtime_error);
        co_await jobs.put(std::make_unique<int>(4));
        by_value::fails = true;
        CHECK(jobs.full());
        by_value::fails = false;
        while (auto item = jobs.try_get()) got.push_back(**item);
    });
    CHECK(got == std::vector{1, 2, 3, 4});
    CHECK(jobs.stats().put == 4);
}

TEST_CASE_FIXTURE(test_loop,
                  "priority_queue: a getter that waits gets the next item, whatever its rank") {
    priority_queue<int> jobs;
    std::vector<int> got;
    run([&]() -> task<> {
        auto gets = [&]() -> task<> {
            const std::optional<int> item = co_await jobs.get();
            got.push_back(item.value_or(-1));
        };
        spawn(gets);
        auto leaver = spawn(gets);
        co_await yield_now();
        co_await jobs.put(9);
        leaver.cancel();
        co_await jobs.put(1);
        CHECK(jobs.size() == 1);
        co_await yield_now();
    });
    CHECK(got == std::vector{9});
}

TEST_CASE_FIXTURE(test_loop, "priority_queue: cancelled getters leave the line and take nothing") {
    test::check_cancelled_getters_take_nothing<priority_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop, "priority_queue: cancelled putters leave the line and put nothing") {
    test::check_cancelled_putters_put_nothing<priority_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop,
                  "priority_queue: who was served and then cancelled has got or put its item") {
    test::check_served_and_then_cancelled_stands<priority_queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop, "priority_queue: a woken getter may put and get again at once") {
    test::check_a_woken_getter_comes_back_at_once<priority_queue<int>>(*this);
}

TEST_CASE("priority_queue: one that dies under its waiters stops with the rule") {
    test::check_one_that_dies_under_its_waiters_stops<priority_queue<int>>();
}

}  // namespace

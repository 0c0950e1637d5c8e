#include <lariat/sync/shared/priority_queue.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "queue_support.hpp"
#include "shared_support.hpp"

#include <lariat/task/nothrow.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::loop_set;
using lariat::test::stops_with;
using ranked = shared::priority_queue<int>;

/// Made on the heap, and of some rank.
struct job {
    job(int level, std::string text)
        : priority(level), name(std::make_unique<std::string>(std::move(text))) {}
    int priority;
    std::unique_ptr<std::string> name;
};
struct by_priority {
    bool operator()(const job& a, const job& b) const noexcept { return a.priority < b.priority; }
};

TEST_CASE("shared::priority_queue: the smallest comes first, on another loop and in a thread") {
    loop_set loops(2);
    ranked q;
    std::vector<int> got;
    auto puts = [&](int first) -> task<> {
        for (int i = 0; i < 50; ++i) co_await q.put(first + (i * 37 % 50) * 2);
    };
    auto gets = [&]() -> task<> {
        for (int i = 0; i < 60; ++i) {
            const auto item = co_await q.get();
            got.push_back(*item);
        }
    };
    loops.spawn_on(0, puts(0));
    loops.spawn_on(1, puts(1));
    loops.finish();
    loops.spawn_on(1, gets());
    loops.finish();
    q.close();
    while (auto item = q.get_blocking()) got.push_back(*item);
    REQUIRE(got.size() == 100);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<int>(i));
}

TEST_CASE("shared::priority_queue: with std::greater the largest comes first") {
    shared::priority_queue<int, std::greater<>> q;
    for (const int item : {5, 1, 4}) q.put_blocking(item);
    for (const int expected : {5, 4, 1}) CHECK(q.get_nowait() == expected);
}

TEST_CASE("shared::priority_queue: of equal items the oldest comes first") {
    loop_set loops(2);
    shared::priority_queue<job, by_priority> q;
    auto puts = [&](const char* name) -> task<> {
        co_await q.put(job(2, name));
        co_await q.put(job(1, std::string(name) + "!"));
    };
    std::size_t which = 0;
    for (const char* name : {"a", "b", "c", "d"}) {
        loops.spawn_on(which, puts(name));
        loops.settle();
        which = 1 - which;
    }
    loops.finish();
    std::string order;
    while (auto next = q.try_get()) order += *next->name;
    CHECK(order == "a!b!c!d!abcd");
}

TEST_CASE("shared::priority_queue: a putter's item is compared when it is let in") {
    loop_set loops(2);
    ranked q(2);
    std::vector<int> put;
    q.put_nowait(5);
    q.put_nowait(2);
    loops.spawn_on(0, test::put_one(q, 1, put));
    loops.turn(0);
    loops.spawn_on(1, test::put_one(q, 9, put));
    loops.turn(1);
    for (const int expected : {2, 1, 5, 9}) CHECK(q.get_nowait() == expected);
    loops.finish();
    CHECK(put.size() == 2);
}

struct by_value {
    bool operator()(int a, int b) const {
        if (fails) throw std::runtime_error("compared");
        return a < b;
    }
    static inline bool fails = false;
};

// It may not. This is what is left of the harm: the lock is free again, and everybody else's items
// are where they were.
TEST_CASE("shared::priority_queue: a comparison that throws ends its own put and no other") {
    loop_set loops(2);
    shared::priority_queue<int, by_value> q(3);
    for (const int item : {3, 1, 2}) q.put_nowait(item);
    bool failed = false;
    auto puts = [&]() -> task<> {
        try {
            (void)co_await nothrow(q.put(0));
        } catch (const std::runtime_error&) {
            failed = true;
        }
    };
    loops.spawn_on(0, puts());
    loops.turn(0);
    by_value::fails = true;
    loops.on(1, [&] { CHECK(q.get_nowait() == 1); });  // lets the putter in
    loops.finish();
    CHECK(failed);
    CHECK(q.size() == 2);
    CHECK_THROWS_AS(q.put_nowait(9), std::runtime_error);
    CHECK_THROWS_AS(q.put_blocking(9), std::runtime_error);
    by_value::fails = false;
    q.put_nowait(4);
    for (const int expected : {2, 3, 4}) CHECK(q.get_nowait() == expected);
    CHECK(q.stats().put == 4);
}

TEST_CASE("shared::priority_queue: getters get the next item whatever its rank, in their order") {
    test::check_getters_are_served_in_their_order<ranked>();
}

TEST_CASE("shared::priority_queue: a put that is cancelled or out of time puts nothing") {
    test::check_cancelled_puts_put_nothing<ranked>();
}

TEST_CASE("shared::priority_queue: what was served before the cancellation came stands") {
    test::check_cut_after_it_was_served_it_stands<ranked>();
}

TEST_CASE("shared::priority_queue: close refuses putters, ends getters and lets them drain") {
    test::check_close<ranked>();
}

TEST_CASE("shared::priority_queue: a woken getter may put and get again at once") {
    test::check_a_woken_getter_comes_back_at_once<ranked>();
}

TEST_CASE("shared::priority_queue: full, empty, join and the times of threads are a queue's") {
    test::check_the_rest_is_a_queues<ranked>();
}

TEST_CASE("shared::priority_queue: tasks of two loops and threads lose no item and double none") {
    for (const std::size_t max : {0U, 1U, 5U}) test::check_tasks_and_threads_together<ranked>(max);
}

TEST_CASE("shared::priority_queue: destroying one that a task waits for stops the program") {
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<ranked>(),
                                       [](ranked& q) { return q.get(); });
    }));
}

}  // namespace

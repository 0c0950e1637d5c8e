#include <lariat/sync/shared/lifo_queue.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "queue_support.hpp"
#include "shared_support.hpp"

#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <type_traits>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::loop_set;
using lariat::test::stops_with;
using pile = shared::lifo_queue<int>;

// Where an empty deque allocates, so does the queue, and may say so.
static_assert(std::is_nothrow_default_constructible_v<pile> ==
              std::is_nothrow_default_constructible_v<std::deque<int>>);

TEST_CASE("shared::lifo_queue: the newest item comes out first, on another loop and in a thread") {
    loop_set loops(2);
    shared::lifo_queue<std::unique_ptr<int>> q;
    std::vector<int> got;
    auto puts = [&]() -> task<> {
        for (int i = 0; i < 200; ++i) co_await q.put(std::make_unique<int>(i));
    };
    auto gets = [&]() -> task<> {
        for (int i = 0; i < 100; ++i) {
            const auto item = co_await q.get();
            got.push_back(**item);
        }
    };
    loops.spawn_on(0, puts());
    loops.finish();
    loops.spawn_on(1, gets());
    loops.finish();
    q.close();
    while (auto item = q.get_blocking()) got.push_back(**item);
    REQUIRE(got.size() == 200);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == 199 - static_cast<int>(i));
}

TEST_CASE("shared::lifo_queue: the item of a putter that waited lies on top") {
    loop_set loops(2);
    pile q(2);
    std::vector<int> put;
    for (int i = 0; i < 5; ++i) {
        const auto which = static_cast<std::size_t>(i % 2);
        loops.spawn_on(which, test::put_one(q, i, put));
        loops.turn(which);
    }
    CHECK(q.full());
    for (const int expected : {1, 2, 3, 4, 0}) CHECK(q.get_nowait() == expected);
    loops.finish();
    CHECK(put.size() == 5);
}

TEST_CASE("shared::lifo_queue: getters are served in their order, a cancelled one has left") {
    test::check_getters_are_served_in_their_order<pile>();
}

TEST_CASE("shared::lifo_queue: a put that is cancelled or out of time puts nothing") {
    test::check_cancelled_puts_put_nothing<pile>();
}

TEST_CASE("shared::lifo_queue: what was served before the cancellation came stands") {
    test::check_cut_after_it_was_served_it_stands<pile>();
}

TEST_CASE("shared::lifo_queue: close refuses putters, ends getters and lets them drain") {
    test::check_close<pile>();
}

TEST_CASE("shared::lifo_queue: a woken getter may put and get again at once") {
    test::check_a_woken_getter_comes_back_at_once<pile>();
}

TEST_CASE("shared::lifo_queue: full, empty, join and the times of threads are a queue's") {
    test::check_the_rest_is_a_queues<pile>();
}

TEST_CASE("shared::lifo_queue: tasks of two loops and threads lose no item and double none") {
    for (const std::size_t max : {0U, 1U, 5U}) test::check_tasks_and_threads_together<pile>(max);
}

TEST_CASE("shared::lifo_queue: destroying one that a task waits for stops the program") {
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<pile>(), [](pile& q) { return q.get(); });
    }));
}

}  // namespace

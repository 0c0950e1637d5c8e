#include <lariat/sync/shared/queue.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "shared_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;
using lariat::test::stops_with;

task<> get_into(shared::queue<int>& q, std::vector<int>& got) {
    while (auto item = co_await q.get()) got.push_back(*item);
}
task<> get_one(shared::queue<int>& q, std::optional<int>& got) { got = co_await q.get(); }
task<> put_one(shared::queue<int>& q, int item, std::vector<int>& put) {
    co_await q.put(item);
    put.push_back(item);
}

TEST_CASE("shared::queue: items of one loop reach another in their order, and end with close") {
    loop_set loops(2);
    shared::queue<int> q(3);
    std::vector<int> got;
    auto produce = [&]() -> task<> {
        for (int i = 0; i < 100; ++i) co_await q.put(i);
        q.close();
    };
    loops.spawn_on(0, produce());
    loops.spawn_on(1, get_into(q, got));
    loops.finish();
    REQUIRE(got.size() == 100);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<int>(i));
}

TEST_CASE("shared::queue: getters of several loops are served in the order in which they came") {
    loop_set loops(3);
    shared::queue<int> q;
    std::vector<std::optional<int>> got(6);
    for (std::size_t i = 0; i < got.size(); ++i) {
        loops.spawn_on(i % 3, get_one(q, got[i]));
        loops.turn(i % 3);
    }
    for (int i = 0; i < 6; ++i) q.put_nowait(i);
    CHECK(q.empty());
    CHECK_FALSE(q.try_get().has_value());
    loops.finish();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<int>(i));
}

TEST_CASE("shared::queue: putters wait for room in the order in which they came") {
    loop_set loops(2);
    shared::queue<int> q(1);
    std::vector<int> put;
    for (int i = 0; i < 5; ++i) {
        const auto which = static_cast<std::size_t>(i % 2);
        loops.spawn_on(which, put_one(q, i, put));
        loops.turn(which);
    }
    CHECK(q.full());
    CHECK_FALSE(q.try_put(9));
    for (int i = 0; i < 5; ++i) {
        CHECK(q.get_nowait() == i);
        loops.settle();
        CHECK(put.size() == std::min<std::size_t>(static_cast<std::size_t>(i) + 2, 5));
    }
    loops.finish();
    CHECK(put == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("shared::queue: a cancelled get takes nothing, and leaves the line") {
    loop_set loops(2);
    shared::queue<int> q;
    std::optional<int> first;
    std::optional<int> second;
    auto cut = loops.spawn_on(0, get_one(q, first));
    loops.turn(0);
    loops.spawn_on(1, get_one(q, second));
    loops.turn(1);
    loops.on(0, [&] { cut.cancel(); });
    q.put_nowait(7);
    loops.finish();
    CHECK_FALSE(first.has_value());
    CHECK(second == 7);
}

TEST_CASE("shared::queue: cancelled while the item travels, the get has it") {
    loop_set loops(2);
    shared::queue<int> q;
    std::optional<int> got;
    cancel_scope scope;
    auto body = [&]() -> task<> {
        const std::optional<std::optional<int>> ended = co_await scope.run(q.get());
        if (ended) got = *ended;
    };
    loops.spawn_on(0, body());
    loops.turn(0);
    loops.on(1, [&] { q.put_nowait(4); });
    loops.on(0, [&] { scope.cancel(); });
    loops.finish();
    CHECK(got == 4);
    CHECK(q.empty());
}

TEST_CASE("shared::queue: a cancelled put puts nothing, and one that was named keeps its item") {
    loop_set loops(1);
    shared::queue<std::unique_ptr<int>> q(1);
    q.put_nowait(std::make_unique<int>(1));
    int kept = 0;
    auto body = [&]() -> task<> {
        auto waiting = q.put(std::make_unique<int>(2));
        const auto ended = co_await nothrow(timeout(1ms, waiting));
        CHECK(ended.error() == errc::timed_out);
        kept = *waiting.item();
    };
    loops.spawn_on(0, body());
    loops.finish();
    CHECK(kept == 2);
    CHECK(q.size() == 1);
    CHECK(*q.get_nowait() == 1);
    CHECK_FALSE(q.try_get().has_value());
}

TEST_CASE("shared::queue: close refuses putters that wait and come, and lets getters drain") {
    loop_set loops(2);
    shared::queue<int> q(1);
    q.put_nowait(1);
    bool refused = false;
    auto put = [&]() -> task<> {
        try {
            co_await q.put(2);
        } catch (const closed_error&) {
            refused = true;
        }
        const auto again = co_await nothrow(q.put(3));
        CHECK(again.error() == errc::closed);
    };
    loops.spawn_on(0, put());
    loops.turn(0);
    q.close();
    q.close();
    loops.finish();
    CHECK(refused);
    CHECK(q.closed());
    CHECK_THROWS_AS(q.put_nowait(4), closed_error);
    CHECK_THROWS_AS(q.put_blocking(4), closed_error);
    CHECK_THROWS_AS((void)q.put_blocking(4, 1ms), closed_error);
    CHECK_FALSE(q.try_put(4));
    std::vector<int> got;
    loops.spawn_on(1, get_into(q, got));
    loops.finish();
    CHECK(got == std::vector<int>{1});
    CHECK_FALSE(q.get_blocking().has_value());
    CHECK(q.get_blocking(1ms).error() == errc::closed);
    CHECK_THROWS_AS((void)q.get_nowait(), closed_error);
}

TEST_CASE("shared::queue: close ends the wait of getters, of tasks and threads") {
    const leak_check leaks;
    shared::queue<int> q;
    std::jthread other([&] { CHECK_FALSE(q.get_blocking().has_value()); });
    auto body = [&]() -> task<> {
        auto close_soon = [&]() -> task<> {
            co_await yield_now();
            q.close();
        };
        auto closer = spawn(close_soon());
        const std::optional<int> none = co_await q.get();
        CHECK_FALSE(none.has_value());
        co_await closer;
    };
    lariat::run(body());
}

TEST_CASE("shared::queue: _nowait and try_ verbs say full, empty and closed") {
    shared::queue<std::unique_ptr<int>> q(1);
    CHECK_THROWS_AS((void)q.get_nowait(), queue_empty);
    q.put_nowait(std::make_unique<int>(1));
    auto item = std::make_unique<int>(2);
    CHECK_THROWS_AS(q.put_nowait(std::move(item)), queue_full);
    CHECK_FALSE(q.try_put(std::move(item)));
    CHECK_FALSE(q.put_blocking(std::move(item), 1ms));
    REQUIRE(item != nullptr);
    CHECK(*item == 2);
    CHECK(q.full());
    CHECK(q.capacity() == 1);
    CHECK(*q.try_get().value() == 1);
    CHECK(q.put_blocking(std::move(item), 1ms));
    const auto got = q.get_blocking(1ms);
    REQUIRE(got.has_value());
    CHECK(**got == 2);
    CHECK(q.get_blocking(1ms).error() == errc::timed_out);
}

TEST_CASE("shared::queue: join waits until every item is done with, on any loop and thread") {
    loop_set loops(2);
    shared::queue<int> q;
    q.join_blocking();
    q.put_nowait(1);
    q.put_nowait(2);
    int joined = 0;
    auto join = [&]() -> task<> {
        co_await q.join();
        ++joined;
    };
    loops.spawn_on(0, join());
    loops.spawn_on(1, join());
    auto cut = loops.spawn_on(1, join());
    loops.settle();
    CHECK_FALSE(q.join_blocking(1ms));
    loops.on(1, [&] { cut.cancel(); });
    CHECK(q.get_nowait() == 1);
    q.task_done();
    q.close();
    loops.settle();
    CHECK(joined == 0);
    CHECK(q.get_nowait() == 2);
    const queue_stats before = q.stats();
    CHECK(before.put == 2);
    CHECK(before.taken == 2);
    CHECK(before.unfinished == 1);
    q.task_done();
    loops.finish();
    CHECK(joined == 2);
    CHECK(q.join_blocking(0ms));
    CHECK_THROWS_AS(q.task_done(), std::logic_error);
}

TEST_CASE("shared::queue: a burst wakes a loop that sleeps once, and one that is awake never") {
    loop_set loops(2);
    shared::queue<int> q;
    std::vector<std::optional<int>> got(64);
    for (auto& place : got) loops.spawn_on(0, get_one(q, place));
    loops.settle();
    const std::uint64_t before = loops.box(0).wakes();
    REQUIRE(loops.box(0).sleep());
    for (int i = 0; i < 32; ++i) q.put_nowait(i);
    loops.on(1, [&] {
        for (int i = 32; i < 48; ++i) q.put_nowait(i);
    });
    loops.box(0).awake();
    CHECK(loops.box(0).wakes() == before + 1);
    for (int i = 48; i < 64; ++i) q.put_nowait(i);
    CHECK(loops.box(0).wakes() == before + 1);
    loops.finish();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<int>(i));
}

TEST_CASE("shared::queue: on one loop nothing is posted, and nobody runs inside a put") {
    loop_set loops(1);
    shared::queue<int> q;
    std::optional<int> got;
    loops.spawn_on(0, get_one(q, got));
    loops.turn(0);
    loops.on(0, [&] {
        q.put_nowait(3);
        CHECK_FALSE(got.has_value());
        CHECK(loops.box(0).empty());
    });
    loops.finish();
    CHECK(got == 3);
}

TEST_CASE("shared::queue: many items pass between a thread and a loop, both ways") {
    shared::queue<std::unique_ptr<int>> there(8);
    shared::queue<std::unique_ptr<int>> back(8);
    test::check_there_and_back(there, back, 5'000, [&] {
        while (auto item = there.get_blocking()) back.put_blocking(*std::move(item));
    });
}

TEST_CASE("shared::queue: blocking where a loop runs stops the program and shows the right line") {
    const auto on_loop = [](auto verb) {
        return [verb] {
            lariat::run([](auto use) -> task<> {
                shared::queue<int> q;
                use(q);
                co_return;
            }(verb));
        };
    };
    CHECK(stops_with("right: co_await x.get()",
                     on_loop([](shared::queue<int>& q) { (void)q.get_blocking(); })));
    CHECK(stops_with("right: co_await lariat::timeout(t, x.put(item))",
                     on_loop([](shared::queue<int>& q) { (void)q.put_blocking(1, 1s); })));
    CHECK(stops_with("queue_test.cpp", on_loop([](shared::queue<int>& q) { q.join_blocking(); })));
}

TEST_CASE("shared::queue: destroying one that a task waits for stops the program") {
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<shared::queue<int>>(),
                                       [](shared::queue<int>& q) { return q.get(); });
    }));
}

}  // namespace

#include <lariat/sync/queue.hpp>

#include "death.hpp"
#include "queue_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/scheduler.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/timer_queue.hpp>

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
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> get_into(queue<int>& from, std::vector<int>& got) {
    const std::optional<int> item = co_await from.get();
    got.push_back(item.value_or(-1));
}

task<> put_one(queue<int>& to, int item) {
    [[maybe_unused]] const int has_a_local = 0;
    co_await to.put(item);
}

TEST_CASE_FIXTURE(test_loop, "queue: items come out in the order in which they were put") {
    queue<int> way;
    std::vector<int> got;
    run([&]() -> task<> {
        for (int i = 0; i < 5000; ++i) co_await way.put(i);
        CHECK(way.size() == 5000);
        way.close();
        while (auto item = co_await way.get()) got.push_back(*item);
    });
    REQUIRE(got.size() == 5000);
    for (int i = 0; i < 5000; ++i) CHECK(got[static_cast<std::size_t>(i)] == i);
}

TEST_CASE_FIXTURE(test_loop,
                  "queue: a put waits while the queue is full, a get while it is empty") {
    queue<int> way(2);
    std::vector<int> got;
    run([&]() -> task<> {
        CHECK(way.empty());
        auto producing = spawn([&]() -> task<> {
            for (int i = 0; i < 4; ++i) co_await way.put(i);
        });
        co_await sleep(1ms);
        CHECK(way.full());
        CHECK_FALSE(producing.done());
        for (int i = 0; i < 5; ++i) spawn(get_into(way, got));
        co_await sleep(1ms);
        CHECK(producing.done());
        CHECK(got == std::vector{0, 1, 2, 3});
        co_await way.put(4);
        co_await yield_now();
    });
    CHECK(got == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "queue: getters are served first come, first served") {
    queue<int> way;
    std::vector<int> first;
    std::vector<int> second;
    run([&]() -> task<> {
        spawn(get_into(way, first));
        spawn(get_into(way, second));
        co_await yield_now();
        co_await way.put(1);
        co_await way.put(2);
        co_await yield_now();
    });
    CHECK(first == std::vector{1});
    CHECK(second == std::vector{2});
}

TEST_CASE_FIXTURE(test_loop, "queue: a newcomer does not take what was handed to one who waited") {
    queue<int> way(1);
    std::vector<int> waiting;
    run([&]() -> task<> {
        spawn(get_into(way, waiting));
        co_await yield_now();
        co_await way.put(1);
        CHECK(way.empty());
        CHECK(way.try_get() == std::nullopt);
        co_await yield_now();
        CHECK(waiting == std::vector{1});

        co_await way.put(2);
        spawn(put_one(way, 3));
        co_await yield_now();
        CHECK(way.get_nowait() == 2);
        CHECK_FALSE(way.try_put(4));  // the place is the third item's
        CHECK(way.get_nowait() == 3);
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: a cancelled getter leaves the line") {
    queue<int> way;
    std::vector<int> got;
    run([&]() -> task<> {
        auto leaver = spawn(get_into(way, got));
        spawn(get_into(way, got));
        co_await yield_now();
        leaver.cancel();
        const auto ended = co_await settled(std::move(leaver));
        CHECK(ended.is_cancelled());
        co_await way.put(7);
        co_await yield_now();
    });
    CHECK(got == std::vector{7});
}

TEST_CASE_FIXTURE(test_loop,
                  "queue: a cancelled putter has put nothing, the others keep their order") {
    queue<int> way(1);
    std::vector<int> got;
    run([&]() -> task<> {
        co_await way.put(0);
        std::vector<join_handle<>> putters;
        for (int i = 1; i < 6; ++i) putters.push_back(spawn(put_one(way, i)));
        co_await yield_now();
        for (const std::size_t leaver : {0U, 2U, 4U}) putters[leaver].cancel();
        for (int i = 0; i < 3; ++i) got.push_back(way.get_nowait());
        CHECK(way.empty());
        co_await yield_now();
    });
    CHECK(got == std::vector{0, 2, 4});
}

TEST_CASE_FIXTURE(test_loop, "queue: a getter that was given its item and then cancelled has it") {
    queue<std::unique_ptr<int>> way;
    int seen = 0;
    run([&]() -> task<> {
        auto waiting = spawn([&]() -> task<> {
            const auto item = co_await way.get();
            seen = **item;
            co_await way.get();
        });
        co_await yield_now();
        co_await way.put(std::make_unique<int>(5));
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_cancelled());  // at its next await
    });
    CHECK(seen == 5);
}

TEST_CASE_FIXTURE(test_loop,
                  "queue: a putter whose item was taken and who is then cancelled has put it") {
    queue<int> way(1);
    run([&]() -> task<> {
        co_await way.put(1);
        auto waiting = spawn(put_one(way, 2));
        co_await yield_now();
        CHECK(way.get_nowait() == 1);
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
        CHECK(way.get_nowait() == 2);
    });
}

/// Puts an item from inside the turn's timers, where a timeout fires as well.
struct put_at : timer_entry {
    explicit put_at(queue<int>& to) : timer_entry(&due), way(to) {}
    static void due(timer_entry& self) noexcept { static_cast<put_at&>(self).way.put_nowait(9); }
    queue<int>& way;
};

TEST_CASE_FIXTURE(test_loop, "queue: an item that comes in the turn of a timeout is not lost") {
    for (const bool item_first : {true, false}) {
        queue<int> way;
        put_at puts(way);
        run([&]() -> task<> {
            const time_point moment = now() + 5ms;
            if (item_first) this_scheduler->timers.arm(puts, moment);
            auto getting = spawn([&]() -> task<int> {
                const auto item = co_await timeout_at(moment, way.get());
                co_return item.value_or(-1);
            });
            co_await yield_now();
            if (!item_first) this_scheduler->timers.arm(puts, moment);
            const auto ended = co_await settled(std::move(getting));
            CHECK(ended.is_value() == item_first);
            co_await yield_now();
        });
        CHECK(way.size() == (item_first ? 0 : 1));
        CHECK(elapsed() == 5ms);
    }
}

TEST_CASE_FIXTURE(
    test_loop,
    "queue: a put that runs out of time has put nothing, and a named one keeps its item") {
    queue<std::unique_ptr<int>> way(1);
    run([&]() -> task<> {
        co_await way.put(std::make_unique<int>(1));
        auto putting = way.put(std::make_unique<int>(2));
        CHECK_THROWS_AS(co_await timeout(10ms, putting), timeout_error);
        CHECK(way.size() == 1);
        REQUIRE(putting.item() != nullptr);
        CHECK(*putting.item() == 2);
        CHECK(*way.get_nowait() == 1);
        const auto put = co_await nothrow(putting);
        CHECK(put.has_value());
        CHECK(putting.item() == nullptr);
        CHECK(*way.get_nowait() == 2);
    });
    CHECK(elapsed() == 10ms);
}

TEST_CASE_FIXTURE(test_loop, "queue: close lets getters drain what is left, then ends them") {
    queue<int> way;
    std::vector<int> got;
    run([&]() -> task<> {
        for (int i = 0; i < 3; ++i) co_await way.put(i);
        way.close();
        way.close();
        CHECK(way.closed());
        while (auto item = co_await way.get()) got.push_back(*item);
        CHECK_FALSE((co_await way.get()).has_value());
        CHECK_THROWS_AS(way.get_nowait(), closed_error);
    });
    CHECK(got == std::vector{0, 1, 2});
}

TEST_CASE_FIXTURE(test_loop, "queue: close wakes the getters that wait, with nothing") {
    queue<int> way;
    std::vector<int> got;
    run([&]() -> task<> {
        spawn(get_into(way, got));
        spawn(get_into(way, got));
        co_await yield_now();
        way.close();
        co_await yield_now();
    });
    CHECK(got == std::vector{-1, -1});
}

TEST_CASE_FIXTURE(test_loop, "queue: close refuses putters, those that wait and those that come") {
    queue<int> way(1);
    run([&]() -> task<> {
        co_await way.put(1);
        auto waiting = spawn(put_one(way, 2));
        co_await yield_now();
        way.close();
        CHECK_THROWS_AS(co_await waiting, closed_error);
        CHECK_THROWS_AS(co_await way.put(3), closed_error);
        CHECK_THROWS_AS(way.put_nowait(4), closed_error);
        CHECK_FALSE(way.try_put(5));
        const auto refused = co_await nothrow(way.put(6));
        CHECK(refused.error() == errc::closed);
        CHECK(way.get_nowait() == 1);
        CHECK(way.empty());
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: the verbs that do not wait say full and empty") {
    queue<std::string> way(1);
    run([&]() -> task<> {
        CHECK_THROWS_AS(way.get_nowait(), queue_empty);
        std::string item = "one";
        way.put_nowait(std::move(item));
        std::string next = "a longer text, on the heap";
        CHECK_THROWS_AS(way.put_nowait(std::move(next)), queue_full);
        CHECK_FALSE(way.try_put(std::move(next)));
        CHECK(next == "a longer text, on the heap");
        CHECK(way.get_nowait() == "one");
        CHECK(way.try_put(next));
        CHECK(way.try_get() == "a longer text, on the heap");
        try {
            (void)way.get_nowait();
        } catch (const queue_empty& error) {
            CHECK(error.code() == errc::empty);
            CHECK(std::string(error.what()) == "queue.get_nowait: the queue is empty");
        }
        co_return;
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: join returns when every item that was put is done with") {
    queue<int> way;
    run([&]() -> task<> {
        co_await way.join();
        for (int i = 0; i < 2; ++i) co_await way.put(i);
        CHECK(way.stats().unfinished == 2);
        auto joining = spawn([&]() -> task<> { co_await way.join(); });
        auto giving_up = spawn([&]() -> task<> { co_await way.join(); });
        auto joins_too = spawn([&]() -> task<> { co_await way.join(); });
        co_await yield_now();
        (void)way.get_nowait();
        way.task_done();
        (void)way.get_nowait();
        co_await yield_now();
        CHECK_FALSE(joining.done());
        giving_up.cancel();
        way.task_done();
        co_await joining;
        co_await yield_now();
        CHECK(joins_too.done());
        CHECK_THROWS_AS(way.task_done(), std::logic_error);
        const queue_stats now = way.stats();
        CHECK(now.put == 2);
        CHECK(now.taken == 2);
        CHECK(now.unfinished == 0);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "queue: join waits also when it is closed, for what is left to be done") {
    queue<int> way(1);
    run([&]() -> task<> {
        co_await way.put(1);
        auto refused = spawn(put_one(way, 2));
        auto joining = spawn([&]() -> task<> { co_await way.join(); });
        co_await yield_now();
        way.close();
        CHECK_THROWS_AS(co_await refused, closed_error);
        CHECK_FALSE(joining.done());  // one item was accepted, and is not done
        (void)co_await way.get();
        way.task_done();
        co_await joining;
        co_await way.join();
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: a woken getter may put and get again at once") {
    test::check_a_woken_getter_comes_back_at_once<queue<int>>(*this);
}

TEST_CASE_FIXTURE(test_loop, "queue: puts and gets that never wait let the others run") {
    queue<int> way;
    int turns = 0;
    run([&]() -> task<> {
        spawn([&]() -> task<> {
            for (;; ++turns) co_await yield_now();
        });
        for (int i = 0; i < 10'000; ++i) {
            co_await way.put(i);
            (void)co_await way.get();
        }
    });
    CHECK(turns > 60);
}

TEST_CASE_FIXTURE(test_loop, "queue: what is left in it is destroyed with it") {
    const auto counted = std::make_shared<int>(1);
    run([&]() -> task<> {
        queue<std::shared_ptr<int>> way;
        for (int i = 0; i < 1000; ++i) co_await way.put(counted);
        for (int i = 0; i < 300; ++i) (void)co_await way.get();
        CHECK(counted.use_count() == 701);
    });
    CHECK(counted.use_count() == 1);
}

/// An item whose moves throw while they are told to: all of them, or those of one value.
struct touchy {
    explicit touchy(int what) : value(what) {}
    touchy(touchy&& other) : value(other.value) {
        if (throws || value == stuck) throw std::runtime_error("moved");
        other.value = 0;
    }
    touchy& operator=(touchy&&) = delete;

    int value;
    static inline bool throws = false;
    static inline int stuck = -1;
};

TEST_CASE_FIXTURE(test_loop, "queue: a move that throws loses no item that lies in it") {
    queue<touchy> way(2);
    run([&]() -> task<> {
        co_await way.put(touchy(1));
        co_await way.put(touchy(2));
        auto third = spawn([&]() -> task<> { co_await way.put(touchy(3)); });
        co_await yield_now();
        touchy::throws = true;
        CHECK_THROWS_AS((void)way.try_get(), std::runtime_error);
        touchy::throws = false;
        CHECK(way.size() == 2);
        CHECK(way.get_nowait().value == 1);
        co_await third;
        CHECK(way.get_nowait().value == 2);
        CHECK(way.get_nowait().value == 3);
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: a put whose item cannot be moved in fails alone") {
    queue<touchy> way;
    bool gave_up = false;
    run([&]() -> task<> {
        auto waiting = spawn([&]() -> task<int> {
            const auto item = co_await way.get();
            co_return item->value;
        });
        co_await yield_now();
        auto putting = way.put(touchy(1));
        touchy::throws = true;
        try {
            (void)co_await nothrow(putting);
        } catch (const std::runtime_error&) {
            gave_up = true;
        }
        touchy::throws = false;
        CHECK(gave_up);
        CHECK_FALSE(waiting.done());
        co_await way.put(touchy(4));
        CHECK(co_await waiting == 4);
        CHECK(way.stats().put == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "queue: the room of a putter whose item sticks goes to the next") {
    queue<touchy> way(1);
    run([&]() -> task<> {
        co_await way.put(touchy(1));
        auto sticks = spawn([&]() -> task<> { co_await way.put(touchy(2)); });
        auto next = spawn([&]() -> task<> { co_await way.put(touchy(3)); });
        co_await yield_now();
        touchy::stuck = 2;
        CHECK(way.get_nowait().value == 1);
        touchy::stuck = -1;
        CHECK_THROWS_AS(co_await sticks, std::runtime_error);
        CHECK(next.done());
        CHECK(way.get_nowait().value == 3);
        CHECK(way.stats().put == 2);
    });
}

TEST_CASE("queue: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<queue<int>> way(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto waits = [&]() -> task<> { (void)co_await way->get(); };
            spawn(waits);
            co_await yield_now();
            way.reset();
        });
    }));
}

}  // namespace

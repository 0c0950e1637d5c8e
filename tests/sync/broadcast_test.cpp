#include <lariat/sync/broadcast.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/sync/event.hpp>
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
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> collect(subscription<int> from, std::vector<int>& got) {
    while (auto item = co_await from.receive()) {
        CHECK(item->missed == 0);
        got.push_back(item->value);
    }
}

TEST_CASE_FIXTURE(test_loop,
                  "broadcast: every subscriber receives what is sent after it subscribed") {
    broadcast<int> news(8);
    std::vector<int> early;
    std::vector<int> late;
    run([&]() -> task<> {
        CHECK(news.send(0) == 0);
        auto first = spawn(collect(news.subscribe(), early));
        CHECK(news.send(1) == 1);
        co_await yield_now();
        auto second = spawn(collect(news.subscribe(), late));
        CHECK(news.send(2) == 2);
        CHECK(news.send(3) == 2);
        news.close();
        co_await first;
        co_await second;
    });
    CHECK(early == std::vector{1, 2, 3});
    CHECK(late == std::vector{2, 3});
    CHECK(news.stats().kept == 0);
    CHECK(news.stats().sent == 4);
}

TEST_CASE_FIXTURE(
    test_loop,
    "broadcast: a slow reader is told how many it missed and goes on with the oldest kept") {
    broadcast<std::string> news(2);
    run([&]() -> task<> {
        auto slow = news.subscribe();
        for (const char* text : {"a", "b", "c", "d", "e"}) news.send(text);
        CHECK(slow.behind() == 5);
        const auto first = co_await slow.receive();
        REQUIRE(first.has_value());
        CHECK(first->value == "d");
        CHECK(first->missed == 3);
        const auto second = slow.try_receive();
        CHECK(second->value == "e");
        CHECK(second->missed == 0);
        CHECK_FALSE(slow.try_receive().has_value());
    });
}

TEST_CASE_FIXTURE(
    test_loop, "broadcast: those who wait are woken in order, and see what came until they run") {
    broadcast<int> news(1);
    std::vector<int> order;
    run([&]() -> task<> {
        auto waits = [&](int mark) -> task<> {
            auto mine = news.subscribe();
            const auto got = co_await mine.receive();
            order.push_back(mark * 100 + got->value * 10 + static_cast<int>(got->missed));
        };
        for (int i = 1; i <= 3; ++i) spawn(waits, i);
        co_await yield_now();
        news.send(1);
        news.send(2);  // the one kept
        co_await yield_now();
    });
    CHECK(order == std::vector{121, 221, 321});
}

TEST_CASE_FIXTURE(
    test_loop,
    "broadcast: a cancelled receive has received nothing, one that was woken has its item") {
    broadcast<int> news(4);
    run([&]() -> task<> {
        auto mine = news.subscribe();
        CHECK_THROWS_AS((void)co_await timeout(1ms, mine.receive()), timeout_error);
        auto waiting = spawn([&]() -> task<int> {
            const auto got = co_await mine.receive();
            co_return got->value;
        });
        co_await yield_now();
        news.send(5);
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
        CHECK(mine.behind() == 0);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "broadcast: closed, it is drained and ends, also when the broadcast has gone") {
    auto news = std::make_unique<broadcast<int>>(4);
    std::vector<int> got;
    run([&]() -> task<> {
        auto draining = spawn(collect(news->subscribe(), got));
        auto waiting = spawn(collect(news->subscribe(), got));
        co_await yield_now();
        news->send(1);
        news->send(2);
        news.reset();
        co_await draining;
        co_await waiting;
    });
    CHECK(got == std::vector{1, 2, 1, 2});
    broadcast<int> shut(1);
    shut.close();
    shut.close();
    CHECK_THROWS_AS(shut.send(1), closed_error);
}

TEST_CASE_FIXTURE(test_loop, "broadcast: as arms of a select, beside an event") {
    broadcast<int> a(2);
    broadcast<int> b(2);
    event stop;
    run([&]() -> task<> {
        auto from_a = a.subscribe();
        auto from_b = b.subscribe();
        auto selecting = spawn([&]() -> task<std::size_t> {
            const auto got = co_await select(from_a.receive(), from_b.receive(), stop.wait());
            co_return got.index;
        });
        co_await yield_now();
        b.send(1);
        a.send(2);
        stop.set();
        CHECK(co_await selecting == 1);
        CHECK(from_a.behind() == 1);
        CHECK(from_b.behind() == 0);
    });
}

TEST_CASE_FIXTURE(test_loop, "broadcast: cancelled while it waits, it misses nothing after it") {
    broadcast<int> ring(4);
    run([&]() -> task<> {
        auto mine = ring.subscribe();
        auto others = ring.subscribe();
        std::vector<int> got;
        auto cut = spawn([&]() -> task<> { (void)co_await mine.receive(); });
        auto stays = spawn([&]() -> task<> { got.push_back((co_await others.receive())->value); });
        co_await yield_now();
        cut.cancel();
        CHECK((co_await settled(std::move(cut))).is_cancelled());
        ring.send(1);
        ring.send(2);
        co_await stays;
        CHECK(got == std::vector{1});
        CHECK((co_await mine.receive())->value == 1);
        CHECK((co_await mine.receive())->value == 2);
    });
}

TEST_CASE_FIXTURE(test_loop, "broadcast: one that was woken and then cancelled has received it") {
    broadcast<int> ring(4);
    run([&]() -> task<> {
        auto mine = ring.subscribe();
        int got = 0;
        auto waiting = spawn([&]() -> task<> { got = (co_await mine.receive())->value; });
        co_await yield_now();
        ring.send(1);
        ring.send(2);
        waiting.cancel();
        CHECK((co_await settled(std::move(waiting))).is_value());
        CHECK(got == 1);
        CHECK((co_await mine.receive())->value == 2);
    });
}

TEST_CASE_FIXTURE(test_loop, "broadcast: a woken subscriber may send and receive again") {
    broadcast<int> ring(4);
    int last = 0;
    run([&]() -> task<> {
        auto bounce = spawn([&]() -> task<> {
            auto mine = ring.subscribe();
            while (last < 5) {
                const auto got = co_await mine.receive();
                last = got->value;
                if (last < 5) ring.send(last + 1);
            }
        });
        co_await yield_now();
        ring.send(1);
        co_await bounce;
    });
    CHECK(last == 5);
}

/// An item whose copies throw while it is told to.
struct touchy {
    explicit touchy(int what) : value(what) {}
    touchy(const touchy& other) : value(other.value) {
        if (throws) throw std::runtime_error("copied");
    }
    touchy& operator=(const touchy&) = delete;

    int value;
    static inline bool throws = false;
};

TEST_CASE_FIXTURE(test_loop, "broadcast: a copy that throws loses no item") {
    broadcast<touchy> news(2);
    auto mine = news.subscribe();
    const touchy one(1);
    news.send(one);
    touchy::throws = true;
    CHECK_THROWS_AS(news.send(one), std::runtime_error);
    CHECK_THROWS_AS((void)mine.try_receive(), std::runtime_error);
    touchy::throws = false;
    CHECK(mine.behind() == 1);
    const auto got = mine.try_receive();
    CHECK(got->value.value == 1);
    CHECK(got->missed == 0);
}

TEST_CASE("broadcast: the rules for capacity and for whom a subscription serves stop the program") {
    CHECK(stops_with("a broadcast keeps at least one item", [] { broadcast<int> none(0); }));
    CHECK(stops_with("one task at a time receives from a subscription", [] {
        test_loop loop;
        broadcast<int> news(2);
        auto mine = news.subscribe();
        loop.run([&]() -> task<> {
            auto waits = [&]() -> task<> { (void)co_await mine.receive(); };
            spawn(waits);
            spawn(waits);
            co_await yield_now();
            news.send(1);
            co_await yield_now();
        });
    }));
}

}  // namespace

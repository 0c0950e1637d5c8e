#include <lariat/sync/shared/channel.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "shared_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;
using lariat::test::stops_with;

task<> send_one(shared::channel<int>& c, int value, std::vector<int>& sent) {
    co_await c.send(value);
    sent.push_back(value);
}
task<> receive_one(shared::channel<int>& c, std::vector<int>& got) {
    if (auto value = co_await c.receive()) got.push_back(*value);
}

TEST_CASE("shared::channel: without capacity a send ends when its value was received") {
    loop_set loops(2);
    shared::channel<int> c;
    std::vector<int> sent;
    std::vector<int> got;
    for (int i = 0; i < 4; ++i) {
        loops.spawn_on(0, send_one(c, i, sent));
    }
    loops.settle();
    CHECK(sent.empty());
    CHECK(c.size() == 0);
    CHECK_FALSE(c.try_send(9));
    for (int i = 0; i < 4; ++i) {
        loops.spawn_on(1, receive_one(c, got));
        loops.settle();
        CHECK(sent.size() == static_cast<std::size_t>(i) + 1);
    }
    loops.finish();
    CHECK(got == std::vector<int>{0, 1, 2, 3});
    CHECK(sent == got);
}

TEST_CASE("shared::channel: receivers of several loops are served in the order they came") {
    loop_set loops(2);
    shared::channel<int> c;
    std::vector<std::vector<int>> got(4);
    for (std::size_t i = 0; i < got.size(); ++i) {
        loops.spawn_on(i % 2, receive_one(c, got[i]));
        loops.turn(i % 2);
    }
    for (int i = 0; i < 4; ++i) CHECK(c.try_send(i));
    CHECK_FALSE(c.try_send(4));
    loops.finish();
    for (std::size_t i = 0; i < got.size(); ++i)
        CHECK(got[i] == std::vector<int>{static_cast<int>(i)});
}

TEST_CASE("shared::channel: with a capacity senders run ahead by so many") {
    loop_set loops(1);
    shared::channel<int> c(2);
    std::vector<int> sent;
    for (int i = 0; i < 4; ++i) loops.spawn_on(0, send_one(c, i, sent));
    loops.settle();
    CHECK(c.capacity() == 2);
    CHECK(c.size() == 2);
    CHECK(sent == std::vector<int>{0, 1});
    CHECK(c.try_receive() == 0);
    CHECK(c.receive_blocking() == 1);
    loops.finish();
    CHECK(sent == std::vector<int>{0, 1, 2, 3});
    CHECK(c.size() == 2);
}

TEST_CASE("shared::channel: a cancelled send sends nothing, a cancelled receive takes nothing") {
    loop_set loops(2);
    shared::channel<int> c;
    std::vector<int> sent;
    std::vector<int> got;
    auto first = loops.spawn_on(0, send_one(c, 1, sent));
    loops.turn(0);
    loops.on(0, [&] { first.cancel(); });
    loops.settle();
    CHECK_FALSE(c.try_receive().has_value());
    auto second = loops.spawn_on(1, receive_one(c, got));
    loops.turn(1);
    loops.on(1, [&] { second.cancel(); });
    loops.finish();
    CHECK_FALSE(c.try_send(2));
    CHECK(sent.empty());
    CHECK(got.empty());
}

TEST_CASE("shared::channel: cancelled while the news travels, sent and received it is") {
    loop_set loops(2);
    shared::channel<int> c;
    cancel_scope sender;
    cancel_scope receiver;
    bool sent = false;
    std::optional<int> got;
    auto send = [&]() -> task<> { sent = co_await sender.run(c.send(6)); };
    auto receive = [&]() -> task<> {
        const std::optional<std::optional<int>> ended = co_await receiver.run(c.receive());
        if (ended) got = *ended;
    };
    loops.spawn_on(0, send());
    loops.turn(0);
    CHECK(c.try_receive() == 6);
    loops.on(0, [&] { sender.cancel(); });
    loops.spawn_on(1, receive());
    loops.turn(1);
    CHECK(c.try_send(7));
    loops.on(1, [&] { receiver.cancel(); });
    loops.finish();
    CHECK(sent);
    CHECK(got == 7);
}

TEST_CASE("shared::channel: close refuses senders, and lets receivers drain and end") {
    loop_set loops(2);
    shared::channel<std::string> c(1);
    CHECK(c.try_send("kept"));
    std::error_code refused;
    auto send = [&]() -> task<> {
        const auto ended = co_await nothrow(c.send("waits"));
        refused = ended.error();
    };
    loops.spawn_on(0, send());
    loops.turn(0);
    c.close();
    CHECK(c.closed());
    loops.finish();
    CHECK(refused == errc::closed);
    CHECK_FALSE(c.try_send("late"));
    CHECK_THROWS_AS(c.send_blocking("late"), closed_error);
    CHECK_THROWS_AS((void)c.send_blocking("late", 1ms), closed_error);
    CHECK(c.receive_blocking() == "kept");
    CHECK_FALSE(c.receive_blocking().has_value());
    CHECK(c.receive_blocking(1ms).error() == errc::closed);
}

TEST_CASE("shared::channel: threads and tasks meet, with values that only move") {
    shared::channel<std::unique_ptr<int>> there;
    shared::channel<std::unique_ptr<int>> back;
    test::check_there_and_back(there, back, 2'000, [&] {
        while (auto value = there.receive_blocking()) back.send_blocking(*std::move(value));
    });
}

TEST_CASE("shared::channel: out of time nothing was sent or received, and the value is kept") {
    shared::channel<std::unique_ptr<int>> c;
    auto value = std::make_unique<int>(3);
    CHECK_FALSE(c.send_blocking(std::move(value), 1ms));
    CHECK_FALSE(c.try_send(std::move(value)));
    REQUIRE(value != nullptr);
    CHECK(c.receive_blocking(1ms).error() == errc::timed_out);
    lariat::run([](shared::channel<std::unique_ptr<int>>& empty) -> task<> {
        const auto late = co_await nothrow(timeout(1ms, empty.receive()));
        CHECK(late.error() == errc::timed_out);
    }(c));
}

TEST_CASE("shared::channel: blocking where a loop runs stops the program, as does a lost line") {
    CHECK(stops_with("right: co_await x.receive()", [] {
        lariat::run([]() -> task<> {
            shared::channel<int> c;
            (void)c.receive_blocking();
            co_return;
        }());
    }));
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<shared::channel<int>>(),
                                       [](shared::channel<int>& c) { return c.receive(); });
    }));
}

}  // namespace

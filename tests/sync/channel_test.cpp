#include <lariat/sync/channel.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> send_one(channel<int>& to, int item) {
    [[maybe_unused]] const int has_a_local = 0;
    co_await to.send(item);
}
task<> receive_into(channel<int>& from, std::vector<int>& got) {
    const std::optional<int> item = co_await from.receive();
    got.push_back(item.value_or(-1));
}

TEST_CASE_FIXTURE(test_loop, "channel: without capacity a send ends when its item is received") {
    channel<int> meeting;
    run([&]() -> task<> {
        auto sending = spawn(send_one(meeting, 1));
        co_await sleep(1ms);
        CHECK_FALSE(sending.done());
        CHECK(meeting.size() == 0);
        CHECK_FALSE(meeting.try_send(2));
        CHECK(meeting.try_receive() == 1);
        co_await sending;
        CHECK(meeting.try_receive() == std::nullopt);
        CHECK(meeting.stats().sent == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "channel: with capacity it holds so many items, in order") {
    channel<int> pipe(2);
    std::vector<int> got;
    run([&]() -> task<> {
        auto sending = spawn([&]() -> task<> {
            for (int i = 0; i < 5; ++i) co_await pipe.send(i);
            pipe.close();
        });
        co_await sleep(1ms);
        CHECK(pipe.size() == 2);
        while (auto item = co_await pipe.receive()) got.push_back(*item);
        co_await sending;
    });
    CHECK(got == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "channel: senders and receivers that wait are served in order") {
    channel<int> meeting;
    std::vector<int> got;
    run([&]() -> task<> {
        for (int i = 0; i < 3; ++i) spawn(send_one(meeting, i));
        co_await yield_now();
        for (int i = 0; i < 3; ++i) got.push_back(meeting.try_receive().value_or(-1));
        for (int i = 0; i < 3; ++i) spawn(receive_into(meeting, got));
        co_await yield_now();
        for (int i = 3; i < 6; ++i) CHECK(meeting.try_send(i));
        co_await yield_now();
    });
    CHECK(got == std::vector{0, 1, 2, 3, 4, 5});
}

TEST_CASE_FIXTURE(
    test_loop,
    "channel: a cancelled sender has sent nothing, a cancelled receiver has received nothing") {
    channel<std::unique_ptr<int>> meeting;
    run([&]() -> task<> {
        auto sending = meeting.send(std::make_unique<int>(3));
        CHECK_THROWS_AS(co_await timeout(1ms, sending), timeout_error);
        CHECK(*sending.item() == 3);
        CHECK_FALSE(meeting.try_receive().has_value());
        CHECK_THROWS_AS((void)co_await timeout(1ms, meeting.receive()), timeout_error);
        CHECK_FALSE(meeting.try_send(std::move(sending.item())));
        CHECK(sending.item() != nullptr);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "channel: what was handed over before the cancellation stands, on both sides") {
    channel<int> meeting;
    std::vector<int> got;
    run([&]() -> task<> {
        auto receiving = spawn(receive_into(meeting, got));
        co_await yield_now();
        CHECK(meeting.try_send(1));
        receiving.cancel();
        auto sending = spawn(send_one(meeting, 2));
        co_await yield_now();
        CHECK(meeting.try_receive() == 2);
        sending.cancel();
        const auto received = co_await settled(std::move(receiving));
        const auto sent = co_await settled(std::move(sending));
        CHECK(received.is_value());
        CHECK(sent.is_value());
    });
    CHECK(got == std::vector{1});
}

TEST_CASE_FIXTURE(test_loop,
                  "channel: close refuses senders and ends receivers once it is drained") {
    channel<int> pipe(1);
    std::vector<int> got;
    run([&]() -> task<> {
        CHECK(pipe.try_send(1));
        auto waiting = spawn(send_one(pipe, 2));
        co_await yield_now();
        pipe.close();
        pipe.close();
        CHECK_THROWS_AS(co_await waiting, closed_error);
        const auto refused = co_await nothrow(pipe.send(3));
        CHECK(refused.error() == errc::closed);
        CHECK_FALSE(pipe.try_send(4));
        while (auto item = co_await pipe.receive()) got.push_back(*item);

        channel<int> meeting;
        spawn(receive_into(meeting, got));
        co_await yield_now();
        meeting.close();
        co_await yield_now();
    });
    CHECK(got == std::vector{1, -1});
}

TEST_CASE_FIXTURE(test_loop, "channel: a woken receiver may send and receive again at once") {
    channel<int> there;
    channel<int> back;
    int last = 0;
    run([&]() -> task<> {
        auto answering = spawn([&]() -> task<> {
            while (auto item = co_await there.receive()) co_await back.send(*item + 1);
        });
        for (int i = 0; i < 1000; i += 2) {
            co_await there.send(i);
            const auto answer = co_await back.receive();
            last = *answer;
            CHECK(last == i + 1);
        }
        there.close();
        co_await answering;
    });
    CHECK(last == 999);
}

TEST_CASE("channel: one that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<channel<int>> meeting(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto waits = [&]() -> task<> { co_await meeting->send(1); };
            spawn(waits);
            co_await yield_now();
            meeting.reset();
        });
    }));
}

}  // namespace

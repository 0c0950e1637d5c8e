#include <lariat/task/wait_queue.hpp>

#include "death.hpp"
#include "parking.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::parking;
using lariat::test::stops_with;
using lariat::test::test_loop;

task<> wait_in(parking& place, int mark, std::vector<int>& order) {
    co_await place.park();
    order.push_back(mark);
}

TEST_CASE_FIXTURE(test_loop, "wait_queue: first come, first served") {
    parking place;
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) spawn(wait_in(place, i, order));
        co_await yield_now();
        while (place.wake_one()) co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "wait_queue: those who are woken together run in the line's order") {
    parking place;
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) spawn(wait_in(place, i, order));
        co_await yield_now();
        CHECK(place.wake_all() == 5);
        CHECK(order.empty());
        co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop,
                  "wait_queue: the line keeps its order when some leave, front and middle") {
    parking place;
    std::vector<int> order;
    run([&]() -> task<> {
        std::vector<join_handle<>> waiters;
        for (int i = 0; i < 6; ++i) waiters.push_back(spawn(wait_in(place, i, order)));
        co_await yield_now();
        for (const std::size_t leaver : {0U, 3U, 5U}) waiters[leaver].cancel();
        co_await yield_now();
        CHECK(place.wake_all() == 3);
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2, 4});
}

TEST_CASE_FIXTURE(test_loop, "wait_queue: a wake is not lost on one who was cancelled before it") {
    parking place;
    std::vector<int> order;
    run([&]() -> task<> {
        auto first = spawn(wait_in(place, 1, order));
        auto second = spawn(wait_in(place, 2, order));
        co_await yield_now();
        first.cancel();
        CHECK(place.wake_one());
        co_await yield_now();
        CHECK(second.done());
    });
    CHECK(order == std::vector{2});
}

TEST_CASE_FIXTURE(test_loop,
                  "wait_queue: one who was woken and then cancelled has what it waited for") {
    parking place;
    std::vector<int> order;
    run([&]() -> task<> {
        auto waiting = spawn(wait_in(place, 1, order));
        co_await yield_now();
        place.wake_one();
        waiting.cancel();
        auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_value());
    });
    CHECK(order == std::vector{1});
}

TEST_CASE_FIXTURE(test_loop, "wait_queue: waking an empty line does nothing") {
    parking place;
    CHECK_FALSE(place.wake_one());
    CHECK(place.wake_all() == 0);
    CHECK(place.empty());
}

TEST_CASE_FIXTURE(test_loop, "wait_queue: one who is woken may wait again behind the others") {
    parking place;
    std::vector<int> order;
    auto twice = [&]() -> task<> {
        co_await place.park();
        order.push_back(1);
        co_await place.park();
        order.push_back(3);
    };
    run([&]() -> task<> {
        auto again = spawn(twice);
        spawn(wait_in(place, 2, order));
        co_await yield_now();
        while (place.wake_one()) co_await yield_now();
        co_await again;
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("wait_queue: an object that dies under its waiters stops with the rule") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<parking> place(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto waits = [&]() -> task<> { co_await place->park(); };
            spawn(waits);
            co_await yield_now();
            place.reset();
        });
    }));
}

}  // namespace

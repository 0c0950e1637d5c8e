#include <lariat/sync/shared/semaphore.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "shared_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;
using lariat::test::stops_with;

static_assert(!std::is_copy_constructible_v<shared::semaphore>);
static_assert(sizeof(shared::semaphore) <= 32);

task<> take(shared::semaphore& s, std::vector<int>& order, int id) {
    co_await s.acquire();
    order.push_back(id);
}

TEST_CASE("shared::semaphore: so many are inside at once, over all loops and threads") {
    const leak_check leaks;
    constexpr int most = 3;
    shared::semaphore seats(most);
    std::atomic<int> inside{0};
    std::atomic<int> too_many{0};
    const auto visit = [&](int change) {
        if (inside.fetch_add(change) + change > most) too_many.fetch_add(1);
    };
    const auto guests = [&]() -> task<> {
        for (int i = 0; i < 300; ++i) {
            auto seat = co_await seats.scoped_acquire();
            visit(1);
            co_await yield_now();
            visit(-1);
        }
    };
    const auto loop_of_guests = [&] {
        auto several = [&]() -> task<> {
            auto first = spawn(guests());
            auto second = spawn(guests());
            co_await first;
            co_await second;
        };
        lariat::run(several());
    };
    {
        std::jthread one(loop_of_guests);
        std::jthread two(loop_of_guests);
        for (int i = 0; i < 300; ++i) {
            const auto seat = seats.scoped_acquire_blocking();
            visit(1);
            visit(-1);
        }
    }
    CHECK(too_many == 0);
    CHECK(inside == 0);
    CHECK(seats.available() == most);
}

TEST_CASE("shared::semaphore: released permits go to those in line, the rest to who comes") {
    loop_set loops(2);
    shared::semaphore s(0);
    std::vector<int> order;
    for (int id = 0; id < 3; ++id) {
        const auto which = static_cast<std::size_t>(id % 2);
        loops.spawn_on(which, take(s, order, id));
        loops.turn(which);
    }
    s.release(2);
    CHECK(s.available() == 0);
    CHECK_FALSE(s.try_acquire());
    loops.settle();
    CHECK(order.size() == 2);
    s.release(3);
    CHECK(s.available() == 2);
    loops.finish();
    CHECK(order.back() == 2);
    CHECK(s.try_acquire());
    s.acquire_blocking();
    CHECK_FALSE(s.acquire_blocking(0ns));
    CHECK_FALSE(static_cast<bool>(s.scoped_acquire_blocking(1ms)));
}

TEST_CASE("shared::semaphore: a newcomer does not overtake those in line") {
    loop_set loops(2);
    shared::semaphore s(0);
    std::vector<int> order;
    loops.spawn_on(0, take(s, order, 1));
    loops.turn(0);
    loops.on(1, [&] {
        s.release();
        CHECK_FALSE(s.try_acquire());
    });
    loops.spawn_on(1, take(s, order, 2));
    loops.turn(1);
    loops.turn(0);
    CHECK(order == std::vector<int>{1});
    s.release();
    loops.finish();
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE("shared::semaphore: a cancelled waiter leaves the line, and no permit is lost") {
    loop_set loops(2);
    shared::semaphore s(0);
    std::vector<int> order;
    auto cut = loops.spawn_on(0, take(s, order, 1));
    loops.turn(0);
    loops.spawn_on(1, take(s, order, 2));
    loops.turn(1);
    loops.on(0, [&] { cut.cancel(); });
    s.release();
    loops.finish();
    CHECK(order == std::vector<int>{2});
    s.release();
    CHECK(s.available() == 1);
}

TEST_CASE("shared::semaphore: cancelled while the permit travels, it is had and given back") {
    shared::semaphore s(0);
    const auto release = [&] {
        s.release();
        CHECK(s.available() == 0);
    };
    test::check_guard_on_its_way_is_had([&] { return s.scoped_acquire(); }, release);
    CHECK(s.available() == 1);
}

TEST_CASE("shared::semaphore: a timeout ends the wait, and nothing is taken") {
    const leak_check leaks;
    lariat::run([]() -> task<> {
        shared::semaphore s(0);
        const auto late = co_await nothrow(timeout(1ms, s.acquire()));
        CHECK(late.error() == errc::timed_out);
        s.release();
        CHECK(s.available() == 1);
    }());
}

TEST_CASE("shared::semaphore: one release of many wakes a loop that sleeps once") {
    shared::semaphore s(0);
    test::check_many_are_woken_at_once([&] { return s.acquire(); }, [&] { s.release(20); });
}

TEST_CASE("shared::semaphore: whoever was given the last permit may destroy it") {
    for (int round = 0; round < 2'000; ++round) {
        auto s = std::make_unique<shared::semaphore>(0);
        shared::semaphore& used = *s;
        std::jthread other([&s] {
            s->acquire_blocking();
            s.reset();
        });
        used.release();
    }
}

TEST_CASE("shared::semaphore: misuse stops the program with the rule") {
    CHECK(stops_with("right: co_await x.acquire()", [] {
        lariat::run([]() -> task<> {
            shared::semaphore s(1);
            s.acquire_blocking();
            co_return;
        }());
    }));
    CHECK(stops_with("a semaphore has at most 2^62 permits", [] {
        shared::semaphore s(std::size_t{1} << 62);
        s.release();
    }));
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<shared::semaphore>(0),
                                       [](shared::semaphore& s) { return s.acquire(); });
    }));
}

}  // namespace

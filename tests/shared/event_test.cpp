#include <lariat/sync/shared/event.hpp>

#include "death.hpp"
#include "loop_set.hpp"
#include "shared_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;
using lariat::test::stops_with;

static_assert(!std::is_copy_constructible_v<shared::event>);
static_assert(sizeof(shared::event) <= 24);

task<> pass(shared::event& e, std::vector<int>& order, int id) {
    co_await e.wait();
    order.push_back(id);
}

TEST_CASE("shared::event: set wakes the tasks of all loops and threads, each loop's in order") {
    const leak_check leaks;
    loop_set loops(2);
    shared::event e;
    std::vector<int> order;
    for (int id = 0; id < 6; ++id)
        loops.spawn_on(static_cast<std::size_t>(id % 2), pass(e, order, id));
    loops.settle();
    std::jthread other([&] { e.wait_blocking(); });
    CHECK(order.empty());
    e.set();
    CHECK(e.is_set());
    loops.turn(1);
    loops.turn(0);
    CHECK(order == std::vector<int>{1, 3, 5, 0, 2, 4});
    other.join();
}

TEST_CASE("shared::event: while it is set nobody waits, once cleared all do") {
    loop_set loops(1);
    shared::event e;
    std::vector<int> order;
    CHECK_FALSE(e.wait_blocking(1ms));
    e.set();
    e.set();
    e.wait_blocking();
    CHECK(e.wait_blocking(0ms));
    auto body = [&]() -> task<> {
        const std::uint64_t legs = loop::current().stats().legs;
        co_await e.wait();
        CHECK(loop::current().stats().legs == legs);
    };
    loops.spawn_on(0, body());
    loops.finish();
    e.clear();
    CHECK_FALSE(e.is_set());
    loops.spawn_on(0, pass(e, order, 1));
    loops.settle();
    CHECK(order.empty());
    e.set();
    loops.finish();
    CHECK(order == std::vector<int>{1});
}

TEST_CASE("shared::event: set and cleared at once, those who waited pass all the same") {
    loop_set loops(1);
    shared::event e;
    std::vector<int> order;
    loops.spawn_on(0, pass(e, order, 1));
    loops.turn(0);
    e.set();
    e.clear();
    loops.finish();
    CHECK(order == std::vector<int>{1});
}

TEST_CASE("shared::event: a woken task that waits again waits for the next set") {
    loop_set loops(1);
    shared::event e;
    int passed = 0;
    auto body = [&]() -> task<> {
        for (; passed < 2; ++passed) {
            co_await e.wait();
            e.clear();
        }
    };
    loops.spawn_on(0, body());
    loops.turn(0);
    e.set();
    loops.settle();
    CHECK(passed == 1);
    e.set();
    loops.finish();
    CHECK(passed == 2);
}

TEST_CASE("shared::event: a cancelled waiter leaves; one that was woken before passes") {
    loop_set loops(1);
    shared::event e;
    cancel_scope early;
    cancel_scope late;
    bool early_passed = false;
    bool late_passed = false;
    auto wait_in = [&e](cancel_scope& scope, bool& passed) -> task<> {
        passed = co_await scope.run(e.wait());
    };
    loops.spawn_on(0, wait_in(early, early_passed));
    loops.spawn_on(0, wait_in(late, late_passed));
    loops.turn(0);
    loops.on(0, [&] { early.cancel(); });
    e.set();
    loops.on(0, [&] { late.cancel(); });
    loops.finish();
    CHECK_FALSE(early_passed);
    CHECK(late_passed);
}

TEST_CASE("shared::event: a timeout ends the wait") {
    const leak_check leaks;
    lariat::run([]() -> task<> {
        shared::event never;
        const auto late = co_await nothrow(timeout(1ms, never.wait()));
        CHECK(late.error() == errc::timed_out);
    }());
}

TEST_CASE("shared::event: whoever has waited for it may destroy it") {
    for (int round = 0; round < 2'000; ++round) {
        auto e = std::make_unique<shared::event>();
        std::jthread other([used = e.get()] { used->set(); });
        e->wait_blocking();
        e.reset();
    }
    auto body = []() -> task<> {
        for (int round = 0; round < 500; ++round) {
            auto e = std::make_unique<shared::event>();
            std::jthread other([used = e.get()] { used->set(); });
            co_await e->wait();
            e.reset();
        }
    };
    lariat::run(body());
}

TEST_CASE("shared::event: set once for many tasks wakes a loop that sleeps once") {
    shared::event e;
    test::check_many_are_woken_at_once([&] { return e.wait(); }, [&] { e.set(); });
}

TEST_CASE("shared::event: misuse stops the program with the rule") {
    CHECK(stops_with("right: co_await x.wait()", [] {
        lariat::run([]() -> task<> {
            shared::event e;
            e.wait_blocking();
            co_return;
        }());
    }));
    CHECK(stops_with("an object must outlive the tasks and threads that wait for it", [] {
        test::destroy_while_waited_for(std::make_unique<shared::event>(),
                                       [](shared::event& e) { return e.wait(); });
    }));
}

/// The idiom of every event: who is told clears it, then looks what there is.
TEST_CASE("shared::event: cleared, then looked: what was done before a set is seen") {
    const long rounds = std::getenv("LARIAT_TEST_LONG") != nullptr ? 1'000'000 : 20'000;
    shared::event ready;
    std::atomic<bool> pending{false};
    std::atomic<long> eaten{0};
    std::atomic<bool> stop{false};
    std::jthread consumer([&] {
        while (!stop.load()) {
            ready.wait_blocking();
            ready.clear();
            if (pending.exchange(false)) eaten.fetch_add(1);
        }
    });
    std::mt19937 random(1);
    bool lost = false;
    for (long round = 1; round <= rounds && !lost; ++round) {
        ready.set();  // an earlier one, on its way while the next comes
        for (unsigned spins = random() % 128; spins != 0; --spins)
            std::atomic_signal_fence(std::memory_order_seq_cst);
        pending.store(true, std::memory_order_release);
        ready.set();
        const time_point latest = clock::now() + 20s;
        while (eaten.load(std::memory_order_relaxed) != round && !lost)
            lost = clock::now() > latest;
    }
    CHECK_FALSE(lost);
    stop = true;
    ready.set();
}

}  // namespace

#include <lariat/loop/call.hpp>

#include "death.hpp"
#include "leak_check.hpp"
#include "test_loop.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::stops_with;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "call: call_soon calls in the order of asking, not inside the call") {
    std::vector<int> order;
    run([&]() -> task<> {
        for (int i = 0; i < 5; ++i) loop().call_soon([&order, i] { order.push_back(i); });
        CHECK(order.empty());
        co_await yield_now();
    });
    CHECK(order == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop, "call: calls and tasks share one queue, first come, first served") {
    std::vector<int> order;
    auto body = [&](int mark) -> task<> {
        order.push_back(mark);
        co_return;
    };
    run([&]() -> task<> {
        spawn(body, 1);
        loop().call_soon([&] { order.push_back(2); });
        spawn(body, 3);
        loop().call_soon([&] { order.push_back(4); });
        co_await yield_now();
    });
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE_FIXTURE(test_loop,
                  "call: call_later and call_at come by deadline, equals in order of asking") {
    std::vector<int> order;
    run([&]() -> task<> {
        auto note = [&order](int mark) { return [&order, mark] { order.push_back(mark); }; };
        loop().call_later(3ms, note(5));
        loop().call_later(1ms, note(1));
        loop().call_at(now() + 2ms, note(3));
        loop().call_later(2ms, note(4));
        loop().call_at(now() + 1ms, note(2));
        co_await sleep(3ms);
    });
    CHECK(order == std::vector{1, 2, 3, 4, 5});
}

TEST_CASE_FIXTURE(test_loop, "call: at the very time, and never before") {
    duration called_after{};
    run([&]() -> task<> {
        loop().call_later(1234567ns, [&] { called_after = elapsed(); });
        co_await sleep(1s);
    });
    CHECK(called_after == 1234567ns);
}

TEST_CASE_FIXTURE(test_loop, "call: at a time that has passed it comes at the next turn") {
    bool called = false;
    run([&]() -> task<> {
        loop().call_at(now() - 1h, [&] { called = true; });
        CHECK_FALSE(called);
        co_await sleep(1ns);
    });
    CHECK(called);
    CHECK(elapsed() == 1ns);
}

TEST_CASE_FIXTURE(test_loop, "call: cancelled while it is still to come, it never comes") {
    int calls = 0;
    run([&]() -> task<> {
        auto soon = loop().call_soon([&] { ++calls; });
        auto later = loop().call_later(1ms, [&] { ++calls; });
        CHECK(soon.pending());
        CHECK(later.pending());
        CHECK(soon.cancel());
        CHECK(later.cancel());
        CHECK_FALSE(soon.pending());
        CHECK_FALSE(later.pending());
        CHECK_FALSE(soon.cancel());
        CHECK_FALSE(later.cancel());
        co_await sleep(2ms);
    });
    CHECK(calls == 0);
}

TEST_CASE_FIXTURE(test_loop, "call: cancelled when due but not called yet, it never comes") {
    int calls = 0;
    run([&]() -> task<> {
        call_handle second;
        auto first = loop().call_later(1ms, [&] { CHECK(second.cancel()); });
        second = loop().call_later(1ms, [&] { ++calls; });
        co_await sleep(2ms);
        CHECK_FALSE(first.pending());
        CHECK_FALSE(second.pending());
    });
    CHECK(calls == 0);
}

TEST_CASE_FIXTURE(test_loop, "call: cancelled from inside itself or afterwards is too late") {
    run([&]() -> task<> {
        call_handle self;
        bool inside = true;
        self = loop().call_soon([&] { inside = self.cancel(); });
        co_await yield_now();
        CHECK_FALSE(inside);
        CHECK_FALSE(self.cancel());
        CHECK_FALSE(self.pending());
    });
    CHECK_FALSE(call_handle().cancel());
    CHECK_FALSE(call_handle().pending());
}

TEST_CASE_FIXTURE(test_loop, "call: a dropped handle leaves it standing") {
    int calls = 0;
    run([&]() -> task<> {
        {
            const auto dropped = loop().call_later(1ms, [&] { ++calls; });
        }
        co_await sleep(2ms);
    });
    CHECK(calls == 1);
}

TEST_CASE_FIXTURE(test_loop, "call: the function is freed when it was called, or cancelled") {
    auto alive = std::make_shared<int>(1);
    run([&]() -> task<> {
        auto called = loop().call_soon([held = alive] {});
        auto cancelled_soon = loop().call_soon([held = alive] {});
        auto cancelled_later = loop().call_later(1ms, [held = alive] {});
        CHECK(alive.use_count() == 4);
        cancelled_soon.cancel();
        cancelled_later.cancel();
        CHECK(alive.use_count() == 2);
        co_await yield_now();
        CHECK(alive.use_count() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "call: a function that owns its own handle may be cancelled") {
    run([&]() -> task<> {
        auto self = std::make_shared<call_handle>();
        *self = loop().call_later(1ms, [self] {});
        auto* handle = self.get();
        self.reset();
        CHECK(handle->cancel());
        co_await sleep(2ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "call: what it throws goes to the report hook and ends the run") {
    CHECK_THROWS_WITH_AS(run([&]() -> task<> {
                             loop().call_soon([] { throw std::runtime_error("broken"); });
                             co_await sleep(1h);
                         }),
                         "broken", std::runtime_error);
    CHECK(reports == std::vector<std::string>{"a call: broken"});
    CHECK(elapsed() == 0ns);
}

TEST_CASE_FIXTURE(test_loop, "call: may ask for others, which come in their turn") {
    std::vector<int> order;
    run([&]() -> task<> {
        loop().call_soon([&] {
            order.push_back(1);
            loop().call_soon([&] { order.push_back(3); });
        });
        loop().call_soon([&] { order.push_back(2); });
        co_await sleep(1ns);
    });
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE_FIXTURE(leak_check,
                  "call: what was asked for before the main task ended is still called") {
    int calls = 0;
    auto body = [&]() -> task<> {
        for (int i = 0; i < 1000; ++i) loop::current().call_soon([&] { ++calls; });
        co_return;
    };
    lariat::run(body());
    CHECK(calls == 1000);
}

TEST_CASE_FIXTURE(leak_check,
                  "call: one that asks for itself for ever does not keep a run from ending") {
    auto alive = std::make_shared<int>(0);
    {
        loop own;
        std::function<void()> again = [&own, &again, alive] {
            ++*alive;
            own.call_soon(again);
        };
        auto body = [&]() -> task<> {
            own.call_soon(again);
            co_await sleep(1ms);
        };
        own.run(body());
        CHECK(*alive > 0);
        own.close();
        again = nullptr;
        CHECK(alive.use_count() == 1);
    }
}

TEST_CASE_FIXTURE(leak_check, "call: what the last calls spawn ends with the run, unbegun") {
    int begun = 0;
    loop own;
    auto late = [&](std::shared_ptr<int> held) -> task<> {
        ++begun;
        co_await yield_now();
        ++*held;
    };
    const auto alive = std::make_shared<int>(0);
    auto asks = [&]() -> task<> {
        for (int i = 0; i < 200; ++i) own.call_soon([] {});  // more than a turn runs
        for (int i = 0; i < 100; ++i) own.call_soon([&] { (void)spawn(late(alive)); });
        co_return;
    };
    own.run(asks());
    CHECK(own.stats().tasks == 0);
    CHECK(alive.use_count() == 1);
    CHECK(begun == 0);
}

TEST_CASE_FIXTURE(leak_check,
                  "call: that spawns and asks for itself for ever does not keep a run") {
    loop own;
    int calls = 0;
    std::function<void()> again = [&] {
        ++calls;
        (void)spawn([]() -> task<> { co_return; }());
        own.call_soon(again);
    };
    auto body = [&]() -> task<> {
        own.call_soon(again);
        co_await yield_now();
    };
    own.run(body());
    CHECK(calls > 0);
    CHECK(own.stats().tasks == 0);
}

TEST_CASE_FIXTURE(leak_check, "call: one that is not due when the run ends comes in the next one") {
    run_options options;
    options.driver.backend = backend::sim;
    loop own(options);
    int calls = 0;
    auto asks = [&]() -> task<> {
        own.call_later(2s, [&] { ++calls; });
        co_await sleep(1s);
    };
    own.run(asks());
    CHECK(calls == 0);
    CHECK(own.stats().timers == 1);
    auto waits = []() -> task<> { co_await sleep(1s); };
    own.run(waits());
    CHECK(calls == 1);
}

TEST_CASE_FIXTURE(leak_check,
                  "call: one that is not due when the loop closes is dropped and freed") {
    auto alive = std::make_shared<int>(0);
    call_handle kept;
    {
        loop own;
        auto asks = [&]() -> task<> {
            kept = own.call_later(1h, [held = alive] { ++*held; });
            own.call_at(forever, [held = alive] { ++*held; });
            co_return;
        };
        own.run(asks());
        CHECK(alive.use_count() == 3);
    }
    CHECK(alive.use_count() == 1);
    CHECK(*alive == 0);
    CHECK_FALSE(kept.pending());
    CHECK_FALSE(kept.cancel());
}

/// Cannot be moved into a call.
struct unmovable {
    unmovable() = default;
    unmovable(const unmovable&) { throw std::runtime_error("will not move"); }
    void operator()() const {}
};

TEST_CASE_FIXTURE(leak_check,
                  "call: what one owned may spawn when it is dropped: it never begins") {
    struct spawns_at_end {
        explicit spawns_at_end(std::shared_ptr<int> of) : held(std::move(of)) {}
        spawns_at_end(spawns_at_end&& other) noexcept = default;
        spawns_at_end(const spawns_at_end&) = delete;
        ~spawns_at_end() {
            if (held) (void)spawn(count(held));
        }
        static task<> count(std::shared_ptr<int> held) {
            ++*held;
            co_await yield_now();
        }
        std::shared_ptr<int> held;
    };
    const auto alive = std::make_shared<int>(0);
    {
        loop own;
        auto asks = [&]() -> task<> {
            own.call_later(1h, [one = spawns_at_end(alive)] {});
            co_return;
        };
        own.run(asks());
    }
    CHECK(alive.use_count() == 1);
    CHECK(*alive == 0);
}

TEST_CASE_FIXTURE(test_loop, "call: a function that cannot be moved into the call leaves nothing") {
    run([&]() -> task<> {
        const unmovable call;
        const std::size_t before = live_frames();
        CHECK_THROWS_WITH_AS(loop().call_soon(call), "will not move", std::runtime_error);
        CHECK(live_frames() == before);
        co_await yield_now();
    });
}

TEST_CASE("call: outside of a running loop it stops with the right way to do it") {
    CHECK(stops_with("call_soon needs a running loop on this thread", [] {
        loop own;
        own.call_soon([] {});
    }));
}

TEST_CASE("call: asked of another loop than the running one it stops with the right way to do it") {
    const auto asks_another = [](auto ask) {
        return [ask] {
            loop other;
            auto body = [&]() -> task<> {
                ask(other);
                co_return;
            };
            lariat::run(body());
        };
    };
    const char* const rule = "another one is asked by its post(fn)";
    CHECK(stops_with(rule, asks_another([](loop& other) { other.call_soon([] {}); })));
    CHECK(stops_with(rule, asks_another([](loop& other) { other.call_later(1s, [] {}); })));
}

}  // namespace

#include <lariat/loop/call_on.hpp>

#include "loop_set.hpp"

#include <lariat/loop/loop_ref.hpp>
#include <lariat/sync/shared/event.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::loop_set;

/// A loop in a thread of its own, until this goes.
class other_loop {
 public:
    other_loop() {
        std::promise<loop*> started;
        auto running = started.get_future();
        thread_ = std::jthread([this, said = std::move(started)]() mutable {
            loop own;
            own.run([](loop& self, std::promise<loop*>& tell, shared::event& end) -> task<> {
                tell.set_value(&self);
                co_await end.wait();
            }(own, said, end_));
        });
        loop_ = running.get();
    }
    ~other_loop() { end_.set(); }

    [[nodiscard]] loop& get() const noexcept { return *loop_; }
    [[nodiscard]] std::thread::id thread() const noexcept { return thread_.get_id(); }
    void end_run() noexcept { end_.set(); }

 private:
    shared::event end_;
    loop* loop_ = nullptr;
    std::jthread thread_;
};

task<int> double_later(int value) {
    co_await yield_now();
    co_return 2 * value;
}

/// Calls it in a scope, and notes the error.
template <class Fn>
task<> call_in(cancel_scope& scope, loop& there, Fn& fn, std::error_code& ended) {
    auto inner = [&]() -> task<> {
        const auto got = co_await nothrow(call_on(there, fn));
        ended = got.error();
    };
    co_await scope.run(inner());
}

TEST_CASE("call_on: a function runs on the other loop's thread and its result comes back") {
    const leak_check leaks;
    other_loop other;
    lariat::run([](other_loop& there) -> task<> {
        const auto home = std::this_thread::get_id();
        auto where = [] { return std::this_thread::get_id(); };
        const auto ran = co_await call_on(there.get(), where);
        CHECK(ran == there.thread());
        CHECK(std::this_thread::get_id() == home);
        auto owned = [] { return std::make_unique<std::string>("moved"); };
        const auto text = co_await call_on(there.get(), owned);
        CHECK(*text == "moved");
        int target = 0;
        auto refer = [&target]() -> int& { return target; };
        int& same = co_await call_on(there.get(), refer);
        CHECK(&same == &target);
        auto nothing = [&target] { target = 5; };
        co_await call_on(loop_ref(there.get()), nothing);
        CHECK(target == 5);
    }(other));
}

TEST_CASE("call_on: a task runs as one there, across its waits") {
    const leak_check leaks;
    other_loop other;
    lariat::run([](other_loop& there) -> task<> {
        int seed = 20;
        auto doubled = [&seed]() -> task<int> { return double_later(seed); };
        const int got = co_await call_on(there.get(), doubled);
        CHECK(got == 40);
        shared::event begun;
        shared::event opened;
        auto waits = [&]() -> task<bool> {
            begun.set();
            co_await opened.wait();
            co_return std::this_thread::get_id() == there.thread();
        };
        auto calls = [&]() -> task<bool> {
            const bool stayed = co_await call_on(there.get(), waits);
            co_return stayed;
        };
        auto calling = spawn(calls);
        co_await begun.wait();
        CHECK_FALSE(calling.done());
        opened.set();
        const bool stayed = co_await calling;
        CHECK(stayed);
        auto refers = [&seed]() -> task<int&> {
            co_await yield_now();
            co_return seed;
        };
        int& same = co_await call_on(there.get(), refers);
        CHECK(&same == &seed);
    }(other));
}

TEST_CASE("call_on: what it throws is thrown here, and is nobody's failure there") {
    const leak_check leaks;
    other_loop other;
    lariat::run([](other_loop& there) -> task<> {
        std::string said;
        auto fails = []() -> int { throw std::runtime_error("plain"); };
        try {
            co_await call_on(there.get(), fails);
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "plain");
        auto fails_later = []() -> task<> {
            co_await yield_now();
            throw std::runtime_error("task");
        };
        try {
            co_await call_on(there.get(), fails_later);
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "task");
        auto alive = [] { return 1; };
        const auto still = co_await nothrow(call_on(there.get(), alive));
        CHECK(*still == 1);
    }(other));
}

TEST_CASE("call_on: the own loop can be called as well") {
    loop_set loops(1);
    int got = 0;
    auto body = [&]() -> task<> {
        auto plain = [] { return 1; };
        got += co_await call_on(loop::current(), plain);
        auto as_task = [] { return double_later(5); };
        got += co_await call_on(loop::current(), as_task);
    };
    loops.spawn_on(0, body());
    loops.finish();
    CHECK(got == 11);
}

TEST_CASE("call_on: calls of one loop to another begin in their order") {
    loop_set loops(2);
    std::vector<int> order;
    auto body = [&](int id) -> task<> {
        auto note = [&order, id] { order.push_back(id); };
        co_await call_on(loops[1], note);
    };
    for (int id = 0; id < 10; ++id) loops.spawn_on(0, body(id));
    loops.finish();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("call_on: cancelling the caller cancels the task there, and waits for its end") {
    loop_set loops(2);
    std::vector<std::string> order;
    cancel_scope scope;
    auto there = [&]() -> task<> {
        shared::event never;
        try {
            co_await never.wait();
        } catch (const cancelled&) {
            order.emplace_back("cut there");
        }
        co_await shield(yield_now());
        order.emplace_back("ended there");
        co_await yield_now();
    };
    auto body = [&]() -> task<> {
        const bool ended = co_await scope.run(call_on(loops[1], there));
        order.emplace_back(ended ? "ended here" : "cut here");
    };
    loops.spawn_on(0, body());
    loops.settle();
    loops.on(0, [&] { scope.cancel(); });
    loops.turn(0);
    CHECK(order.empty());
    loops.finish();
    CHECK(order == std::vector<std::string>{"cut there", "ended there", "cut here"});
}

TEST_CASE("call_on: cancelled before the other loop has heard of it, nothing runs there") {
    const auto never_runs = [](auto make) {
        loop_set loops(2);
        bool ran = false;
        bool cut = false;
        cancel_scope scope;
        auto there = make(ran);
        auto body = [&]() -> task<> { cut = !co_await scope.run(call_on(loops[1], there)); };
        loops.spawn_on(0, body());
        loops.turn(0);
        loops.on(0, [&] { scope.cancel(); });
        loops.turn(0);
        CHECK_FALSE(cut);
        loops.finish();
        CHECK(cut);
        CHECK_FALSE(ran);
    };
    SUBCASE("a task") {
        never_runs([](bool& ran) {
            return [&ran]() -> task<> {
                ran = true;
                co_return;
            };
        });
    }
    SUBCASE("a function") {
        never_runs([](bool& ran) { return [&ran] { ran = true; }; });
    }
}

TEST_CASE("call_on: a result that came before the cut is delivered; the cut waits") {
    loop_set loops(2);
    std::optional<int> got;
    bool passed = false;
    cancel_scope scope;
    auto body = [&]() -> task<> {
        auto inner = [&]() -> task<> {
            auto three = [] { return 3; };
            got = co_await call_on(loops[1], three);
            co_await yield_now();
            passed = true;
        };
        co_await scope.run(inner());
    };
    loops.spawn_on(0, body());
    loops.turn(0);
    loops.turn(1);
    loops.on(0, [&] { scope.cancel(); });
    loops.finish();
    CHECK(got == 3);
    CHECK_FALSE(passed);
}

TEST_CASE("call_on: cut and answer cross on the way, in every order of the two loops' turns") {
    for (int order = 0; order < 64; ++order) {
        loop_set loops(2);
        int ended = 0;
        cancel_scope scope;
        auto there = []() -> task<int> {
            co_await yield_now();
            co_await yield_now();
            co_return 1;
        };
        auto body = [&]() -> task<> {
            const std::optional<int> got = co_await scope.run(call_on(loops[1], there));
            ended += got.has_value() ? *got : 2;
        };
        loops.spawn_on(0, body());
        loops.turn(0);
        for (int step = 0; step < 6; ++step) {
            if (step == order % 6) loops.on(0, [&] { scope.cancel(); });
            loops.turn(static_cast<std::size_t>(order >> step & 1));
        }
        loops.finish();
        CHECK((ended == 1 || ended == 2));
    }
}

TEST_CASE("call_on: a loop that has closed is refused at once") {
    loop_set loops(2);
    const loop_ref gone(loops[1]);
    loops.end_run(1);
    loops.close(1);
    CHECK_FALSE(gone.post([] {}));
    bool closed = false;
    auto body = [&]() -> task<> {
        auto one = [] { return 1; };
        try {
            co_await call_on(gone, one);
        } catch (const closed_error& error) {
            closed = std::string(error.what()).find("call_on") != std::string::npos;
        }
        const auto again = co_await nothrow(call_on(gone, one));
        CHECK(again.error() == errc::closed);
    };
    loops.spawn_on(0, body());
    loops.finish();
    CHECK(closed);
}

TEST_CASE("call_on: a run that ends cancels the task there, and the caller learns why") {
    loop_set loops(2);
    bool cleaned = false;
    std::error_code ended;
    auto there = [&]() -> task<> {
        shared::event never;
        try {
            co_await never.wait();
        } catch (const cancelled&) {
            cleaned = true;
            throw;
        }
    };
    auto body = [&]() -> task<> {
        const auto got = co_await nothrow(call_on(loops[1], there));
        ended = got.error();
    };
    loops.spawn_on(0, body());
    loops.settle();
    loops.end_run(1);
    loops.close(1);
    loops.finish();
    CHECK(cleaned);
    CHECK(ended == errc::closed);
}

TEST_CASE("call_on: a loop that closes before it heard of the call drops it, with its cut") {
    for (const bool cut_too : {false, true}) {
        loop_set loops(2);
        loops.end_run(1);
        bool ran = false;
        std::error_code ended;
        cancel_scope scope;
        auto there = [&ran] { ran = true; };
        loops.spawn_on(0, call_in(scope, loops[1], there, ended));
        loops.turn(0);
        if (cut_too) loops.on(0, [&] { scope.cancel(); });
        loops.close(1);
        loops.finish();
        CHECK_FALSE(ran);
        CHECK(ended == errc::closed);
    }
}

TEST_CASE("call_on: a call in flight is cut after its loop has closed, without harm") {
    loop_set loops(2);
    loops.end_run(1);
    std::error_code ended;
    cancel_scope scope;
    auto there = [] {};
    loops.spawn_on(0, call_in(scope, loops[1], there, ended));
    loops.turn(0);
    loops.close(1);
    loops.on(0, [&] { scope.cancel(); });
    loops.finish();
    CHECK(ended == errc::closed);
}

TEST_CASE("call_on: a timeout cancels the task there") {
    const leak_check leaks;
    other_loop other;
    lariat::run([](other_loop& there) -> task<> {
        auto endless = []() -> task<> {
            shared::event never;
            co_await never.wait();
        };
        const auto late = co_await nothrow(timeout(1ms, call_on(there.get(), endless)));
        CHECK(late.error() == errc::timed_out);
    }(other));
}

TEST_CASE("call_on: two loops call each other, with cancellations, and nothing is lost") {
    const leak_check leaks;
    other_loop other;
    auto body = [&]() -> task<> {
        loop& here = loop::current();
        int ended = 0;
        int cut = 0;
        for (int round = 0; round < 2'000; ++round) {
            auto there_and_back = [&here, round]() -> task<int> {
                auto value = [round] { return round; };
                const int got = co_await call_on(here, value);
                co_await yield_now();
                co_return got;
            };
            cancel_scope scope;
            auto cut_soon = [&]() -> task<> {
                for (int i = 0; i < round % 7; ++i) co_await yield_now();
                if (round % 3 != 0) scope.cancel();
            };
            auto cutter = spawn(cut_soon());
            const std::optional<int> got = co_await scope.run(call_on(other.get(), there_and_back));
            co_await cutter;
            if (got) {
                if (*got == round) ++ended;
            } else {
                ++cut;
            }
        }
        CHECK(ended + cut == 2'000);
        CHECK(ended >= 666);
    };
    lariat::run(body());
}

}  // namespace

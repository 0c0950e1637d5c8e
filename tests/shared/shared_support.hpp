#pragma once

#include "leak_check.hpp"
#include "loop_set.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/sync/shared/channel.hpp>
#include <lariat/sync/shared/queue.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

/// What several of the shared primitives do alike; `verb` gives one of theirs, to be awaited.
namespace lariat::test {

template <class Verb>
task<> do_and_count(Verb verb, int& done) {
    (void)co_await verb();
    ++done;
}

/// Many tasks wait on a loop that sleeps: `let_go`, which lets all of them go on, wakes it once.
template <class Verb, class LetGo>
void check_many_are_woken_at_once(Verb verb, LetGo let_go) {
    loop_set loops(1);
    int passed = 0;
    for (int i = 0; i < 20; ++i) loops.spawn_on(0, do_and_count(verb, passed));
    loops.settle();
    const std::uint64_t before = loops.box(0).wakes();
    REQUIRE(loops.box(0).sleep());
    let_go();
    loops.box(0).awake();
    CHECK(loops.box(0).wakes() == before + 1);
    loops.finish();
    CHECK(passed == 20);
}

/// Cancelled after `let_go`, while the news travels: the guard is had, and the cut comes after it.
template <class Verb, class LetGo>
void check_guard_on_its_way_is_had(Verb verb, LetGo let_go) {
    loop_set loops(2);
    cancel_scope scope;
    bool had = false;
    bool cut_after = false;
    auto body = [&]() -> task<> {
        auto inner = [&]() -> task<> {
            auto guard = co_await verb();
            had = static_cast<bool>(guard);
            co_await yield_now();
        };
        cut_after = !co_await scope.run(inner());
    };
    loops.spawn_on(0, body());
    loops.turn(0);
    let_go();
    loops.on(0, [&] { scope.cancel(); });
    CHECK_FALSE(had);
    loops.finish();
    CHECK(had);
    CHECK(cut_after);
}

/// For a child process, which it stops: `lost` goes while a task waits in it.
template <class Primitive, class Verb>
void destroy_while_waited_for(std::unique_ptr<Primitive> lost, Verb verb) {
    loop_set loops(1);
    auto waits = [&]() -> task<> { (void)co_await verb(*lost); };
    loops.spawn_on(0, waits());
    loops.turn(0);
    lost.reset();
}

// Queue or channel: the verbs that both have, by one name.
template <class T>
auto give(shared::queue<T>& to, T item) {
    return to.put(std::move(item));
}
template <class T>
auto give(shared::channel<T>& to, T item) {
    return to.send(std::move(item));
}
template <class T>
auto take(shared::queue<T>& from) {
    return from.get();
}
template <class T>
auto take(shared::channel<T>& from) {
    return from.receive();
}

/// Things that only move go to a thread, and come back: all of them, in order. `echo` gives what it
/// takes from the one to the other, until that is closed.
template <class Line, class Echo>
void check_there_and_back(Line& there, Line& back, int count, Echo echo) {
    const leak_check leaks;
    std::jthread other([&] {
        echo();
        back.close();
    });
    auto body = [&]() -> task<> {
        auto send = [&]() -> task<> {
            for (int i = 0; i < count; ++i) co_await give(there, std::make_unique<int>(i));
            there.close();
        };
        auto sender = spawn(send());
        int next = 0;
        while (auto item = co_await take(back)) {
            if (**item == next) ++next;
        }
        CHECK(next == count);
        co_await sender;
    };
    lariat::run(body());
}

}  // namespace lariat::test

// What is asked of a futex: a driver waits for it, or says at once that it does not.
#include "world.hpp"

#include "death.hpp"
#include "shared_words.hpp"

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <deque>
#include <stop_token>
#include <thread>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace driver_test;
using lariat::test::shared_words;

namespace {

/// How many it woke.
long wake(const shared_words::word& word, int count) {
    return ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

void wake_for_sure(const shared_words::word& word) {
    while (wake(word, 1) != 1) std::this_thread::yield();
}

recorded waiting_for(shared_words::word& word, std::uint32_t expected) {
    recorded made(op_code::futex_wait, -1);
    made.address = &word;
    made.argument = expected;
    return made;
}

bool waits_for_futexes(const world& w) {
    const auto bit = static_cast<std::uint32_t>(lariat::uring_feature::futex);
    return w.options().backend == lariat::backend::uring && (w.options().uring_features & bit) != 0;
}

/// True if it waits now; else it was refused by submit itself, and nothing else is allowed.
bool begins(world& w, recorded& asked) {
    const std::uint64_t before = w.drive().stats().in_flight;
    const bool at_once = w.start(asked);
    CHECK(w.drive().stats().in_flight == before + (at_once ? 0 : 1));
    if (!at_once) w.settle();
    if (at_once) CHECK(asked.result() == -EOPNOTSUPP);
    // A kernel that lacks it says so as well, where the mask would let it.
    if (!waits_for_futexes(w)) CHECK(at_once);
    return !at_once;
}

}  // namespace

LARIAT_CONTRACT_TEST("a futex is waited for until another thread wakes it, or that is refused") {
    shared_words words;
    recorded waiting = waiting_for(words[0], 0);
    if (!begins(w, waiting)) return;
    CHECK_FALSE(waiting.ended());
    const std::jthread waker([&] {
        words[0].store(1);
        wake_for_sure(words[0]);
    });
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == 0);
    CHECK(waiting.seen.size() == 1);
    CHECK(wake(words[0], INT_MAX) == 0);
}

LARIAT_CONTRACT_TEST("a futex is waited for until another process wakes it, or that is refused") {
    shared_words words;
    recorded waiting = waiting_for(words[3], 7);
    words[3].store(7);
    if (!begins(w, waiting)) return;
    const auto child = lariat::test::run_in_child([&] {
        words[3].store(8);
        wake_for_sure(words[3]);
    });
    CHECK(child.exit_code == 0);
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == 0);
}

LARIAT_CONTRACT_TEST("a futex with another value is EAGAIN, or that is refused") {
    shared_words words;
    words[0].store(2);
    recorded waiting = waiting_for(words[0], 1);
    if (!begins(w, waiting)) return;
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == -EAGAIN);
    CHECK(waiting.seen.size() == 1);
}

LARIAT_CONTRACT_TEST("a wake ends one wait for a futex, whichever, and leaves the others") {
    shared_words words;
    std::deque<recorded> waits;
    for (int i = 0; i < 3; ++i) {
        waits.push_back(waiting_for(words[0], 0));
        if (!begins(w, waits.back())) return;
    }
    const auto ended = [&waits] {
        std::size_t count = 0;
        for (const recorded& each : waits) count += each.ended() ? 1 : 0;
        return count;
    };
    for (std::size_t woken = 1; woken <= 3; ++woken) {
        CHECK(wake(words[0], 1) == 1);
        REQUIRE(w.run_until([&] { return ended() == woken; }));
        w.settle();
        CHECK(ended() == woken);
        CHECK(w.drive().stats().in_flight == 3 - woken);
    }
}

LARIAT_CONTRACT_TEST("a cancelled wait for a futex takes no wake") {
    shared_words words;
    recorded first = waiting_for(words[0], 0);
    recorded second = waiting_for(words[0], 0);
    if (!begins(w, first)) return;
    REQUIRE(begins(w, second));
    w.cancel(first);
    w.cancel(first);
    REQUIRE(w.finish(first));
    CHECK(first.result() == -ECANCELED);
    CHECK(first.seen.size() == 1);
    CHECK(w.drive().stats().in_flight == 1);
    CHECK(wake(words[0], 1) == 1);
    REQUIRE(w.finish(second));
    CHECK(second.result() == 0);
    w.cancel(second);
}

LARIAT_CONTRACT_TEST("a wait for a futex that is cancelled before any poll has not happened") {
    shared_words words;
    recorded waiting = waiting_for(words[0], 0);
    if (w.start(waiting)) return;
    w.cancel(waiting);
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == -ECANCELED);
    CHECK(wake(words[0], 1) == 0);
}

LARIAT_CONTRACT_TEST(
    "cancelled in any moment, a wait for a futex has ended by a wake or took none") {
    shared_words words;
    std::atomic<long> woken{0};
    std::jthread waker([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) woken += wake(words[0], 1);
    });
    long ended_by_wake = 0;
    for (int turns = 0; turns < 300; ++turns) {
        recorded waiting = waiting_for(words[0], 0);
        if (w.start(waiting)) break;
        for (int i = 0; i < turns % 4; ++i) w.drive().poll(lariat::no_wait);
        if (!waiting.ended()) w.cancel(waiting);
        REQUIRE(w.finish(waiting));
        CHECK((waiting.result() == 0 || waiting.result() == -ECANCELED));
        if (waiting.result() == 0) ++ended_by_wake;
    }
    waker.request_stop();
    waker.join();
    CHECK(woken.load() == ended_by_wake);
}

LARIAT_CONTRACT_TEST("a thousand futexes are waited for at once, each woken by its own") {
    shared_words words;
    constexpr std::size_t many = 1000;
    std::deque<recorded> waits;
    for (std::size_t i = 0; i < many; ++i) {
        waits.push_back(waiting_for(words[i], 0));
        if (w.start(waits.back())) return;
    }
    w.settle();
    CHECK(w.drive().stats().in_flight == many);
    for (std::size_t i = 0; i < many; i += 2) CHECK(wake(words[i], 1) == 1);
    REQUIRE(w.run_until([&] { return w.drive().stats().in_flight == many / 2; }));
    for (std::size_t i = 0; i < many; ++i) CHECK(waits[i].ended() == (i % 2 == 0));
    for (std::size_t i = 1; i < many; i += 2) CHECK(wake(words[i], 1) == 1);
    REQUIRE(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
}

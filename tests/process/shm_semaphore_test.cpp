#include <lariat/process/shm/semaphore.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/owner_died.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/bounded_semaphore.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::die_at;
using lariat::test::family_check;
using lariat::test::kill_at_every_step;
using lariat::test::until;

static_assert(transferable<shm::semaphore> && transferable<shm::bounded_semaphore>);

task<> pass(shm::semaphore permits, std::size_t count, int& passed) {
    co_await permits.acquire(count);
    ++passed;
}

// What children run.
void acquire_and_die(shm::semaphore permits, std::size_t count) {
    permits.acquire_blocking();
    for (std::size_t i = 1; i < count; ++i) (void)permits.try_acquire();
    (void)::raise(SIGKILL);
}
void acquire_and_end(shm::semaphore permits) { permits.acquire_blocking(); }
void release_many(shm::semaphore permits, int count) {
    for (int i = 0; i < count; ++i) permits.release();
}
task<> in_turns(shm::semaphore permits, shm::semaphore inside, int times) {
    for (int i = 0; i < times; ++i) {
        auto permit = co_await permits.scoped_acquire();
        const bool alone = inside.try_acquire();
        if (!alone) throw std::runtime_error("more than may be are inside");
        if (i % 16 == 0) co_await yield_now();
        inside.release();
    }
}
void use(shm::semaphore permits, int step) {
    die_at(step);
    permits.acquire_blocking();
    (void)permits.try_acquire(2);
    permits.release(2);
    permits.release();
}
void wait_for_one(shm::semaphore permits, int step) {
    die_at(step);
    permits.acquire_blocking();
    permits.release();
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: so many pass, the rest wait for a release") {
    shm::semaphore permits(2);
    int passed = 0;
    run([&]() -> task<> {
        std::vector<join_handle<>> all;
        for (int i = 0; i < 4; ++i) all.push_back(spawn(pass(permits, 1, passed)));
        co_await yield_now();
        CHECK(passed == 2);
        CHECK(permits.available() == 0);
        permits.release();
        co_await until([&] { return passed == 3; });
        permits.release();
        for (auto& each : all) co_await each;
    }());
    CHECK(passed == 4);
    CHECK_FALSE(permits.try_acquire());
    permits.release(2);
    CHECK(permits.available() == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: one who asks for several is not forgotten") {
    shm::semaphore permits(0);
    int many = 0;
    int one = 0;
    run([&]() -> task<> {
        auto three = spawn(pass(permits, 3, many));
        auto single = spawn(pass(permits, 1, one));
        co_await yield_now();
        permits.release();
        co_await single;  // whoever was woken
        CHECK(many == 0);
        permits.release();
        permits.release();
        permits.release();
        co_await three;
    }());
    CHECK(permits.available() == 0);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: a cancelled waiter takes none; others do") {
    shm::semaphore permits(0);
    int first = 0;
    int second = 0;
    run([&]() -> task<> {
        auto one = spawn(pass(permits, 1, first));
        auto two = spawn(pass(permits, 1, second));
        co_await yield_now();
        permits.release();  // it may have woken the first
        one.cancel();
        co_await settled(std::move(one));
        if (first == 1) permits.release();
        co_await two;
        const auto late = co_await nothrow(timeout(2ms, permits.acquire()));
        CHECK(late.error() == errc::timed_out);
    }());
    CHECK(second == 1);
    CHECK_FALSE(permits.acquire_blocking(2ms));
    CHECK_FALSE(permits.scoped_acquire_blocking(2ms));
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: a guard gives its permit back") {
    shm::semaphore permits(1);
    {
        auto held = permits.scoped_acquire_blocking();
        CHECK(held);
        CHECK(permits.available() == 0);
    }
    CHECK(permits.available() == 1);
    run([&]() -> task<> {
        auto held = co_await permits.scoped_acquire();
        CHECK(permits.available() == 0);
        held.unlock();
        CHECK(permits.available() == 1);
    }());
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: never more inside than permits, in any process") {
    shm::semaphore permits(2);
    shm::semaphore inside(2);
    run([&]() -> task<> {
        std::vector<process> all;
        for (int i = 0; i < 3; ++i) all.push_back(process::start(in_turns, permits, inside, 500));
        co_await gather(in_turns(permits, inside, 500), in_turns(permits, inside, 500));
        for (auto& each : all) {
            const process_status ended = co_await each.join();
            CHECK(ended.exit_code() == 0);
        }
    }());
    CHECK(permits.available() == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: a holder's end is reported until it is repaired") {
    shm::semaphore permits(4);
    process dead = process::start(acquire_and_die, permits, 2);
    const int pid = dead.pid();
    CHECK(dead.join_blocking().signal() == SIGKILL);
    for (int i = 0; i < 2; ++i) {
        try {
            permits.acquire_blocking();
            FAIL("nobody was told");
        } catch (const owner_died& told) {
            CHECK(told.pid() == pid);
            CHECK(told.code() == std::errc::owner_dead);
        }
    }
    CHECK_THROWS_AS((void)permits.try_acquire(), owner_died);
    CHECK(permits.available() == 2);
    CHECK(permits.repair() == 2);
    CHECK(permits.repair() == 0);
    CHECK(permits.available() == 4);
    CHECK(permits.try_acquire());
    permits.release();
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: those who wait hear of a holder's end") {
    shm::semaphore permits(1);
    run([&]() -> task<> {
        process dead = process::start(acquire_and_end, permits);
        co_await dead.join();
        int passed = 0;
        auto waits = spawn(pass(permits, 1, passed));
        auto ended = co_await settled(std::move(waits));
        CHECK_THROWS_AS(std::move(ended).value(), owner_died);
        CHECK(permits.repair() == 1);
    }());
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: of permits that are spent nobody is the holder") {
    shm::semaphore signals(0, shm::permits::spent);
    process sender = process::start(release_many, signals, 100);
    for (int i = 0; i < 50; ++i) CHECK(signals.acquire_blocking(10s));
    CHECK(sender.join_blocking().exit_code() == 0);
    process taker = process::start(acquire_and_end, signals);
    CHECK(taker.join_blocking().exit_code() == 0);
    CHECK(signals.available() == 49);
    CHECK(signals.try_acquire(49));
}

TEST_CASE_FIXTURE(family_check, "shm::bounded_semaphore: a release too many is refused") {
    shm::bounded_semaphore permits(2);
    CHECK(permits.limit() == 2);
    CHECK_THROWS_AS(permits.release(), released_too_often);
    CHECK(permits.try_acquire());
    CHECK_THROWS_AS(permits.release(2), released_too_often);
    CHECK(permits.available() == 1);
    permits.release();
    run([&]() -> task<> {
        auto both = co_await permits.scoped_acquire();
        CHECK(permits.available() == 1);
    }());
    CHECK(permits.available() == 2);
    CHECK_THROWS_AS(shm::semaphore(std::size_t{1} << 40), std::invalid_argument);
}

// How a process that has acquired one ends when another has released it.
enum class its_end : std::uint8_t { normal, killed };
void acquire_and_wait(shm::semaphore permits, shm::event has_it, shm::event may_end, its_end how) {
    permits.acquire_blocking();
    has_it.set();
    may_end.wait_blocking();
    if (how == its_end::killed) (void)::raise(SIGKILL);
}
void acquire_bounded(shm::bounded_semaphore permits, shm::event has_it, shm::event may_end,
                     its_end how) {
    permits.acquire_blocking();
    has_it.set();
    may_end.wait_blocking();
    if (how == its_end::killed) (void)::raise(SIGKILL);
}
void release_one(shm::semaphore permits) { permits.release(); }

TEST_CASE_FIXTURE(family_check, "shm::semaphore: released by another, its holder ends after that") {
    for (const its_end how : {its_end::normal, its_end::killed}) {
        shm::semaphore permits(1);
        const shm::event has_it;
        const shm::event may_end;
        process holder = process::start(acquire_and_wait, permits, has_it, may_end, how);
        has_it.wait_blocking();
        permits.release();
        CHECK(permits.available() == 1);
        may_end.set();
        (void)holder.join_blocking();
        CHECK(permits.try_acquire());  // nobody is told: nothing was held
        CHECK(permits.repair() == 0);
        permits.release();
        CHECK(permits.available() == 1);
    }
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: released by another after its holder's end") {
    for (const its_end how : {its_end::normal, its_end::killed}) {
        shm::semaphore permits(1);
        const shm::event has_it;
        const shm::event may_end;
        may_end.set();
        process holder = process::start(acquire_and_wait, permits, has_it, may_end, how);
        (void)holder.join_blocking();
        CHECK_THROWS_AS((void)permits.try_acquire(), owner_died);
        process other = process::start(release_one, permits);
        CHECK(other.join_blocking().exit_code() == 0);
        CHECK(permits.available() == 1);
        CHECK(permits.repair() == 0);
        CHECK(permits.try_acquire());
        permits.release();
        CHECK(permits.available() == 1);
    }
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: releases of others never add up to new permits") {
    shm::semaphore permits(3);
    const shm::event has_it;
    const shm::event may_end;
    process first = process::start(acquire_and_wait, permits, has_it, may_end, its_end::normal);
    has_it.wait_blocking();
    CHECK(permits.try_acquire(2));
    permits.release(2);  // its own
    process other = process::start(release_one, permits);
    CHECK(other.join_blocking().exit_code() == 0);
    CHECK(permits.available() == 3);
    CHECK(permits.try_acquire(2));
    process again = process::start(release_one, permits);
    CHECK(again.join_blocking().exit_code() == 0);
    may_end.set();
    CHECK(first.join_blocking().exit_code() == 0);
    // Two were acquired and one released for it; the first's was released before it ended.
    CHECK(permits.repair() == 0);
    CHECK(permits.available() == 2);
    permits.release();
    CHECK(permits.available() == 3);
    permits.release(2);  // nobody has acquired these: they are new
    CHECK(permits.available() == 5);
    CHECK(permits.try_acquire(5));
    permits.release(5);
    CHECK(permits.available() == 5);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: a guard whose permit another has released") {
    shm::semaphore permits(2);
    {
        auto held = permits.scoped_acquire_blocking();
        process other = process::start(release_one, permits);
        CHECK(other.join_blocking().exit_code() == 0);
        CHECK(permits.available() == 2);
    }
    CHECK(permits.available() == 3);  // two releases of one permit: the second is a new one
}

TEST_CASE_FIXTURE(family_check, "shm::bounded_semaphore: it is released by whoever comes") {
    for (const its_end how : {its_end::normal, its_end::killed}) {
        shm::bounded_semaphore permits(1);
        const shm::event has_it;
        const shm::event may_end;
        process holder = process::start(acquire_bounded, permits, has_it, may_end, how);
        has_it.wait_blocking();
        permits.release();
        CHECK_THROWS_AS(permits.release(), released_too_often);
        CHECK(permits.try_acquire());
        may_end.set();
        (void)holder.join_blocking();
        CHECK(permits.repair() == 0);
        permits.release();
        CHECK_THROWS_AS(permits.release(), released_too_often);
        CHECK(permits.available() == 1);
    }
}

void release_for_another(shm::semaphore permits, int step) {
    die_at(step);
    permits.release(2);
}

task<> hold_until(shm::bounded_semaphore permits, shm::event holds, shm::event ends) {
    auto permit = co_await permits.scoped_acquire();
    holds.set();
    co_await ends.wait();
}
void take_and_end(shm::bounded_semaphore permits) { permits.acquire_blocking(); }

TEST_CASE_FIXTURE(
    family_check,
    "shm::bounded_semaphore: a guard whose permit another has released ends in peace") {
    const shm::bounded_semaphore permits(1);
    const shm::event holds;
    const shm::event ends;
    run([&]() -> task<> {
        process holder = process::start(hold_until, permits, holds, ends);
        co_await holds.wait();
        permits.release();
        ends.set();
        const process_status ended = co_await holder.join();
        CHECK(ended.exit_code() == 0);
    }());
    CHECK(permits.available() == 1);
    CHECK_THROWS_AS(permits.release(), released_too_often);
    // Nothing is left of that release: who ends with a permit now is told of.
    CHECK(process::start(take_and_end, permits).join_blocking().exit_code() == 0);
    CHECK_THROWS_AS((void)permits.try_acquire(), owner_died);
    CHECK(permits.repair() == 1);
    CHECK(permits.try_acquire());
    permits.release();
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: killed at any step while it releases another's") {
    shm::semaphore permits(3);
    const int killed = kill_at_every_step(
        [&](int step) {
            CHECK(permits.try_acquire(2));
            return process::start(release_for_another, permits, step);
        },
        [&] {
            CHECK(permits.repair() == 0);
            if (permits.available() == 1) permits.release(2);
            CHECK(permits.available() == 3);
        });
    CHECK(killed > 5);
    CHECK(permits.try_acquire(3));
    permits.release(3);
    CHECK(permits.available() == 3);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: killed at any step, no permit is lost or made") {
    shm::semaphore permits(3);
    const int killed =
        kill_at_every_step([&](int step) { return process::start(use, permits, step); },
                           [&] {
                               (void)permits.repair();
                               CHECK(permits.available() == 3);
                               CHECK(permits.acquire_blocking(10s));
                               permits.release();
                           });
    CHECK(killed > 20);
}

TEST_CASE_FIXTURE(family_check, "shm::semaphore: killed at any step, a waiter lets others in") {
    shm::semaphore permits(0);
    const int killed = kill_at_every_step(
        [&](int step) {
            process victim = process::start(wait_for_one, permits, step);
            permits.release();
            return victim;
        },
        [&] {
            (void)permits.repair();
            CHECK(permits.acquire_blocking(10s));
            CHECK(permits.available() == 0);
        });
    CHECK(killed > 10);
    permits.release();
}

}  // namespace

#include <lariat/process/shm/rw_mutex.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/owner_died.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/semaphore.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::die_at;
using lariat::test::family_check;
using lariat::test::kill_at_every_step;
using lariat::test::until;

static_assert(transferable<shm::rw_mutex>);

task<> read_once(shm::rw_mutex table, std::string& story, char name) {
    auto reading = co_await table.lock_shared();
    story.push_back(name);
}
task<> write_once(shm::rw_mutex table, std::string& story, char name) {
    auto writing = co_await table.lock();
    story.push_back(name);
}

// What children run.
void read_and_die(shm::rw_mutex table) {
    auto reading = table.lock_shared_blocking();
    (void)::raise(SIGKILL);
}
void write_and_die(shm::rw_mutex table) {
    auto writing = table.lock_blocking();
    (void)::raise(SIGKILL);
}
void wait_to_write(shm::rw_mutex table, shm::event started) {
    started.set();
    auto writing = table.lock_blocking();
}
/// `inside` has a permit for each reader that may be there with a writer: none.
task<> read_and_write(shm::rw_mutex table, shm::semaphore inside, int times) {
    for (int i = 0; i < times; ++i) {
        if (i % 4 == 0) {
            auto writing = co_await table.lock();
            const bool alone = inside.try_acquire(8);
            if (!alone) throw std::runtime_error("a writer is not alone");
            if (i % 16 == 0) co_await yield_now();
            inside.release(8);
        } else {
            auto reading = co_await table.lock_shared();
            const bool in = inside.try_acquire();
            if (!in) throw std::runtime_error("a reader is with a writer");
            if (i % 16 == 1) co_await yield_now();
            inside.release();
        }
    }
}
void use(shm::rw_mutex table, int step) {
    die_at(step);
    {
        auto reading = table.lock_shared_blocking();
    }
    {
        auto writing = table.lock_blocking();
    }
    auto both = table.lock_shared_blocking();
    auto second = table.try_lock_shared();
}
void wait_both(shm::rw_mutex table, shm::event started, int step) {
    started.set();
    die_at(step);
    {
        auto writing = table.lock_blocking();
    }
    auto reading = table.lock_shared_blocking();
}

/// All is as it was before anybody died.
void repair(const shm::rw_mutex& table) {
    auto writing = table.lock_to_repair_blocking();
    if (writing.owner_died()) writing.make_consistent();
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: readers together, a writer alone") {
    shm::rw_mutex table;
    auto first = table.try_lock_shared();
    auto second = table.try_lock_shared();
    CHECK(first);
    CHECK(second);
    CHECK_FALSE(table.try_lock());
    CHECK_FALSE(table.lock_blocking(2ms));
    first.unlock();
    second.unlock();
    auto writing = table.try_lock();
    CHECK(writing);
    CHECK_FALSE(table.try_lock_shared());
    CHECK_FALSE(table.lock_shared_blocking(2ms));
    CHECK_FALSE(table.try_lock());
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: a reader after a waiting writer waits") {
    shm::rw_mutex table;
    std::string story;
    run([&]() -> task<> {
        auto reading = co_await table.lock_shared();
        auto writer = spawn(write_once(table, story, 'w'));
        co_await yield_now();
        CHECK_FALSE(table.try_lock_shared());
        auto late = spawn(read_once(table, story, 'r'));
        for (int i = 0; i < 3; ++i) co_await yield_now();
        CHECK(story.empty());
        reading.unlock();
        co_await writer;
        co_await late;
    }());
    CHECK(story == "wr");
}

TEST_CASE_FIXTURE(family_check,
                  "shm::rw_mutex: readers that came before a writer left go in next") {
    shm::rw_mutex table;
    std::string story;
    run([&]() -> task<> {
        auto writing = co_await table.lock();
        auto reader = spawn(read_once(table, story, 'r'));
        auto writer = spawn(write_once(table, story, 'w'));
        co_await yield_now();
        writing.unlock();
        co_await reader;
        co_await writer;
    }());
    CHECK(story.size() == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: a cancelled writer lets in those it held up") {
    shm::rw_mutex table;
    std::string story;
    run([&]() -> task<> {
        auto reading = co_await table.lock_shared();
        auto writer = spawn(write_once(table, story, 'w'));
        co_await yield_now();
        auto late = spawn(read_once(table, story, 'r'));
        co_await yield_now();
        writer.cancel();
        co_await settled(std::move(writer));
        co_await late;
        const auto never = co_await nothrow(timeout(2ms, table.lock()));
        CHECK(never.error() == errc::timed_out);
        CHECK(table.try_lock_shared());
    }());
    CHECK(story == "r");
    CHECK(table.try_lock());
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: tasks of several processes keep to it") {
    shm::rw_mutex table;
    shm::semaphore inside(8);
    run([&]() -> task<> {
        std::vector<process> all;
        for (int i = 0; i < 3; ++i)
            all.push_back(process::start(read_and_write, table, inside, 400));
        co_await gather(read_and_write(table, inside, 400), read_and_write(table, inside, 400));
        for (auto& each : all) {
            const process_status ended = co_await each.join();
            CHECK(ended.exit_code() == 0);
        }
    }());
    CHECK(table.try_lock());
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: a writer's end is reported until it is repaired") {
    shm::rw_mutex table;
    process dead = process::start(write_and_die, table);
    const int pid = dead.pid();
    CHECK(dead.join_blocking().signal() == SIGKILL);
    for (int i = 0; i < 2; ++i) {
        CHECK_THROWS_AS((void)table.lock_blocking(), owner_died);
        CHECK_THROWS_AS((void)table.try_lock_shared(), owner_died);
    }
    {
        auto unrepaired = table.lock_to_repair_blocking();
        CHECK(unrepaired.owner_died());
    }
    run([&]() -> task<> {
        auto held = co_await table.lock_to_repair();
        CHECK(held.owner_died());
        CHECK(held.pid() == pid);
        held.make_consistent();
        CHECK_FALSE(held.owner_died());
    }());
    CHECK(table.try_lock_shared());
    CHECK(table.try_lock());
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: a reader's end is reported once, to a writer") {
    shm::rw_mutex table;
    process dead = process::start(read_and_die, table);
    const int pid = dead.pid();
    CHECK(dead.join_blocking().signal() == SIGKILL);
    CHECK(table.try_lock_shared());
    try {
        (void)table.lock_blocking();
        FAIL("nobody was told");
    } catch (const owner_died& told) {
        CHECK(told.pid() == pid);
    }
    CHECK(table.try_lock());
}

TEST_CASE_FIXTURE(family_check,
                  "shm::rw_mutex: a writer that is killed while it waits holds up nobody") {
    shm::rw_mutex table;
    auto reading = table.lock_shared_blocking();
    shm::event started;
    process writer = process::start(wait_to_write, table, started);
    started.wait_blocking();
    while (table.try_lock_shared()) {
    }
    writer.kill();
    (void)writer.join_blocking();
    CHECK(table.lock_shared_blocking(10s));
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: killed at any step, its users leave it usable") {
    shm::rw_mutex table;
    const int killed =
        kill_at_every_step([&](int step) { return process::start(use, table, step); },
                           [&] {
                               repair(table);
                               CHECK(table.lock_blocking(10s));
                               CHECK(table.lock_shared_blocking(10s));
                           });
    CHECK(killed > 40);
}

TEST_CASE_FIXTURE(family_check, "shm::rw_mutex: killed at any step, its waiters leave it usable") {
    shm::rw_mutex table;
    shm::event started;
    const int killed = kill_at_every_step(
        [&](int step) {
            auto reading = table.lock_shared_blocking(10s);
            CHECK(reading);
            process victim = process::start(wait_both, table, started, step);
            started.wait_blocking();
            started.clear();
            return victim;
        },
        [&] {
            repair(table);
            CHECK(table.lock_blocking(10s));
            CHECK(table.lock_shared_blocking(10s));
        });
    CHECK(killed > 20);
}

}  // namespace

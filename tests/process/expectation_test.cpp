// That a wait for another process's word is known to the loop from its beginning to its end.
#include "loop/expectation.hpp"

#include "loop/loop_state.hpp"
#include "manager_support.hpp"
#include "pool_support.hpp"
#include "timed.hpp"

#include <lariat/process/managed_event.hpp>
#include <lariat/process/pipe.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/task/spawn.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace {

using namespace lariat;
using namespace lariat::test;
using channel = lariat::pipe<int>;

std::size_t expected() { return detail::loop_state::current().expected_; }

task<> receive_one(const pipe_end<int>& from) {
    auto receiving = from.recv();
    (void)co_await std::move(receiving);
}

TEST_CASE_FIXTURE(family_check, "expectation: a pipe's, until the message, the cut or the end") {
    run([]() -> task<> {
        channel talk;
        auto waiting = spawn(receive_one(talk.first));
        co_await sleep(1ms);
        CHECK(expected() == 1);
        co_await talk.second.send(1);
        co_await std::move(waiting);
        CHECK(expected() == 0);
        auto cutting = cut_after(1ms, [&] { return receive_one(talk.first); });
        (void)co_await std::move(cutting);
        CHECK(expected() == 0);
        auto ending = spawn(receive_one(talk.first));
        co_await sleep(1ms);
        talk.second = pipe_end<int>();
        co_await std::move(ending);
        CHECK(expected() == 0);
    }());
}

task<> wait_for(shm::event what) { co_await what.wait(); }

TEST_CASE_FIXTURE(family_check, "expectation: a shared object's, until it is had or the cut") {
    run([]() -> task<> {
        const shm::event go;
        auto waiting = spawn(wait_for(go));
        co_await sleep(1ms);
        CHECK(expected() == 1);
        auto cutting = cut_after(1ms, [&] { return wait_for(go); });
        (void)co_await std::move(cutting);
        CHECK(expected() == 1);
        go.set();
        co_await std::move(waiting);
        CHECK(expected() == 0);
    }());
}

TEST_CASE_FIXTURE(pool_check, "expectation: a pool's, while calls run") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const int warm = co_await pool.run(own_pid);
        CHECK(warm != 0);
        co_await sleep(1ms);
        const std::size_t before = expected();
        const shm::event begun;
        const shm::event go;
        auto call = pool.submit(stay, begun, go);
        co_await begun.wait();
        CHECK(expected() == before + 1);
        go.set();
        co_await call;
        co_await sleep(1ms);
        CHECK(expected() == before);
    });
}

task<> wait_there(managed_event what) { co_await what.wait(); }

TEST_CASE_FIXTURE(manager_check, "expectation: a manager's, while an operation is under way") {
    with_manager([](manager& m) -> task<> {
        const auto go = co_await m.make<managed_event>();
        co_await go.is_set();
        co_await sleep(1ms);
        const std::size_t before = expected();
        auto waiting = spawn(wait_there(go));
        co_await sleep(1ms);
        CHECK(expected() == before + 1);
        auto cutting = cut_after(1ms, [&] { return wait_there(go); });
        (void)co_await std::move(cutting);
        CHECK(expected() == before + 1);
        co_await go.set();
        co_await std::move(waiting);
        CHECK(expected() == before);
    });
}

/// Of a loop that waits for a pipe, where nothing comes for so long.
std::uint64_t turns_of_a_wait(const run_options& how) {
    loop own(how);
    std::uint64_t turns = 0;
    own.run([](loop& here, std::uint64_t& into) -> task<> {
        channel talk;
        auto waiting = spawn(receive_one(talk.first));
        co_await sleep(1ms);
        const std::uint64_t before = here.stats().turns;
        co_await talk.second.send(1);
        co_await std::move(waiting);
        auto again = spawn(receive_one(talk.first));
        co_await sleep(5ms);
        into = here.stats().turns - before;
        co_await talk.second.send(1);
        co_await std::move(again);
    }(own, turns));
    return turns;
}

TEST_CASE_FIXTURE(family_check,
                  "expectation: for such a wait a loop stays awake, unless told not") {
    run_options sleepy;
    sleepy.brief_spin = false;
    std::uint64_t asleep = turns_of_a_wait(sleepy);
    for (int i = 0; i < 5; ++i) asleep = std::min(asleep, turns_of_a_wait(sleepy));
    // Hundreds, as a rule; where others want the core, it looks once a wait and gives that away;
    // where they have it for the whole wait, not even that.
    for (int i = 0; i < 20; ++i) {
        std::uint64_t awake = 0;
        for (int tries = 0; tries < 10 && awake <= asleep; ++tries)
            awake = turns_of_a_wait(run_options());
        CHECK(awake > asleep);
    }
}

/// Says, of six messages that come now and then, how many turns the last three took.
task<> count_turns(pipe_end<std::uint64_t> with) {
    std::uint64_t before = 0;
    for (int i = 0; i < 6; ++i) {
        (void)co_await with.recv();
        if (i == 2) before = detail::loop_state::current().turns_;
    }
    co_await with.send(detail::loop_state::current().turns_ - before);
}

task<std::uint64_t> turns_of_long_waits() {
    lariat::pipe<std::uint64_t> talk;
    process child = process::start(count_turns, std::move(talk.second));
    for (int i = 0; i < 6; ++i) {
        co_await sleep(5ms);
        co_await talk.first.send(0);
    }
    const std::optional<std::uint64_t> turns = co_await talk.first.recv();
    (void)co_await child.join();
    co_return *turns;
}

TEST_CASE_FIXTURE(family_check,
                  "expectation: where words come late a loop sleeps, as they end it") {
    std::uint64_t fewest = 1000;  // one may be late itself, and so find the word there
    for (int tries = 0; tries < 100 && fewest > 12; ++tries)
        fewest = std::min(fewest, run(turns_of_long_waits()));
    CHECK(fewest <= 12);
}

}  // namespace

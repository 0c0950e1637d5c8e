#include <lariat/process/shm/event.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;

static_assert(transferable<shm::event>);

task<> wait_for(shm::event what, int& passed) {
    co_await what.wait();
    ++passed;
}
task<> wait_in_child(shm::event what) { co_await what.wait(); }
task<> answer(shm::event there, shm::event back, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        co_await there.wait();
        there.clear();
        back.set();
    }
}

TEST_CASE_FIXTURE(family_check, "shm::event: while it is set all pass, without a turn") {
    const shm::event flag;
    CHECK_FALSE(flag.is_set());
    flag.set();
    flag.set();
    CHECK(flag.is_set());
    run([](shm::event set) -> task<> {
        const std::uint64_t legs = loop::current().stats().legs;
        for (int i = 0; i < 3; ++i) co_await set.wait();
        CHECK(loop::current().stats().legs == legs);
    }(flag));
    flag.wait_blocking();
    CHECK(flag.wait_blocking(0ns));
    flag.clear();
    CHECK_FALSE(flag.is_set());
    CHECK_FALSE(flag.wait_blocking(1ms));
}

TEST_CASE_FIXTURE(family_check,
                  "shm::event: those who waited pass, also when it is cleared at once") {
    const shm::event flag;
    int passed = 0;
    run([&]() -> task<> {
        std::vector<join_handle<>> waiting;
        for (int i = 0; i < 5; ++i) waiting.push_back(spawn(wait_for(flag, passed)));
        co_await sleep(1ms);  // they lie down meanwhile, also in the kernel
        flag.set();
        flag.clear();
        for (auto& each : waiting) co_await timeout(10s, std::move(each));
    }());
    CHECK(passed == 5);
}

TEST_CASE_FIXTURE(family_check, "shm::event: it is set for tasks and threads of all processes") {
    const shm::event flag;
    std::vector<process> others;
    for (int i = 0; i < 3; ++i) others.push_back(process::start(wait_in_child, flag));
    std::thread here([&] { flag.wait_blocking(); });
    int passed = 0;
    run([&]() -> task<> {
        auto set = [&]() -> task<> {
            co_await yield_now();
            flag.set();
        };
        co_await gather(wait_for(flag, passed), set());
        for (process& each : others) {
            const process_status ended = co_await timeout(10s, each.join());
            CHECK(ended.exit_code() == 0);
        }
    }());
    here.join();
    CHECK(passed == 1);
}

TEST_CASE_FIXTURE(family_check, "shm::event: to and fro between two processes, nothing is lost") {
    const shm::event there;
    const shm::event back;
    constexpr int rounds = 500;
    process other = process::start(answer, there, back, rounds);
    run([&]() -> task<> {
        for (int i = 0; i < rounds; ++i) {
            there.set();
            co_await timeout(10s, back.wait());
            back.clear();
        }
    }());
    CHECK(other.join_blocking().exit_code() == 0);
}

TEST_CASE_FIXTURE(family_check, "shm::event: cancelled or out of time, it has not passed") {
    const shm::event flag;
    int passed = 0;
    run([&]() -> task<> {
        auto waiting = spawn(wait_for(flag, passed));
        auto other = spawn(wait_for(flag, passed));
        co_await yield_now();
        waiting.cancel();
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_cancelled());
        const auto late = co_await nothrow(timeout(1ms, flag.wait()));
        CHECK(late.error() == errc::timed_out);
        CHECK(passed == 0);
        flag.set();
        co_await timeout(10s, std::move(other));
    }());
    CHECK(passed == 1);
}

TEST_CASE("shm::event: one who sets it, killed at any step, has set it or has not") {
    const family_check check;
    int set = 0;
    shm::event flag;
    const int killed = test::kill_at_every_step(
        [&](int step) {
            flag = shm::event();
            return process::start(
                [](int last, shm::event shared) {
                    test::die_at(last);
                    shared.set();
                },
                step, flag);
        },
        [&] {
            if (!flag.is_set()) return;
            ++set;
            CHECK(flag.wait_blocking(0ns));
        });
    CHECK(killed >= 2);
    CHECK(set >= 2);
}

TEST_CASE("shm::event: one who is killed between setting it and waking leaves nobody asleep") {
    const family_check check;
    const int killed = test::kill_at_every_step(
        [&](int step) {
            const shm::event flag;
            const shm::event go;
            process waiting = process::start(
                [](shm::event shared, shm::event ready) {
                    ready.set();
                    shared.wait_blocking();
                },
                flag, go);
            go.wait_blocking();
            process setter = process::start(
                [](int last, shm::event shared) {
                    test::die_at(last);
                    shared.set();
                },
                step, flag);
            (void)setter.join_blocking();
            if (!flag.is_set()) flag.set();
            CHECK(waiting.join_blocking(10s).has_value());
            return setter;
        },
        [] {});
    CHECK(killed >= 2);
}

}  // namespace

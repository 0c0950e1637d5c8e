#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/transaction.hpp>

#include "leak_check.hpp"

#include <lariat/task/sleep.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>

/// What tests of shared objects need to kill processes, and to count what is left of them.
namespace lariat::test {

/// As leak_check; and shared objects, references and processes are what they were.
class family_check : public leak_check {
 public:
    family_check() : before_(shared_memory_stats()) {}
    family_check(const family_check&) = delete;
    family_check& operator=(const family_check&) = delete;
    ~family_check() {
        const arena_stats now = shared_memory_stats();
        CHECK(now.cells == before_.cells);
        CHECK(now.references == before_.references);
        CHECK(now.processes == before_.processes);
    }

 private:
    arena_stats before_;
};

/// Lets others run until holds(), for ten seconds at most.
template <class Predicate>
task<> until(Predicate holds) {
    const time_point end = clock::now() + std::chrono::seconds(10);
    bool done = holds();
    while (!done && clock::now() < end) {
        co_await yield_now();
        done = holds();
    }
    CHECK(done);
}

inline constinit std::atomic<int> steps_to_live{0};

/// In a child: it is killed at so many steps of protocols in shared memory from now on.
inline void die_at(int step) noexcept {
    steps_to_live = step;
    detail::between_steps.store([]() noexcept {
        if (--steps_to_live == 0) (void)::raise(SIGKILL);
    });
}

/// `start(n)` starts a process that calls die_at(n). It is done for its first step, its second, ...
/// until one comes to its end; after each, check(). Returns how many were killed.
template <class Start, class Check>
int kill_at_every_step(Start start, Check check) {
    for (int step = 1;; ++step) {
        process victim = start(step);
        const process_status ended = victim.join_blocking();
        check();
        if (ended.exit_code() == 0) return step - 1;
        REQUIRE(ended.signal() == SIGKILL);
    }
}

}  // namespace lariat::test

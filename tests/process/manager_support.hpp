#pragma once

#include <lariat/process/manager.hpp>
#include <lariat/process/shm/event.hpp>

#include "killed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
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

namespace lariat::test {

using namespace std::chrono_literals;

/// As family_check; and this process has no children at the end.
class manager_check : public family_check {
 public:
    ~manager_check() { CHECK(active_children().empty()); }
};

/// Runs body(manager) and shuts the manager down.
template <class Body>
void with_manager(const manager_options& options, Body body) {
    run([](manager_options chosen, Body its_body) -> task<> {
        manager m = manager::start(chosen);
        auto work = its_body(m);
        co_await std::move(work);
        co_await m.shutdown();
    }(options, std::move(body)));
}
template <class Body>
void with_manager(Body body) {
    with_manager(manager_options(), std::move(body));
}

/// Time as this loop sees it, in ticks of 10 ms: while the machine stands still there is none.
class tick_count {
 public:
    [[nodiscard]] task<> stop() {
        counting_.cancel();
        (void)co_await settled(std::move(counting_));
    }
    [[nodiscard]] int ticks() const noexcept { return ticks_; }

 private:
    static task<> count(int& ticks) {
        for (;;) {
            co_await sleep(10ms);
            ++ticks;
        }
    }

    int ticks_ = 0;
    join_handle<> counting_ = spawn(count(ticks_));
};

/// What body() comes to, a status's text if it failed.
inline task<> joined(process child) {
    const process_status status = co_await child.join();
    CHECK(status.exit_code() == 0);
    if (const auto failed = status.exception()) FAIL_CHECK(failed->type << ": " << failed->text);
}

}  // namespace lariat::test

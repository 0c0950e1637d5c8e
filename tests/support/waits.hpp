#pragma once

#include "parking.hpp"

#include <lariat/task/sleep.hpp>
#include <lariat/task/task.hpp>

#include <chrono>

namespace lariat::test {

/// Waits for nothing, until it is cancelled.
inline task<> until_cancelled() {
    parking nobody;
    co_await nobody.park();
}

/// Some turns of the loop: whoever was ready has run, and what has come is handed out. (A timer
/// that is due at once ends a turn; yield_now() may come round in the same one.)
inline task<> some_turns() {
    for (int i = 0; i < 3; ++i) co_await sleep(std::chrono::nanoseconds(1));
}

}  // namespace lariat::test

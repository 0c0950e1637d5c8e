#pragma once

#include "task/leg.hpp"

namespace lariat::detail {

/// Runs what was taken from the ready queue of `home`: a call, or a leg of a task.
[[gnu::always_inline]] inline void run_item(ready_item item, scheduler& home) noexcept {
    if (item.is_call()) [[unlikely]]
        return item.call().run(item.call());
    home.budget = scheduler::leg_budget;
    run_until_it_waits(item.task(), home, nullptr);
}

}  // namespace lariat::detail

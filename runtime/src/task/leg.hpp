#pragma once

#include <lariat/task/promise.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/waiter.hpp>

namespace lariat::detail {

[[noreturn]] void returned_without_waiting(const party& p) noexcept;
[[noreturn]] void ended_while_it_held(const party& p) noexcept;
[[nodiscard]] party_outcome outcome_of_failure(const party& p) noexcept;

/// Runs `p` until it waits or ends, inside the leg of `outer` if that is not null.
///
/// Inlined: the call, and what it would keep of its caller, cost eight instructions a leg.
[[gnu::always_inline]] inline void run_until_it_waits(party& p, scheduler& home,
                                                      party* outer) noexcept {
    if (p.state == party_state::fresh && p.cancel_pending) [[unlikely]] {
        p.state = party_state::finished;
        p.outcome = party_outcome::cancelled;
        p.owner().finish(p);
        return;
    }
    home.current = &p;
    p.state = party_state::running;
    p.leaf.resume();
    home.current = outer;
    if (p.state == party_state::finished) {
        if (p.bound != 0) [[unlikely]]
            ended_while_it_held(p);
        p.outcome = party_outcome::value;
        if (promise_base::of(p.leaf).failed()) [[unlikely]]
            p.outcome = outcome_of_failure(p);
        p.owner().finish(p);
    } else if (p.state == party_state::running) [[unlikely]] {
        returned_without_waiting(p);
    }
}

}  // namespace lariat::detail

#pragma once

#include <lariat/base/config.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/waiter.hpp>

namespace lariat::detail {

[[noreturn]] LARIAT_EXPORT void returned_without_waiting(const party& p) noexcept;
[[noreturn]] LARIAT_EXPORT void ended_while_it_held(const party& p) noexcept;
[[nodiscard]] LARIAT_EXPORT party_outcome outcome_of_failure(const party& p) noexcept;

/// Pre: `p` has finished. Takes it out of its group, tells who asked, wakes who waits for the last.
///
/// Inlined, as the leg is: the call cost five instructions a child.
[[gnu::always_inline]] inline void leave_group(party& p) noexcept {
    group_core& group = p.owner();
    p.list_link::take_out();
    --group.pending;
    if (p.outcome != party_outcome::value || group.told == told_of::all) [[unlikely]]
        group.child_finished(group, p);
    if (party_joiner* joiner = p.take_joiner()) joiner->joined(*joiner);
    p.drop_run_ref();
    if (group.pending == 0 && group.waiting != nullptr) {
        waiter& owner = *group.waiting;
        group.waiting = nullptr;
        group.ended = true;
        owner.wake();
    }
}

/// Ends `p`, whose scope was cancelled before it began.
inline void end_unbegun(party& p) noexcept {
    p.state = party_state::finished;
    p.outcome = party_outcome::cancelled;
    leave_group(p);
}

/// Runs `p` until it waits or ends, inside the leg of `outer` if that is not null.
///
/// Inlined: the call, and what it would keep of its caller, cost eight instructions a leg.
[[gnu::always_inline]] inline void run_until_it_waits(party& p, scheduler& home,
                                                      party* outer) noexcept {
    home.current = &p;
    p.state = party_state::running;
    p.leaf.resume();
    home.current = outer;
    if (p.state == party_state::finished) {
        if (p.bound != 0) [[unlikely]]
            ended_while_it_held(p);
        if (promise_base::of(p.leaf).outermost_failed()) [[unlikely]]
            p.outcome = outcome_of_failure(p);
        leave_group(p);
    } else if (p.state == party_state::running) [[unlikely]] {
        returned_without_waiting(p);
    }
}

/// Asks for the memory of what is next on the ready queue, and behind that, while a leg runs.
[[gnu::always_inline]] inline void fetch_ahead(ready_item next) noexcept {
    if (next.is_none()) return;
    __builtin_prefetch(next.link().next_ready.address());
    if (!next.is_call()) __builtin_prefetch(next.task().leaf.address());
}

/// Runs what was taken from the ready queue of `home`: a call, or a leg of a task.
[[gnu::always_inline]] inline void run_item(ready_item item, scheduler& home) noexcept {
    if (item.is_call()) [[unlikely]]
        return item.call().run(item.call());
    home.budget = scheduler::leg_budget;
    party& p = item.task();
    if (p.state == party_state::fresh && p.cancel_pending) [[unlikely]]
        return end_unbegun(p);
    run_until_it_waits(p, home, nullptr);
}

}  // namespace lariat::detail

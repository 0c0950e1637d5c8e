#include <lariat/sync/select.hpp>

namespace lariat {

time_arm::time_arm(time_point until) noexcept
    : waiter(detail::arm_of_select), timer_entry(&due), until_(until) {}

void time_arm::enlist(party& p) noexcept {
    who = &p;
    this_scheduler->timers.arm(*this, until_);
}

void time_arm::due(timer_entry& self) noexcept { detail::grant_arm(static_cast<time_arm&>(self)); }

namespace detail {

// An arm is never parked, so it is never cut: the select is.
const wait_kind arm_of_select{"an arm of a select", nullptr};
const wait_kind select_wait::kind_of_wait{"one of several arms of a select", &select_wait::leave};

void grant_arm(waiter& arm) noexcept {
    auto& chosen = static_cast<select_wait&>(*arm.who->parked);
    chosen.decided_ = chosen.withdraw_(chosen, &arm);
    chosen.wake();
}

void select_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<select_wait&>(w);
    self.withdraw_(self, nullptr);
    self.wake(wake_reason::cut);
}

}  // namespace detail
}  // namespace lariat

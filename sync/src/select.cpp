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

namespace {

select_wait& select_of(waiter& arm) noexcept { return static_cast<select_wait&>(*arm.who->parked); }

}  // namespace

void grant_arm(waiter& arm) noexcept { select_of(arm).end(&arm, wake_reason::done); }
void arm_left(waiter& arm) noexcept { select_of(arm).left(); }

const late_arm_reports to_the_select{&grant_arm, &arm_left};

void select_wait::end(const waiter* granted, wake_reason how) noexcept {
    ended_ = how;
    leaving_ = 1;
    decided_ = withdraw_(*this, granted);
    left();
}

void select_wait::left() noexcept {
    if (--leaving_ == 0) wake(ended_);
}

void select_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<select_wait&>(w);
    if (self.leaving_ == 0) self.end(nullptr, wake_reason::cut);  // else what it got stands
}

}  // namespace detail
}  // namespace lariat

#include <lariat/loop/interval.hpp>

#include <lariat/task/scheduler.hpp>

#include <stdexcept>

namespace lariat {

interval::interval(duration period)
    : interval(saturating_add(detail::required_scheduler("lariat::interval").now(), period),
               period) {}

interval::interval(time_point first, duration period) : next_(first), period_(period) {
    if (period <= duration::zero())
        throw std::invalid_argument("an interval's period must be longer than nothing");
}

namespace detail {

const wait_kind tick_awaiter::kind_of_wait{"the next tick of an interval", &tick_awaiter::leave};

bool tick_awaiter::must_wait() noexcept {
    scheduler& home = required_scheduler("interval::next");
    require(!of_->awaited_,
            "one task at a time may wait for an interval's tick; give each its own");
    if (of_->next_ <= home.now()) return false;
    of_->awaited_ = true;
    home.timers.arm(*this, of_->next_);
    return true;
}

std::uint64_t tick_awaiter::await_resume() {
    throw_if_cut();
    const duration late = this_scheduler->now() - of_->next_;
    const auto missed = late / of_->period_;
    of_->next_ = saturating_add(of_->next_ + missed * of_->period_, of_->period_);
    return static_cast<std::uint64_t>(missed);
}

void tick_awaiter::due(timer_entry& entry) noexcept {
    auto& self = static_cast<tick_awaiter&>(entry);
    self.of_->awaited_ = false;
    self.wake();
}

void tick_awaiter::leave(waiter& w) noexcept {
    auto& self = static_cast<tick_awaiter&>(w);
    this_scheduler->timers.disarm(self);
    self.of_->awaited_ = false;
    self.wake(wake_reason::cut);
}

}  // namespace detail

}  // namespace lariat

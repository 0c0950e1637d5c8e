#include <lariat/task/cancel_scope.hpp>

namespace lariat {

cancel_scope::~cancel_scope() {
    if (timer_entry::armed()) this_scheduler->timers.disarm(*this);
}

void cancel_scope::expires_at(time_point moment) noexcept {
    deadline_ = moment;
    if (entered()) arm();
}

void cancel_scope::expires_after(duration length) noexcept {
    expires_at(saturating_add(detail::required_scheduler("cancel_scope").now(), length));
}

void cancel_scope::arm() noexcept {
    timer_queue& timers = this_scheduler->timers;
    timers.disarm(*this);
    if (deadline_ != forever) timers.arm(*this, deadline_);
}

void cancel_scope::begin(party& p) noexcept {
    enter(p);
    // A deadline that has passed is not given to a timer: work that is always ready in the same
    // turn would outrun it for ever.
    if (deadline_ <= this_scheduler->turn_time) [[unlikely]] {
        due(*this);
    } else {
        arm();
    }
}

bool cancel_scope::end() noexcept {
    party& p = *owner_;
    this_scheduler->timers.disarm(*this);
    leave();
    return inner_scope::is_cancelled() && !p.cancel_pending;
}

void cancel_scope::due(timer_entry& self) noexcept {
    auto& scope = static_cast<cancel_scope&>(self);
    scope.expired_ = !scope.inner_scope::is_cancelled();
    scope.inner_scope::cancel();
}

}  // namespace lariat

#include <lariat/base/error.hpp>
#include <lariat/loop/future.hpp>

#include "loop/loop_state.hpp"

#include <utility>

namespace lariat::detail {

void future_core::publish() noexcept {
    // Releases the result to is_set, wait and stop_waiting; acquires `home` and `box` from wait.
    if (state.exchange(phase::set, std::memory_order_acq_rel) != phase::awaited) return;
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> loop_box = std::move(box);
    if (this_scheduler == home) {
        std::exchange(waiting, nullptr)->wake();
        return;
    }
    refs.fetch_add(1, std::memory_order_relaxed);  // the message's; ours keeps it alive until then
    if (!loop_box->post(*this)) drop_ref();        // closed: nobody waits there any more
}

void future_core::drop_ref() noexcept {
    // Releases what this side did to whoever is the last, who acquires it.
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(*this);
}

bool future_core::wait(waiter& w) {
    if (is_set()) return false;
    require(waiting == nullptr, "one task at a time may await a future");
    waiting = &w;
    home = this_scheduler;
    box = loop_state::current().box_;
    phase before = phase::pending;
    // Releases the three above to publish(); on failure acquires the result from it.
    if (state.compare_exchange_strong(before, phase::awaited, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return true;
    }
    waiting = nullptr;
    box.reset();
    return false;
}

bool future_core::stop_waiting() noexcept {
    waiting = nullptr;
    phase before = phase::awaited;
    // Takes `box` back from publish(); on failure acquires the result: its message finds nobody.
    if (!state.compare_exchange_strong(before, phase::pending, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        return false;
    }
    box.reset();
    return true;
}

void future_core::arrived(posted& message, end how) {
    auto& self = static_cast<future_core&>(message);
    if (how == end::call && self.waiting != nullptr) std::exchange(self.waiting, nullptr)->wake();
    self.drop_ref();
}

const wait_kind future_wait::kind_of_wait{"a promise to be set", &future_wait::leave};

void future_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<future_wait&>(w);
    self.wake(self.core_->stop_waiting() ? wake_reason::cut : wake_reason::done);
}

void future_wait::throw_dropped() {
    throw closed_error("the promise was dropped before it was set");
}

}  // namespace lariat::detail

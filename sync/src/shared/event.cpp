#include <lariat/sync/shared/event.hpp>

#include <mutex>

namespace lariat::shared {

void event::set_now() noexcept {
    detail::served_places served;
    const std::lock_guard held(lock_);
    set_.store(true, std::memory_order_release);
    while (!line_.empty()) served.add(line_.serve_first());
}

void event::clear() noexcept {
    const std::lock_guard held(lock_);
    set_.exchange(false, std::memory_order_acq_rel);  // partner: the exchange in set()
}

bool event::join_line(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    if (set_.load(std::memory_order_relaxed)) return false;
    line_.add(place);
    return true;
}

bool event::leave(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    return line_.leave(place);
}

bool event::wait_until(time_point deadline) noexcept {
    if (passes()) return true;
    detail::thread_in_line<> self;
    if (!join_line(self)) return true;
    return self.wait(deadline, [this](detail::shared_place& place) { return leave(place); });
}

void event::wait_blocking(std::source_location where) noexcept {
    detail::require_no_loop("wait_blocking", "co_await x.wait()", where);
    (void)wait_until(forever);
}

bool event::wait_blocking(duration longest, std::source_location where) noexcept {
    detail::require_no_loop("wait_blocking", "co_await lariat::timeout(t, x.wait())", where);
    return wait_until(detail::deadline_after(longest));
}

const wait_kind event::awaiter::kind_of_wait{"a shared::event to be set", &event::awaiter::cut};

void event::awaiter::cut(waiter& w) noexcept {
    auto& self = static_cast<awaiter&>(w);
    if (self.event_->leave(self)) self.wake(wake_reason::cut);
}

}  // namespace lariat::shared

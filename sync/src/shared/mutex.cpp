#include <lariat/sync/shared/mutex.hpp>

#include <mutex>

namespace lariat::shared {

void mutex::hand_on() noexcept {
    while (!serve_first() && !let_go()) {
    }
}

bool mutex::serve_first() noexcept {
    detail::served_places served;
    const std::lock_guard held(lock_);
    if (line_.empty()) return false;
    served.add(line_.serve_first());
    if (line_.empty()) state_.store(is_held, std::memory_order_relaxed);
    return true;
}

bool mutex::join_line(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    std::uint32_t now = state_.load(std::memory_order_relaxed);
    while (now != has_line) {
        const std::uint32_t next = now == is_free ? is_held : has_line;
        if (!state_.compare_exchange_weak(now, next, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
            continue;
        }
        if (next == is_held) return false;
        break;
    }
    line_.add(place);
    return true;
}

bool mutex::leave(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    if (!line_.leave(place)) return false;
    if (line_.empty()) state_.store(is_held, std::memory_order_relaxed);
    return true;
}

bool mutex::lock_until(time_point deadline) noexcept {
    if (take()) return true;
    detail::thread_in_line<> self;
    if (!join_line(self)) return true;
    return self.wait(deadline, [this](detail::shared_place& place) { return leave(place); });
}

mutex::guard mutex::lock_blocking(std::source_location where) noexcept {
    detail::require_no_loop("lock_blocking", "auto guard = co_await x.lock()", where);
    (void)lock_until(forever);
    return guard(*this);
}

mutex::guard mutex::lock_blocking(duration longest, std::source_location where) noexcept {
    detail::require_no_loop("lock_blocking", "auto guard = co_await lariat::timeout(t, x.lock())",
                            where);
    return lock_until(detail::deadline_after(longest)) ? guard(*this) : guard();
}

const wait_kind mutex::awaiter::kind_of_wait{"a shared::mutex", &mutex::awaiter::cut};

void mutex::awaiter::cut(waiter& w) noexcept {
    auto& self = static_cast<awaiter&>(w);
    if (self.mutex_->leave(self)) self.wake(wake_reason::cut);
}

}  // namespace lariat::shared

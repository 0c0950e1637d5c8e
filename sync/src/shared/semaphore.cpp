#include <lariat/sync/shared/semaphore.hpp>

#include <mutex>

namespace lariat::shared {

std::int64_t semaphore::serve_line(std::int64_t permits) noexcept {
    detail::served_places served;
    const std::lock_guard held(lock_);
    for (; permits > 0 && !line_.empty(); --permits) served.add(line_.serve_first());
    if (line_.empty() && count_.load(std::memory_order_relaxed) == line_formed)
        count_.store(0, std::memory_order_relaxed);
    return permits;
}

bool semaphore::join_line(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    std::int64_t now = count_.load(std::memory_order_relaxed);
    while (now != line_formed) {
        const std::int64_t next = now > 0 ? now - 1 : line_formed;
        if (!count_.compare_exchange_weak(now, next, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
            continue;
        }
        if (next != line_formed) return false;
        break;
    }
    line_.add(place);
    return true;
}

bool semaphore::leave(detail::shared_place& place) noexcept {
    const std::lock_guard held(lock_);
    if (!line_.leave(place)) return false;
    if (line_.empty()) count_.store(0, std::memory_order_relaxed);
    return true;
}

bool semaphore::acquire_until(time_point deadline) noexcept {
    if (try_acquire()) return true;
    detail::thread_in_line<> self;
    if (!join_line(self)) return true;
    return self.wait(deadline, [this](detail::shared_place& place) { return leave(place); });
}

void semaphore::acquire_blocking(std::source_location where) noexcept {
    detail::require_no_loop("acquire_blocking", "co_await x.acquire()", where);
    (void)acquire_until(forever);
}

bool semaphore::acquire_blocking(duration longest, std::source_location where) noexcept {
    detail::require_no_loop("acquire_blocking", "co_await lariat::timeout(t, x.acquire())", where);
    return acquire_until(detail::deadline_after(longest));
}

semaphore::permit semaphore::scoped_acquire_blocking(std::source_location where) noexcept {
    detail::require_no_loop("scoped_acquire_blocking", "auto p = co_await x.scoped_acquire()",
                            where);
    (void)acquire_until(forever);
    return permit(*this);
}

semaphore::permit semaphore::scoped_acquire_blocking(duration longest,
                                                     std::source_location where) noexcept {
    detail::require_no_loop("scoped_acquire_blocking",
                            "auto p = co_await lariat::timeout(t, x.scoped_acquire())", where);
    return acquire_until(detail::deadline_after(longest)) ? permit(*this) : permit();
}

const wait_kind semaphore::acquire_wait::kind_of_wait{"a permit of a shared::semaphore",
                                                      &semaphore::acquire_wait::cut};

void semaphore::acquire_wait::cut(waiter& w) noexcept {
    auto& self = static_cast<acquire_wait&>(w);
    if (self.semaphore_->leave(self)) self.wake(wake_reason::cut);
}

}  // namespace lariat::shared

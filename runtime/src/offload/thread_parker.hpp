#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/offload/pool_future.hpp>

#include <condition_variable>
#include <mutex>

namespace lariat::detail {

/// Where a plain thread waits to be told, on its own stack.
class thread_parker : public work_listener {
 public:
    thread_parker() noexcept : work_listener(&tell_it) {}

    /// False if `until` came first: it may still be told.
    [[nodiscard]] bool wait_until(time_point until) {
        std::unique_lock held(mutex_);
        const auto was_told = [this] { return told_; };
        if (until != forever) return changed_.wait_until(held, until, was_told);
        changed_.wait(held, was_told);
        return true;
    }

 private:
    static void tell_it(work_listener& listener) noexcept {
        auto& self = static_cast<thread_parker&>(listener);
        const std::lock_guard held(self.mutex_);
        self.told_ = true;
        // With the lock held: without it, the one who waits may be gone by now.
        self.changed_.notify_one();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool told_ = false;
};

}  // namespace lariat::detail

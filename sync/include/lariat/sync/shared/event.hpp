#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/sync/shared/short_lock.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <atomic>
#include <coroutine>
#include <source_location>

namespace lariat::shared {

/// A flag that the tasks of all loops and plain threads wait for; while it is set, all pass.
///
///     lariat::shared::event ready;
///     co_await ready.wait();     // in tasks of any loop
///     ready.wait_blocking();     // in a thread without a loop
///     ready.set();               // anywhere
///
/// Order        those who waited pass, also when it is cleared before they have run; on one loop
///              in the order in which they came
/// Threads      any; what was done before set() is seen after a wait that it ended
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none
class LARIAT_EXPORT event {
 public:
    class awaiter;

    event() noexcept = default;
    event(const event&) = delete;
    event& operator=(const event&) = delete;

    /// Wakes all who wait, and lets pass whoever comes, until clear(). Cost: one atomic operation
    /// if it is set; else a short lock, and one wake for each loop that sleeps and each thread.
    void set() noexcept {
        // Not a mere look: that could still see the flag as it was before a clear() whose thread
        // then looks, in vain, for what was done before this call. This one comes before or after
        // that clear (its partner), and in the first case is acquired by it.
        bool on = true;
        if (!set_.compare_exchange_strong(on, true, std::memory_order_acq_rel,
                                          std::memory_order_relaxed))
            set_now();
    }
    /// What was done before a set() that it takes back is seen after it: clear, then look. Cost: a
    /// short lock.
    void clear() noexcept;
    /// Others may still be inside set(): only a wait makes it safe to destroy the event, and that
    /// for the one who alone waited.
    [[nodiscard]] bool is_set() const noexcept {
        return set_.load(std::memory_order_acquire);  // what set() released
    }

    /// Suspends until it is set, not at all if it is · Cancel: leaves the line, O(1) · Cost: two
    /// looks if it is set.
    [[nodiscard]] awaiter wait() noexcept;
    /// The same for a thread without a loop, which sleeps meanwhile. With a time: false if it was
    /// not set for so long.
    void wait_blocking(std::source_location where = std::source_location::current()) noexcept;
    [[nodiscard]] bool wait_blocking(
        duration longest, std::source_location where = std::source_location::current()) noexcept;

 private:
    /// Set, and whoever did it is done with the lock: the event may go now. To see it set is to see
    /// lock_ taken or given back since.
    [[nodiscard]] bool passes() const noexcept { return is_set() && lock_.is_idle(); }
    void set_now() noexcept;
    /// False if it is set meanwhile.
    [[nodiscard]] bool join_line(detail::shared_place& place) noexcept;
    [[nodiscard]] bool leave(detail::shared_place& place) noexcept;
    [[nodiscard]] bool wait_until(time_point deadline) noexcept;

    std::atomic<bool> set_{false};  // changed under lock_
    detail::short_lock lock_;
    detail::shared_line<> line_;  // empty while it is set
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] event::awaiter
    : public detail::task_in_line<>,
      public single_step {
 public:
    explicit awaiter(event& which) noexcept : task_in_line(kind_of_wait), event_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (event_->passes()) return pass(p, frame);
        set_out();
        if (!event_->join_line(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static void cut(waiter& w) noexcept;
    LARIAT_EXPORT static const wait_kind kind_of_wait;

    event* event_;
};

inline event::awaiter event::wait() noexcept { return awaiter(*this); }

}  // namespace lariat::shared

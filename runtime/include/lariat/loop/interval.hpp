#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/timer_queue.hpp>

#include <coroutine>
#include <cstdint>

namespace lariat {

class interval;

namespace detail {

/// Waits for the next moment of an interval's grid.
class LARIAT_EXPORT tick_awaiter : public wait_point, public single_step, private timer_entry {
 public:
    explicit tick_awaiter(interval& of) noexcept
        : wait_point(kind_of_wait), timer_entry(&due), of_(&of) {}
    tick_awaiter(tick_awaiter&& other) noexcept
        : wait_point(static_cast<wait_point&&>(other)), timer_entry(&due), of_(other.of_) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    std::uint64_t await_resume();

 private:
    [[nodiscard]] bool must_wait() noexcept;
    static void due(timer_entry& entry) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    interval* of_;
};

}  // namespace detail

/// Moments at a fixed distance from each other.
///
///     lariat::interval ticks(100ms);
///     for (;;) {
///         const std::uint64_t missed = co_await ticks.next();
///         co_await measure();          // however long it takes, the grid stays where it is
///     }
///
/// Order        the grid is reckoned from the start, so errors do not add up; a tick never comes
///              early
/// Threads      one loop: the one it was made on
/// Lifetime     outlives its wait
/// Allocation   none
class LARIAT_EXPORT interval {
 public:
    /// Ticks at `period`, twice `period`, ... from now. Pre: a loop runs on this thread. Errors:
    /// std::invalid_argument unless `period` is positive.
    explicit interval(duration period);
    /// The first tick at `first`, which may have passed, and one every `period` from there.
    interval(time_point first, duration period);

    /// Suspends until the next tick; not at all if one or more have passed since the last call ·
    /// Returns how many were missed: 0 in time, 2 when two earlier ones went by unseen · Cancel: no
    /// tick was taken · Overlap: one task at a time.
    [[nodiscard("a tick is awaited: co_await ticks.next()")]] detail::tick_awaiter next() noexcept {
        return detail::tick_awaiter(*this);
    }

    [[nodiscard]] duration period() const noexcept { return period_; }
    /// When the next tick is due; it may have passed.
    [[nodiscard]] time_point next_at() const noexcept { return next_; }

 private:
    friend class detail::tick_awaiter;

    time_point next_;
    duration period_;
    bool awaited_ = false;
};

}  // namespace lariat

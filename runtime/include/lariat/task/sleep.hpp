#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/task/promise.hpp>

namespace lariat {

class LARIAT_EXPORT sleep_awaiter : public wait_point, public single_step, private timer_entry {
 public:
    explicit sleep_awaiter(time_point until) noexcept
        : wait_point(kind_of_wait), timer_entry(&due) {
        deadline = until;
    }
    sleep_awaiter(sleep_awaiter&& other) noexcept
        : wait_point(static_cast<wait_point&&>(other)), timer_entry(&due) {
        deadline = other.deadline;
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        this_scheduler->timers.arm(*this, deadline);
        park(p, frame);
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static void due(timer_entry& self) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;
};

/// Sleeps until `until`; never wakes early. A time that has passed still lets the others run once.
[[nodiscard("a sleep does nothing until it is awaited: co_await it")]] inline sleep_awaiter
sleep_until(time_point until) noexcept {
    return sleep_awaiter(until);
}

/// Sleeps for at least `length`, counted from this call.
///
/// Order        sleepers due in one turn wake by deadline, then in the order in which they began
/// Cancel       wakes at once and throws
/// Cost         one clock reading, O(1)
[[nodiscard("a sleep does nothing until it is awaited: co_await it")]] inline sleep_awaiter sleep(
    duration length) noexcept {
    return sleep_until(saturating_add(detail::required_scheduler("lariat::sleep").now(), length));
}

/// Lets everything that is ready run first.
struct [[nodiscard("yield_now does nothing until it is awaited")]] yield_now : awaiter_base {
    yield_now() noexcept {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
        party_of(frame).requeue(frame);
    }
    void await_resume() const noexcept {}
};

}  // namespace lariat

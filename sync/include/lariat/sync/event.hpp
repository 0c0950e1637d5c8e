#pragma once

#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>

namespace lariat {

/// A flag that tasks wait for; while it is set, all pass.
///
///     lariat::event ready;
///     co_await ready.wait();   // in any number of tasks
///     ready.set();             // in one: they all go on
///
/// Order        those who waited go on in the order in which they came, also when it is cleared
///              before they have run
/// Threads      one loop; from another thread: loop.post
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none
class event {
 public:
    class awaiter;

    /// Wakes all who wait, and lets pass whoever comes, until clear(). Runs nobody.
    void set() noexcept {
        set_ = true;
        line_.wake_all();
    }
    void clear() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Suspends until it is set, not at all if it is · Cancel: leaves the line, O(1).
    [[nodiscard]] awaiter wait() noexcept;

 private:
    wait_queue line_;
    bool set_ = false;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] event::awaiter
    : public wait_point,
      public single_step {
 public:
    explicit awaiter(event& which) noexcept : wait_point(kind_of_wait), event_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        if (event_->set_) return pass(p, frame);
        park(p, frame);
        event_->line_.add(*this);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static constexpr wait_kind kind_of_wait{"an event to be set", &wait_queue::leave};

    event* event_;
};

inline event::awaiter event::wait() noexcept { return awaiter(*this); }

}  // namespace lariat

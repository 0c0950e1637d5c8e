#pragma once

#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

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
class event : private wait_line {
 public:
    class awaiter;

    event() noexcept : wait_line(&kind_of_wait) {}

    /// Wakes all who wait, and lets pass whoever comes, until clear(). Runs nobody.
    void set() noexcept {
        set_ = true;
        detail::grant_all(line_);
    }
    void clear() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Suspends until it is set, not at all if it is; also as an arm of a select · Cancel:
    /// leaves the line, O(1).
    [[nodiscard]] awaiter wait() noexcept;

 private:
    static constexpr wait_kind kind_of_wait{"an event to be set", &wait_queue::leave};

    wait_queue line_;
    bool set_ = false;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] event::awaiter
    : public detail::selectable_wait<event::awaiter> {
 public:
    explicit awaiter(event& which) noexcept : selectable_wait(which) {}

    [[nodiscard]] bool attempt() const noexcept { return which().set_; }
    void join_line() noexcept { which().line_.add(*this); }
    void result() const noexcept {}

 private:
    [[nodiscard]] event& which() const noexcept { return static_cast<event&>(line()); }
};

inline event::awaiter event::wait() noexcept { return awaiter(*this); }

}  // namespace lariat

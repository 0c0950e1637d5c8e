#pragma once

#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>
#include <utility>

namespace lariat {

/// A signal that lets one task pass and is then taken: a set() is kept until somebody takes it, and
/// several that nobody took count as one.
///
/// Order        first come, first served; a set() goes to the one who has waited longest, and who
///              comes between that and its next leg waits
/// Threads      one loop; from another thread: loop.post
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none
class auto_reset_event {
 public:
    class awaiter;

    /// Wakes the first who waits; if nobody does, the next to come passes. Runs nobody.
    void set() noexcept {
        if (!line_.wake_one()) set_ = true;
    }
    void clear() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Suspends until a set() comes for this task, not at all if it is set · Cancel: leaves the
    /// line, O(1), and has taken no signal; one whose signal had come has it.
    [[nodiscard]] awaiter wait() noexcept;
    /// Takes the signal if it is set: whether it was.
    [[nodiscard]] bool try_wait() noexcept { return std::exchange(set_, false); }

 private:
    wait_queue line_;  // empty while it is set
    bool set_ = false;
};

class [[nodiscard(
    "a wait does nothing until it is awaited: co_await it")]] auto_reset_event::awaiter
    : public wait_point,
      public single_step {
 public:
    explicit awaiter(auto_reset_event& which) noexcept : wait_point(kind_of_wait), event_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        if (event_->try_wait()) return pass(p, frame);
        park(p, frame);
        event_->line_.add(*this);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static constexpr wait_kind kind_of_wait{"an auto_reset_event to be set", &wait_queue::leave};

    auto_reset_event* event_;
};

inline auto_reset_event::awaiter auto_reset_event::wait() noexcept { return awaiter(*this); }

}  // namespace lariat

#pragma once

#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

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
        if (!detail::grant_first(line_)) set_ = true;
    }
    void clear() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Suspends until a set() comes for this task, not at all if it is set; also as an arm of
    /// a select · Cancel: leaves the line, O(1), and has taken no signal; one whose signal had come
    /// has it.
    [[nodiscard]] awaiter wait() noexcept;
    /// Takes the signal if it is set: whether it was.
    [[nodiscard]] bool try_wait() noexcept { return std::exchange(set_, false); }

 private:
    wait_queue line_;  // empty while it is set
    bool set_ = false;
};

class [[nodiscard(
    "a wait does nothing until it is awaited: co_await it")]] auto_reset_event::awaiter
    : public detail::selectable_wait<auto_reset_event::awaiter> {
 public:
    static constexpr wait_kind kind_of_wait{"an auto_reset_event to be set", &wait_queue::leave};

    explicit awaiter(auto_reset_event& which) noexcept : event_(&which) {}

    [[nodiscard]] bool attempt() noexcept { return event_->try_wait(); }
    void join_line() noexcept { event_->line_.add(*this); }
    void result() const noexcept {}

 private:
    auto_reset_event* event_;
};

inline auto_reset_event::awaiter auto_reset_event::wait() noexcept { return awaiter(*this); }

}  // namespace lariat

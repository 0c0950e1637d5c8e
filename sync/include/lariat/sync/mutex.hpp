#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/line_wait.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>

namespace lariat {

/// Lets one task at a time into what it guards, also across awaits.
///
///     auto guard = co_await mutex.lock();   // given back at the end of the scope
///
/// Order        first come, first served: it is handed to the first in line, and who comes between
///              that and the other's next leg waits
/// Threads      one loop; tasks of one loop need it only where an await lies between
/// Lifetime     outlives its guards and those who wait (asserted)
/// Allocation   none
/// Limits       a task that locks it twice waits for itself: recursive_mutex
class mutex {
 public:
    class awaiter;

    mutex() noexcept = default;
    ~mutex() { detail::require(!held_, "a mutex must outlive those who hold it or wait for it"); }

    /// Suspends until it is this task's turn, not at all if it is free · Returns a guard · Cancel:
    /// leaves the line, O(1); one to whom it was handed has it.
    [[nodiscard]] awaiter lock() noexcept;
    /// An empty guard if somebody holds it, or it has just been handed on.
    [[nodiscard]] guard<mutex> try_lock() noexcept {
        return take() ? guard<mutex>(*this) : guard<mutex>();
    }
    [[nodiscard]] bool locked() const noexcept { return held_; }

 private:
    friend struct detail::exclusive_hold;
    friend class condition;

    [[nodiscard]] bool take() noexcept {
        if (held_) return false;
        held_ = true;
        return true;
    }
    void unlock() noexcept {
        if (!line_.wake_one()) held_ = false;
    }

    // For a condition: gives it up, takes it again for a parked waiter, in its turn.
    std::size_t give_up() noexcept {
        unlock();
        return 1;
    }
    void take_or_queue(line_waiter& w) noexcept {
        if (take()) {
            w.wake();
        } else {
            line_.add(w);
        }
    }
    void restore(std::size_t) const noexcept {}

    wait_queue line_;  // empty while it is free
    bool held_ = false;
};

class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await m.lock()")]] mutex::awaiter
    : public detail::line_wait<mutex::awaiter> {
 public:
    static constexpr wait_kind kind_of_wait{"a mutex", &wait_queue::leave};

    explicit awaiter(mutex& which) noexcept : mutex_(&which) {}

    [[nodiscard]] bool attempt() const noexcept { return mutex_->take(); }
    void join_line() noexcept { mutex_->line_.add(*this); }
    [[nodiscard]] guard<mutex> result() const noexcept { return guard<mutex>(*mutex_); }

 private:
    mutex* mutex_;
};

inline mutex::awaiter mutex::lock() noexcept { return awaiter(*this); }

}  // namespace lariat

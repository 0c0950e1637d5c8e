#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/line_wait.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

namespace lariat {

/// A mutex that the task which holds it may take again; it is free when as many guards are gone as
/// were taken. The holder is a task with the tasks that it awaits: what is spawned or gathered is
/// another one, and waits.
///
/// Order        first come, first served, as mutex; its holder never waits
/// Threads      one loop
/// Lifetime     outlives its guards and those who wait (asserted); a guard goes in the task that
///              took it, before that ends (asserted): race and gather run what they are given as
///              tasks of their own, so it is timeout(d, m.lock()) and not race(m.lock(), ...)
/// Allocation   none
class recursive_mutex {
 public:
    class awaiter;

    recursive_mutex() noexcept = default;
    ~recursive_mutex() {
        detail::require(owner_ == nullptr,
                        "a recursive_mutex must outlive those who hold it or wait for it");
    }

    /// Suspends until it is this task's turn, not at all if it is free or held by this task ·
    /// Returns a guard · Cancel: leaves the line, O(1); one to whom it was handed has it.
    [[nodiscard]] awaiter lock() noexcept;
    /// An empty guard if another task holds it. Pre: inside a task.
    [[nodiscard]] guard<recursive_mutex> try_lock() noexcept {
        return take(running()) ? guard<recursive_mutex>(*this) : guard<recursive_mutex>();
    }
    [[nodiscard]] bool locked() const noexcept { return owner_ != nullptr; }

 private:
    friend struct detail::exclusive_hold;
    friend class condition;

    [[nodiscard]] static party& running() noexcept {
        party* const current = detail::required_scheduler("a recursive_mutex").current;
        detail::require(current != nullptr,
                        "a recursive_mutex is taken and released inside a task");
        return *current;
    }
    [[nodiscard]] bool take(party& who) noexcept {
        if (owner_ != nullptr && owner_ != &who) return false;
        if (owner_ == nullptr) own(who);
        ++depth_;
        return true;
    }
    void unlock() noexcept {
        detail::require(owner_ == &running(),
                        "a recursive_mutex is released by the task that took it");
        if (--depth_ == 0) hand_on();
    }
    // A task may not end as the owner: the next one at its address would pass for it.
    void own(party& who) noexcept {
        detail::require(who.bound != std::numeric_limits<std::uint16_t>::max(),
                        "a task holds at most 65,535 recursive mutexes at a time");
        ++who.bound;
        owner_ = &who;
    }
    void hand_on() noexcept {
        --owner_->bound;
        if (line_.empty()) {
            owner_ = nullptr;
            return;
        }
        own(*line_.front().who);
        depth_ = 1;
        line_.wake_one();
    }

    // For a condition: gives it up whole, takes it again for a parked waiter, in its turn.
    std::size_t give_up() noexcept {
        detail::require(owner_ == &running(),
                        "a recursive_mutex is given up to a condition by the task that took it");
        const std::size_t depth = depth_;
        depth_ = 0;
        hand_on();
        return depth;
    }
    void take_or_queue(line_waiter& w) noexcept {
        if (take(*w.who)) {
            w.wake();
        } else {
            line_.add(w);
        }
    }
    void restore(std::size_t depth) noexcept { depth_ = depth; }

    wait_queue line_;  // empty while it is free
    party* owner_ = nullptr;
    std::size_t depth_ = 0;
};

class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await m.lock()")]] recursive_mutex::
    awaiter : public detail::line_wait<recursive_mutex::awaiter> {
 public:
    static constexpr wait_kind kind_of_wait{"a recursive_mutex", &wait_queue::leave};

    explicit awaiter(recursive_mutex& which) noexcept : mutex_(&which) {}

    [[nodiscard]] bool attempt() const noexcept { return mutex_->take(running()); }
    void join_line() noexcept { mutex_->line_.add(*this); }
    [[nodiscard]] guard<recursive_mutex> result() const noexcept {
        return guard<recursive_mutex>(*mutex_);
    }

 private:
    recursive_mutex* mutex_;
};

inline recursive_mutex::awaiter recursive_mutex::lock() noexcept { return awaiter(*this); }

}  // namespace lariat

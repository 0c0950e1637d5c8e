#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <limits>
#include <utility>

namespace lariat {

/// Lets tasks wait, under a lock, until another task says that something has changed.
///
///     auto guard = co_await mutex.lock();
///     co_await changed.wait(guard, [&] { return !items.empty(); });   // holds the lock again
///
/// Order        notify() goes to those who have waited longest; they take the lock again in that
///              order, behind those who stand in its line
/// Threads      one loop; the lock is a mutex or a recursive_mutex
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none; one frame where a predicate is given
class LARIAT_EXPORT condition {
    class wait_base;

 public:
    template <class Lock>
    class awaiter;

    /// Gives the lock up, suspends until notified, and takes the lock again; a recursive_mutex is
    /// given up whole, however often it is held. Pre: `held` holds it (asserted), in the task that
    /// took it, and stays where it is; until this returns it is empty.
    ///
    /// Cancel: takes the lock again, which cannot be cancelled, and then throws. One who was
    /// notified before it was cancelled returns; so no notify is spent on a task that does not see
    /// it.
    template <class Lock>
    [[nodiscard]] awaiter<Lock> wait(guard<Lock>& held) noexcept {
        return awaiter<Lock>(*this, held);
    }
    /// Waits until `holds()`, which is called under the lock, at first at once. Errors: what
    /// `holds` throws, under the lock as well.
    template <class Lock, std::predicate Predicate>
    task<> wait(guard<Lock>& held, Predicate holds) {
        while (!holds()) co_await wait(held);
    }

    /// Lets the first `n` who wait go on, or as many as there are. Runs nobody. It need not be
    /// called under the lock.
    void notify(std::size_t n = 1) noexcept;
    void notify_all() noexcept { notify(std::numeric_limits<std::size_t>::max()); }

 private:
    wait_queue line_;
};

/// One who waits: first in the condition's line, then in that of the lock.
class condition::wait_base : public line_point {
 protected:
    using relock_action = void (*)(wait_base&) noexcept;

    wait_base(condition& which, relock_action relock) noexcept
        : line_point(kind_of_wait), relock_(relock), condition_(&which) {}

    void stand_in_line() noexcept {
        set_kind(kind_of_wait);
        cut_ = false;
        condition_->line_.add(*this);
    }

    bool cut_ = false;

 private:
    friend class condition;

    /// From the one line to the other. Pre: on neither.
    void take_lock() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;
    static const wait_kind kind_of_relock;

    relock_action relock_;
    condition* condition_;
};

template <class Lock>
class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] condition::awaiter
    : public wait_base {
 public:
    awaiter(condition& which, guard<Lock>& held) noexcept
        : wait_base(which, &relock), held_(&held) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        // Empty while the lock is others': whoever unlocks through it, or waits with it too, is
        // told.
        lock_ = std::exchange(held_->lock_, nullptr);
        detail::require(lock_ != nullptr,
                        "a condition is waited for under a lock: this guard holds none, or another "
                        "task waits with it");
        park(party_of(frame), frame);
        stand_in_line();
        depth_ = lock_->give_up();
    }
    void await_resume() const {
        held_->lock_ = lock_;
        lock_->restore(depth_);
        if (cut_) [[unlikely]]
            detail::throw_cancelled();
    }

 private:
    static void relock(wait_base& self) noexcept {
        static_cast<awaiter&>(self).lock_->take_or_queue(self);
    }

    guard<Lock>* held_;
    Lock* lock_ = nullptr;
    std::size_t depth_ = 0;
};

}  // namespace lariat

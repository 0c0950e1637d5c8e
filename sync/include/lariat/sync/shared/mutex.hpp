#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/sync/shared/short_lock.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <source_location>

namespace lariat::shared {

/// Lets one at a time into what it guards: a task of any loop, across awaits, or a plain thread.
///
///     auto guard = co_await mutex.lock();      // in a task of any loop
///     auto guard = mutex.lock_blocking();      // in a thread without a loop
///
/// Order        first come, first served, tasks and threads alike: it is handed to the first in
///              line, and nobody overtakes
/// Threads      any; what was done before it was given back is seen after it was taken. A guard may
///              be given back on another thread than the one that took it
/// Lifetime     outlives its guards and those who wait (asserted)
/// Allocation   none
/// Limits       who locks it twice waits for itself. As it is handed over, a loop that must first
///              wake holds it meanwhile: for a few instructions without an await use std::mutex
class LARIAT_EXPORT mutex {
 public:
    class awaiter;
    using guard = lariat::guard<mutex>;

    mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;
    ~mutex() {
        detail::require(!locked(), "a mutex must outlive those who hold it or wait for it");
    }

    /// Suspends until it is this task's turn, not at all if it is free · Returns a guard · Cancel:
    /// leaves the line, O(1); one to whom it was handed has it · Cost: one atomic operation while
    /// it is free; else a short lock.
    [[nodiscard]] awaiter lock() noexcept;
    /// An empty guard if somebody holds it, or it has just been handed on.
    [[nodiscard]] guard try_lock() noexcept { return take() ? guard(*this) : guard(); }
    /// For a thread without a loop, which sleeps meanwhile. With a time: an empty guard if it did
    /// not get it for so long.
    [[nodiscard]] guard lock_blocking(
        std::source_location where = std::source_location::current()) noexcept;
    [[nodiscard]] guard lock_blocking(
        duration longest, std::source_location where = std::source_location::current()) noexcept;
    /// Whether anybody held it an instant ago.
    [[nodiscard]] bool locked() const noexcept {
        return state_.load(std::memory_order_relaxed) != is_free;
    }

 private:
    friend struct detail::exclusive_hold;

    /// While it has a line, only who holds lock_ writes the state.
    enum : std::uint32_t { is_free, is_held, has_line };

    [[nodiscard]] bool take() noexcept {
        std::uint32_t before = is_free;
        return state_.compare_exchange_strong(before, is_held, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    }
    /// Cost: one atomic operation while nobody waits.
    void unlock() noexcept {
        if (!let_go()) [[unlikely]]
            hand_on();
    }
    /// Makes it free; false if it has a line. When it is free it may be gone: nothing comes after.
    [[nodiscard]] bool let_go() noexcept {
        std::uint32_t before = is_held;
        return state_.compare_exchange_strong(before, is_free, std::memory_order_release,
                                              std::memory_order_relaxed);
    }
    void hand_on() noexcept;
    /// False if all have left the line meanwhile.
    [[nodiscard]] bool serve_first() noexcept;
    /// False if it is free meanwhile; it was taken.
    [[nodiscard]] bool join_line(detail::shared_place& place) noexcept;
    [[nodiscard]] bool leave(detail::shared_place& place) noexcept;
    [[nodiscard]] bool lock_until(time_point deadline) noexcept;

    std::atomic<std::uint32_t> state_{is_free};
    detail::short_lock lock_;
    detail::shared_line<> line_;
};

class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await m.lock()")]] mutex::awaiter
    : public detail::task_in_line<>,
      public single_step {
 public:
    explicit awaiter(mutex& which) noexcept : task_in_line(kind_of_wait), mutex_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (mutex_->take()) return pass(p, frame);
        set_out();
        if (!mutex_->join_line(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    [[nodiscard]] guard await_resume() const {
        throw_if_cut();
        return guard(*mutex_);
    }

 private:
    static void cut(waiter& w) noexcept;
    LARIAT_EXPORT static const wait_kind kind_of_wait;

    mutex* mutex_;
};

inline mutex::awaiter mutex::lock() noexcept { return awaiter(*this); }

}  // namespace lariat::shared

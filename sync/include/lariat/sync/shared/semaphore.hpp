#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/sync/shared/short_lock.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <algorithm>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>

namespace lariat::shared {

/// A number of permits for the tasks of all loops and for plain threads: so many are inside at
/// once.
///
///     auto permit = co_await seats.scoped_acquire();   // released at the end of the scope
///
/// Order        first come, first served, tasks and threads alike: a permit that is released goes
///              to the first in line, and nobody overtakes. Who was served by one thread and who by
///              another may wake in either order
/// Threads      any; what was done before a release is seen after the acquire that it ended
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none
/// Limits       2^62 permits
class LARIAT_EXPORT semaphore {
 public:
    class acquire_wait;
    class permit_wait;
    using permit = lariat::permit<semaphore>;

    explicit semaphore(std::size_t permits) noexcept : count_(checked(permits)) {}
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Suspends until there is a permit · Cancel: leaves the line, O(1), and has none; one who was
    /// given it has it · Cost: one atomic operation while there are permits; else a short lock.
    [[nodiscard]] acquire_wait acquire() noexcept;
    /// The same; the permit goes back with what this returns.
    [[nodiscard]] permit_wait scoped_acquire() noexcept;
    /// False if there is no permit.
    [[nodiscard]] bool try_acquire() noexcept {
        std::int64_t now = count_.load(std::memory_order_relaxed);
        while (now > 0) {
            // Acquires what release() released.
            if (count_.compare_exchange_weak(now, now - 1, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    /// For a thread without a loop, which sleeps meanwhile. With a time: false if there was no
    /// permit for so long, and none was taken.
    void acquire_blocking(std::source_location where = std::source_location::current()) noexcept;
    [[nodiscard]] bool acquire_blocking(
        duration longest, std::source_location where = std::source_location::current()) noexcept;
    /// With a time: empty if there was no permit for so long.
    [[nodiscard]] permit scoped_acquire_blocking(
        std::source_location where = std::source_location::current()) noexcept;
    [[nodiscard]] permit scoped_acquire_blocking(
        duration longest, std::source_location where = std::source_location::current()) noexcept;

    /// Gives back `permits`, to the first in line and what is left to whoever comes. Runs nobody.
    /// Cost: one atomic operation while nobody waits.
    void release(std::size_t permits = 1) noexcept {
        std::int64_t left = checked(permits);
        while (!add(left)) left = serve_line(left);
    }
    /// How many an instant ago.
    [[nodiscard]] std::size_t available() const noexcept {
        const std::int64_t now = count_.load(std::memory_order_relaxed);
        return static_cast<std::size_t>(std::max<std::int64_t>(now, 0));
    }

 private:
    friend struct detail::permit_hold;

    /// Instead of a count: there is a line, so there are no permits. Only who holds lock_ writes it
    /// or writes something else over it.
    static constexpr std::int64_t line_formed = -1;

    static constexpr std::int64_t most = std::int64_t{1} << 62;

    static std::int64_t checked(std::size_t permits) noexcept {
        detail::require(permits <= std::size_t{most}, "a semaphore has at most 2^62 permits");
        return static_cast<std::int64_t>(permits);
    }
    void give_back() noexcept { release(); }
    /// False if there is a line. Once they are there it may be gone: nothing comes after.
    [[nodiscard]] bool add(std::int64_t permits) noexcept {
        if (permits == 0) return true;
        std::int64_t now = count_.load(std::memory_order_relaxed);
        while (now >= 0) {
            detail::require(now <= most - permits, "a semaphore has at most 2^62 permits");
            if (count_.compare_exchange_weak(now, now + permits, std::memory_order_release,
                                             std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    /// Returns what those in line have left.
    [[nodiscard]] std::int64_t serve_line(std::int64_t permits) noexcept;
    /// False if there is a permit meanwhile; it was taken.
    [[nodiscard]] bool join_line(detail::shared_place& place) noexcept;
    [[nodiscard]] bool leave(detail::shared_place& place) noexcept;
    [[nodiscard]] bool acquire_until(time_point deadline) noexcept;

    std::atomic<std::int64_t> count_;
    detail::short_lock lock_;
    detail::shared_line<> line_;
};

class [[nodiscard(
    "acquire() takes nothing until it is awaited: co_await it")]] semaphore::acquire_wait
    : public detail::task_in_line<>,
      public single_step {
 public:
    explicit acquire_wait(semaphore& which) noexcept
        : task_in_line(kind_of_wait), semaphore_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (semaphore_->try_acquire()) return pass(p, frame);
        set_out();
        if (!semaphore_->join_line(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 protected:
    [[nodiscard]] semaphore& which() const noexcept { return *semaphore_; }

 private:
    static void cut(waiter& w) noexcept;
    LARIAT_EXPORT static const wait_kind kind_of_wait;

    semaphore* semaphore_;
};

class [[nodiscard(
    "scoped_acquire() takes nothing until it is awaited: auto p = co_await "
    "s.scoped_acquire()")]] semaphore::permit_wait : public acquire_wait {
 public:
    using acquire_wait::acquire_wait;
    [[nodiscard]] permit await_resume() const {
        throw_if_cut();
        return permit(which());
    }
};

inline semaphore::acquire_wait semaphore::acquire() noexcept { return acquire_wait(*this); }
inline semaphore::permit_wait semaphore::scoped_acquire() noexcept { return permit_wait(*this); }

}  // namespace lariat::shared

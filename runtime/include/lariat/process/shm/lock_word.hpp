#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/transaction.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// One who wants a lock, over its attempts.
struct lock_request {
    explicit lock_request(bool to_repair) noexcept : repairs(to_repair) {}

    bool repairs;        ///< takes it although a holder has died
    bool slept = false;  ///< it does not know who else sleeps, so it marks the word for them
    bool died = false;   ///< out: done, but it has not got it
};

/// A lock in one word of shared memory, held by a process: it may be given back by any of its
/// threads.
///
/// States       free -> held (by a slot) -> free; held -> died (its process ended) -> held for
///              repair -> free (made consistent) | died (given back, or its process ended)
/// Invariant 1  bit 31 (somebody may sleep) only stands in a word that names a holder
/// Invariant 2  bit 30 (a holder has died) is set by the sweeper, or by one who found the holder
///              dead, and cleared by who holds it for repair
/// Order        none: who runs may overtake who sleeps. Handing it over would cost the time of two
///              switches between processes for every turn
/// Threads      any, of any process of the family
class LARIAT_EXPORT lock_word {
 public:
    /// Pre: this process belongs to a family (asserted).
    [[nodiscard]] bool try_take() noexcept {
        std::uint32_t free = nobody;
        if (!word_.compare_exchange_strong(free, self(), std::memory_order_acquire,
                                           std::memory_order_relaxed))
            return false;
        step();
        return true;
    }
    [[nodiscard]] futex_step attempt(lock_request& who) noexcept {
        who.died = false;
        if (!who.slept && try_take()) [[likely]]
            return futex_step::done();
        return attempt_slowly(who);
    }
    /// For a thread without a loop. False if it was not done by the deadline.
    [[nodiscard]] bool attempt_until(lock_request& who, time_point deadline) noexcept;

    /// Pre: this process holds it (asserted).
    void release() noexcept {
        std::uint32_t held = this_owner.load(std::memory_order_relaxed);
        step();
        if (held == nobody ||
            !word_.compare_exchange_strong(held, nobody, std::memory_order_release,
                                           std::memory_order_relaxed)) [[unlikely]]
            release_slowly();
    }
    /// For a cancelled wait that may have taken a wake.
    void pass_on() noexcept { (void)futex_wake(word_, 1); }

    [[nodiscard]] bool held_by_this_process() const noexcept {
        return holder() == this_owner.load(std::memory_order_relaxed);
    }
    [[nodiscard]] owner_id holder() const noexcept {
        return word_.load(std::memory_order_relaxed) & owner_bits;
    }
    /// Whether a holder has died, and nobody has repaired it since.
    [[nodiscard]] bool inconsistent() const noexcept {
        return (word_.load(std::memory_order_acquire) & has_died) != 0;
    }
    /// The pid of the holder that died last.
    [[nodiscard]] int dead_pid() const noexcept {
        return static_cast<int>(history_.load(std::memory_order_relaxed) & ~has_slept);
    }
    /// Pre: held for repair.
    void make_consistent() noexcept { word_.fetch_and(~has_died, std::memory_order_relaxed); }

    /// If `dead` holds it, it has died. All who sleep look again in any case: the dead may have
    /// taken a wake, or not given one. No system call where nobody has ever slept.
    void sweep(owner_id dead) noexcept;

 private:
    static constexpr std::uint32_t has_waiters = 1U << 31U;
    static constexpr std::uint32_t has_died = 1U << 30U;
    static constexpr std::uint32_t has_slept = 1U << 31U;

    [[nodiscard]] static owner_id self() noexcept {
        const owner_id me = this_owner.load(std::memory_order_relaxed);
        require(me != nobody,
                "a process that was forked by hand does not use its parent's shared objects: make "
                "it with lariat::process::start()");
        return me;
    }
    [[nodiscard]] futex_step attempt_slowly(lock_request& who) noexcept;
    void release_slowly() noexcept;

    futex_word word_{nobody};
    std::atomic<std::uint32_t> history_{0};  // bit 31: somebody has slept; the pid that died last
};

}  // namespace lariat::detail

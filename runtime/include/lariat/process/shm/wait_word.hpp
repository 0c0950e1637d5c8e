#pragma once

#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// Where those wait who found the state of a shared object unsuitable. It counts the changes of
/// that state, and knows whether anybody may sleep: a change that concerns nobody costs no system
/// call.
///
///     who waits, inside the transaction that        who changes it, inside the transaction that
///     found no use in going on                      changed the state
///         value = word.prepare();                       wakes = word.bump();
///     and after it                                  and after it
///         return word.wait(value);                      if (wakes) word.wake_one();
///
/// The wake may be lost with a process that is killed before it, or after it was woken: so a kind's
/// sweep calls sweep() for each of its words.
///
/// Invariant    whoever sleeps found bit 0 set, and its value was the word's; bit 0 is only cleared
///              together with a change of the rest, and all are woken after that
/// Order        of those who wait any may be woken first
/// Threads      any, of any process. Without a transaction: prepare, then look at the state again;
///              change the state, then bump; all of them sequentially consistent
class LARIAT_EXPORT wait_word {
 public:
    /// Somebody is about to sleep: returns the value to wait with.
    [[nodiscard]] std::uint32_t prepare() noexcept {
        return word_.fetch_or(may_sleep, std::memory_order_seq_cst) | may_sleep;
    }
    [[nodiscard]] futex_step wait(std::uint32_t value) const noexcept {
        return futex_step::wait(word_, value);
    }
    /// The state was changed: who is about to sleep looks again. Returns whether somebody may sleep
    /// and is to be woken.
    [[nodiscard]] bool bump() noexcept {
        std::uint32_t now = word_.load(std::memory_order_seq_cst);
        while ((now & may_sleep) != 0) {
            if (word_.compare_exchange_weak(now, now + one_change, std::memory_order_seq_cst))
                return true;
        }
        return false;
    }
    /// Wakes one, if any sleeps. Pre (both): after bump().
    void wake_one() noexcept;
    void wake_all() noexcept;
    /// Passes a wake on that a cancelled wait may have taken.
    void pass_on() noexcept { wake_one(); }
    /// A process has ended, after the change of the state that this may have meant: all look again.
    /// No system call where nobody has ever slept.
    void sweep() noexcept;

 private:
    static constexpr std::uint32_t may_sleep = 1;
    static constexpr std::uint32_t one_change = 2;

    futex_word word_{0};
};

}  // namespace lariat::detail

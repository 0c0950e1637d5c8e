#include <lariat/process/transaction.hpp>

#include <lariat/base/clock.hpp>
#include <lariat/loop/futex.hpp>

#include "process/slots.hpp"

#include <chrono>

namespace lariat::detail {

namespace {

constexpr int spins = 200;  // some 2 us: longer than what is done under the lock takes
// The fork server opens a dead holder's lock long before; this is for when it is gone as well.
constexpr auto patience = std::chrono::milliseconds(50);

inline void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

void robust_lock::lock_slowly() noexcept {
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    require(self != nobody,
            "a process that was forked by hand does not use its parent's shared "
            "objects: make it with lariat::process::start()");
    for (int i = 0; i < spins; ++i) {
        std::uint32_t free = nobody;
        if (word_.load(std::memory_order_relaxed) == nobody &&
            word_.compare_exchange_weak(free, self, std::memory_order_acquire,
                                        std::memory_order_relaxed))
            return;
        pause_briefly();
    }
    // Whoever has slept does not know of others that do, so it marks the word for them.
    for (;;) {
        std::uint32_t seen = word_.load(std::memory_order_relaxed);
        if (seen == nobody) {
            if (word_.compare_exchange_weak(seen, self | has_waiters, std::memory_order_acquire,
                                            std::memory_order_relaxed))
                return;
            continue;
        }
        if ((seen & has_waiters) == 0 &&
            !word_.compare_exchange_weak(seen, seen | has_waiters, std::memory_order_relaxed))
            continue;
        const auto ended = futex_wait_blocking(word_, seen | has_waiters,
                                               std::chrono::steady_clock::now() + patience);
        if (ended != futex_end::timed_out) continue;
        if (const owner_id holder = seen & owner_bits; process_is_gone(holder) && inherit(holder))
            return;
    }
}

void robust_lock::wake_next() noexcept { (void)futex_wake(word_, 1); }

bool robust_lock::inherit(owner_id dead) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    while ((seen & owner_bits) == dead) {
        const std::uint32_t mine =
            this_owner.load(std::memory_order_relaxed) | (seen & has_waiters);
        if (word_.compare_exchange_weak(seen, mine, std::memory_order_acquire)) return true;
    }
    return false;
}

void guarded::undo() noexcept {
    // Each step can be done twice: who dies in here leaves the rest to the next.
    for (std::uint32_t left = changes.load(std::memory_order_relaxed); left > 0;) {
        const change& last = log[--left];
        if ((last.where & 1U) != 0) {
            reinterpret_cast<std::atomic<std::uint32_t>*>(last.where & ~std::uintptr_t{1})
                ->store(static_cast<std::uint32_t>(last.before), std::memory_order_relaxed);
        } else {
            reinterpret_cast<std::atomic<std::uint64_t>*>(last.where)
                ->store(last.before, std::memory_order_relaxed);
        }
        std::atomic_signal_fence(std::memory_order_seq_cst);
        changes.store(left, std::memory_order_relaxed);
        step();
    }
}

void guarded::recover(owner_id dead) noexcept {
    if (lock.holder() != dead || !lock.inherit(dead)) return;
    undo();
    lock.unlock();
}

}  // namespace lariat::detail

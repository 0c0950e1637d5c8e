#include <lariat/process/shm/lock_word.hpp>

#include "process/slots.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

namespace lariat::detail {

namespace {

constexpr int all = std::numeric_limits<int>::max();
// The fork server tells of a dead holder long before; this is for when it is gone as well.
constexpr auto patience = std::chrono::milliseconds(50);

}  // namespace

futex_step lock_word::attempt_slowly(lock_request& who) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    for (;;) {
        if ((seen & owner_bits) == nobody) {
            if ((seen & has_died) != 0 && !who.repairs) {
                who.died = true;
                return futex_step::done();
            }
            const std::uint32_t mine = self() | seen | (who.slept ? has_waiters : 0);
            if (!word_.compare_exchange_weak(seen, mine, std::memory_order_acquire)) continue;
            step();
            return futex_step::done();
        }
        // Before the word, which the sweeper looks at first.
        if ((history_.load(std::memory_order_relaxed) & has_slept) == 0)
            history_.fetch_or(has_slept, std::memory_order_seq_cst);
        const std::uint32_t waited_for = seen | has_waiters;
        if (seen != waited_for &&
            !word_.compare_exchange_weak(seen, waited_for, std::memory_order_acquire))
            continue;
        step();
        who.slept = true;
        return futex_step::wait(word_, waited_for);
    }
}

bool lock_word::attempt_until(lock_request& who, time_point deadline) noexcept {
    for (;;) {
        const futex_step next = attempt(who);
        if (next.is_done()) return true;
        const time_point now = clock::now();
        if (now >= deadline) return false;
        const auto ended = futex_wait_blocking(next.word(), next.value(),
                                               std::min(deadline, saturating_add(now, patience)));
        if (ended != futex_end::timed_out) continue;
        const owner_id owner = holder();
        if (owner != nobody && process_is_gone(owner)) sweep(owner);
    }
}

void lock_word::release_slowly() noexcept {
    const owner_id me = this_owner.load(std::memory_order_relaxed);
    if (me == nobody) return;  // a child forked by hand has copies of guards; they hold nothing
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    require((seen & owner_bits) == me, "a shared lock is given back by the process that holds it");
    const std::uint32_t died = seen & has_died;
    seen = word_.exchange(died, std::memory_order_release);
    step();
    // Who learns that a holder has died passes no wake on.
    if ((seen & has_waiters) != 0) (void)futex_wake(word_, died != 0 ? all : 1);
    step();
}

void lock_word::sweep(owner_id dead) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    // 0 if the fork server has swept it meanwhile, and noted its pid.
    if (const int pid = pid_of(dead); pid != 0 && (seen & owner_bits) == dead) {
        std::uint32_t before = history_.load(std::memory_order_relaxed);
        while (!history_.compare_exchange_weak(
            before, (before & has_slept) | static_cast<std::uint32_t>(pid),
            std::memory_order_relaxed)) {
        }
    }
    while ((seen & owner_bits) == dead &&
           !word_.compare_exchange_weak(seen, has_died, std::memory_order_seq_cst)) {
    }
    // Bit 31 of the word does not tell: who gives the lock back takes it away, and then wakes.
    if ((history_.load(std::memory_order_seq_cst) & has_slept) != 0) (void)futex_wake(word_, all);
}

}  // namespace lariat::detail

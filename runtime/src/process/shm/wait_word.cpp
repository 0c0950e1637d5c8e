#include <lariat/process/shm/wait_word.hpp>

#include <lariat/process/transaction.hpp>

#include <limits>

namespace lariat::detail {

void wait_word::wake_one() noexcept {
    step();
    // Nobody slept: bit 0 was left by one who was cancelled or killed, or its setter is still on
    // its way to sleep, and then the change of the word turns it round.
    if (futex_wake(word_, 1) == 0) wake_all();
    step();
}

void wait_word::wake_all() noexcept {
    step();
    std::uint32_t now = word_.load(std::memory_order_relaxed);
    while ((now & may_sleep) != 0 &&
           !word_.compare_exchange_weak(now, (now + one_change) & ~may_sleep,
                                        std::memory_order_seq_cst)) {
    }
    step();
    (void)futex_wake(word_, std::numeric_limits<int>::max());
    step();
}

void wait_word::sweep() noexcept {
    // Bit 0 does not tell: the dead may have cleared it, and not woken anybody yet. But then it has
    // counted that as a change.
    if (word_.load(std::memory_order_seq_cst) == 0) return;
    (void)bump();
    wake_all();
}

}  // namespace lariat::detail

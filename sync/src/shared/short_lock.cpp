#include <lariat/sync/shared/short_lock.hpp>

#include "shared/futex.hpp"

namespace lariat::detail {

void short_lock::lock_slowly() noexcept {
    constexpr int looks = 50;  // of 10 to 40 ns each
    for (int i = 0; i < looks; ++i) {
        spin_pause();
        std::uint32_t before = is_free;
        if (word_.load(std::memory_order_relaxed) == is_free &&
            word_.compare_exchange_weak(before, is_held, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
            return;
        }
    }
    // From here on its unlock wakes somebody, perhaps in vain: whoever slept cannot know whether
    // others still do.
    while (word_.exchange(has_sleepers, std::memory_order_acquire) != is_free)
        (void)futex_wait(word_, has_sleepers, forever);
}

void short_lock::wake_sleeper(const std::atomic<std::uint32_t>& word) noexcept {
    futex_wake_one(word);
}

}  // namespace lariat::detail

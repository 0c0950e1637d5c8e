#pragma once

#include <lariat/base/clock.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// Sleeps while `word` is `expected`, until it is woken; it may also return for no reason
/// (futex(2)). False if `until` came first.
[[nodiscard]] bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                              time_point until) noexcept;
/// Wakes one thread that sleeps there. The memory may be gone: a wake too many is harmless.
void futex_wake_one(const std::atomic<std::uint32_t>& word) noexcept;

/// Tells the core that this thread looks at a word again and again.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace lariat::detail

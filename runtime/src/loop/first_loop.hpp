#pragma once

#include <atomic>

namespace lariat::detail {

/// Called once, by the making of the process's first loop, before anything of that is there: for
/// what must come before any ring, lock or thread. Set before main() by whoever needs it.
inline constinit std::atomic<void (*)() noexcept> before_first_loop{nullptr};
inline constinit std::atomic<bool> loop_was_made{false};

/// Threads      any; only the first call does anything
inline void note_loop() noexcept {
    if (loop_was_made.load(std::memory_order_relaxed)) return;
    auto* const hook = before_first_loop.load(std::memory_order_relaxed);
    if (loop_was_made.exchange(true, std::memory_order_relaxed) || hook == nullptr) return;
    hook();
}

}  // namespace lariat::detail

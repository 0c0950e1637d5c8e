#pragma once

#include <lariat/base/config.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// Guards the few instructions in which threads change what they share: a line, a count, a buffer.
/// Nobody waits or wakes anybody while holding it; of a user's code only an item's move, the
/// comparison of two, the end of what was moved from, and operator new run, and may not come back
/// here: it is not recursive.
///
/// Order        none is promised: who holds it is gone before order could matter
/// Threads      any; it may be destroyed as soon as all who took it have been told to go
/// Allocation   none
///
/// One word instead of std::mutex (40 bytes, two calls into the C library): an uncontended pair of
/// lock and unlock is two locked instructions. A thread that finds it held looks again for about a
/// microsecond, as its holder will be done by then if it runs at all, and sleeps after that.
class LARIAT_EXPORT short_lock {
 public:
    short_lock() noexcept = default;
    short_lock(const short_lock&) = delete;
    short_lock& operator=(const short_lock&) = delete;

    void lock() noexcept {
        std::uint32_t before = is_free;
        // Acquires what the one before released in unlock.
        if (!word_.compare_exchange_strong(before, is_held, std::memory_order_acquire,
                                           std::memory_order_relaxed)) [[unlikely]] {
            lock_slowly();
        }
    }
    void unlock() noexcept {
        if (word_.exchange(is_free, std::memory_order_release) == has_sleepers) [[unlikely]]
            wake_sleeper(word_);
    }

    /// Nobody holds it, nor did since whatever this thread has seen last of its holders.
    [[nodiscard]] bool is_idle() const noexcept {
        return word_.load(std::memory_order_acquire) == is_free;
    }

 private:
    enum : std::uint32_t { is_free, is_held, has_sleepers };

    void lock_slowly() noexcept;
    /// Of the word only the address is used: the lock may be gone by then.
    static void wake_sleeper(const std::atomic<std::uint32_t>& word) noexcept;

    std::atomic<std::uint32_t> word_{is_free};
};

}  // namespace lariat::detail

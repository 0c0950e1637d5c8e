#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/futex.hpp>

#include <cstddef>
#include <cstdint>

#include <linux/futex.h>
#include <time.h>

namespace lariat::detail {

/// Which wakes end a wait (futex(2), FUTEX_WAIT_BITSET). A plain FUTEX_WAKE ends all of them; the
/// last bit is for waking a helper thread, and nobody else who waits for the word.
inline constexpr std::uint32_t futex_helper_bit = 0x8000'0000;
inline constexpr std::uint32_t futex_plain_bits = ~futex_helper_bit;
inline constexpr std::uint32_t futex_all_bits = ~std::uint32_t{0};

/// A deadline on CLOCK_MONOTONIC as the kernel takes it; none for `forever`.
class futex_deadline {
 public:
    explicit futex_deadline(time_point until) noexcept;
    [[nodiscard]] const timespec* get() const noexcept { return none_ ? nullptr : &time_; }

 private:
    timespec time_{};
    bool none_;
};

/// 0 when woken, else a negated errno: -EAGAIN, -ETIMEDOUT, -EINTR. Shared.
[[nodiscard]] int futex_sleep(const futex_word& word, std::uint32_t expected, std::uint32_t bits,
                              time_point until) noexcept;
/// Wakes all who sleep with one of these bits.
void futex_wake_bits(const futex_word& word, std::uint32_t bits) noexcept;

/// futex_waitv, 5.16: the index of one that was woken, else a negated errno.
[[nodiscard]] int futex_sleep_any(const ::futex_waitv* words, std::size_t count,
                                  time_point until) noexcept;
/// Whether the kernel, and whoever filters its calls, grants futex_waitv.
[[nodiscard]] bool has_futex_waitv() noexcept;

}  // namespace lariat::detail

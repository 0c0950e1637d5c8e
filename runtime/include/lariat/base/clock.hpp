#pragma once

#include <chrono>

namespace lariat {

/// CLOCK_MONOTONIC in nanoseconds: what every deadline is measured by. It does not stand still
/// while tasks run and does not count suspended time (clock_gettime(2)).
using clock = std::chrono::steady_clock;
using duration = clock::duration;
using time_point = clock::time_point;

inline constexpr time_point no_wait = time_point::min();
inline constexpr time_point forever = time_point::max();

/// Any length of time in our nanoseconds, held at the longest instead of overflowing.
template <class Rep, class Period>
[[nodiscard]] constexpr duration saturated(std::chrono::duration<Rep, Period> length) noexcept {
    using wide = std::chrono::duration<long double, duration::period>;
    if (wide(length) >= wide(duration::max())) return duration::max();
    if (wide(length) <= wide(duration::min())) return duration::min();
    return std::chrono::duration_cast<duration>(length);
}

/// `start + length`, held at `forever` (or `no_wait`) instead of overflowing.
[[nodiscard]] constexpr time_point saturating_add(time_point start, duration length) noexcept {
    if (length > duration::zero() && start > forever - length) return forever;
    if (length < duration::zero() && start < no_wait - length) return no_wait;
    return start + length;
}

}  // namespace lariat

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace echo_load {

/// Latencies in nanoseconds, counted in buckets whose width grows with the value.
///
/// Allocation   none: 18 KB inside the object
/// Limits       64 buckets to each power of two, so an answer is at most 1/64 above what was
///              recorded; values beyond 2^40 ns (18 minutes) count as 2^40
class latency_histogram {
 public:
    void record(std::int64_t nanoseconds) noexcept {
        const auto value =
            std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0)), largest);
        ++buckets_[bucket_of(value)];
        ++count_;
        max_ = std::max(max_, value);
    }

    void reset() noexcept { *this = latency_histogram(); }

    /// Returns the smallest bucket edge that at least `fraction` of the values do not exceed; 0
    /// when nothing was recorded. Pre: 0 <= fraction <= 1.
    [[nodiscard]] std::uint64_t quantile(double fraction) const noexcept {
        const auto rank = std::max<std::uint64_t>(
            1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_))));
        std::uint64_t seen = 0;
        for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
            seen += buckets_[bucket];
            if (seen >= rank) return std::min(upper_edge(bucket), max_);
        }
        return max_;
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

 private:
    static constexpr unsigned sub_bits = 6;
    static constexpr std::uint64_t largest = std::uint64_t(1) << 40;

    // Values of one shift fill 64 consecutive buckets: v >> shift lies in [64, 128) there, and
    // below 64 the value is its own bucket.
    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        const unsigned shift = width > sub_bits + 1 ? width - sub_bits - 1 : 0;
        return (std::size_t(shift) << sub_bits) + static_cast<std::size_t>(value >> shift);
    }

    static constexpr std::uint64_t upper_edge(std::size_t bucket) noexcept {
        const std::size_t row = bucket >> sub_bits;
        const std::size_t shift = row > 1 ? row - 1 : 0;
        return ((bucket - (shift << sub_bits) + 1) << shift) - 1;
    }

    std::array<std::uint64_t, (40 - sub_bits + 2) << sub_bits> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace echo_load

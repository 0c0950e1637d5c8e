#pragma once

#include <lariat/driver/options.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace lariat::detail {

/// What becomes of the lent buffers' sizes in driver_options: powers of two that every driver can
/// serve.
struct lent_sizes {
    static constexpr std::uint32_t fewest_bytes = 64;
    static constexpr std::uint32_t most_bytes = 1U << 30;
    /// io_uring_register_buf_ring(3): at most so many entries.
    static constexpr std::uint32_t most_count = 1U << 15;

    explicit lent_sizes(const driver_options& options) noexcept
        : bytes(std::bit_ceil(std::clamp(options.lent_buffer_bytes, fewest_bytes, most_bytes))),
          count(std::bit_ceil(std::clamp(options.lent_buffer_count, 1U, most_count))) {}

    std::uint32_t bytes;
    std::uint32_t count;
};

}  // namespace lariat::detail

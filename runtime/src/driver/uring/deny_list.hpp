#pragma once

#include <cstdint>
#include <string_view>

namespace lariat::detail {

/// What must not be used of io_uring on the kernel of this release (uname(2)'s word for it), though
/// it is there: bits of uring_feature. Everything else is found by probing; only bugs are not.
[[nodiscard]] std::uint32_t denied_features(std::string_view release) noexcept;

/// The same for the kernel that runs here.
[[nodiscard]] std::uint32_t denied_features() noexcept;

}  // namespace lariat::detail

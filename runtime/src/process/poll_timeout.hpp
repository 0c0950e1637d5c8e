#pragma once

#include <lariat/base/clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace lariat::detail {

/// What poll(2) is asked to wait until then, rounded up: -1 for ever, 0 if it is past. May be less
/// than all of it.
[[nodiscard]] inline int poll_timeout(time_point until) noexcept {
    if (until == forever) return -1;
    const time_point now = clock::now();
    if (until <= now) return 0;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
    return static_cast<int>(std::min<std::int64_t>(left.count(), std::numeric_limits<int>::max()));
}

}  // namespace lariat::detail

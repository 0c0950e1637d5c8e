#pragma once

#include <span>

namespace lariat::detail {

/// Closes every descriptor but the standard streams and these, which it sorts; negative ones are
/// none.
void close_all_but(std::span<int> kept) noexcept;

}  // namespace lariat::detail

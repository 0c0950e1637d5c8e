#pragma once

#include <span>

namespace lariat::detail {

/// Takes the numbers of the standard streams that are closed: what is opened later gets none of
/// them, where a message on standard error would meet it. Reading and writing there fail as before
/// (EBADF). Returns 0 or an errno.
[[nodiscard]] int occupy_closed_streams() noexcept;

/// Closes every descriptor but the standard streams and these, which it sorts; negative ones are
/// none.
void close_all_but(std::span<int> kept) noexcept;

}  // namespace lariat::detail

#pragma once

#include <string>
#include <string_view>

namespace lariat::detail {

/// `text` in quotes for an error message: what cannot be printed as \xNN, and cut after 200 bytes,
/// so that a hostile text can neither forge lines of a log nor fill it.
[[nodiscard]] std::string quote(std::string_view text);

}  // namespace lariat::detail

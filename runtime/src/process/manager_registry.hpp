#pragma once

#include <lariat/process/manager_registry.hpp>

#include <cstdint>

namespace lariat::detail {

/// Null: this program has no such operation. Errors: std::logic_error for a name that says two.
/// What is returned stays.
[[nodiscard]] const served_call* find_call(std::uint64_t key);

}  // namespace lariat::detail

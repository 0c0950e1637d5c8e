#pragma once

#include <lariat/base/config.hpp>

#include <source_location>

namespace lariat::detail {

/// Prints "file:line: rule: what was broken" and aborts.
[[noreturn]] LARIAT_EXPORT void rule_broken(
    const char* rule, std::source_location where = std::source_location::current()) noexcept;

/// Stops the program when a rule the caller must keep is broken. It is checked in every build: the
/// price is one predicted branch, so it does not stand where that would be felt.
inline void require(bool holds, const char* rule,
                    std::source_location where = std::source_location::current()) noexcept {
    if (!holds) [[unlikely]]
        rule_broken(rule, where);
}

}  // namespace lariat::detail

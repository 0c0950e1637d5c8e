#pragma once

#include <lariat/net/tcp_options.hpp>

namespace lariat::detail {

/// Errors: std::invalid_argument with the option's name and what is right.
void check_options(const tcp_options& options);

/// The same with Nagle's delay off, unless it says something of it.
[[nodiscard]] tcp_options with_no_delay(const tcp_options& options) noexcept;

/// Sets those that are not empty. Errors: std::system_error with the option's name; those before it
/// are set. Pre: checked.
void set_options(int fd, const tcp_options& options);

/// All of them. Errors: std::system_error with the option's name.
[[nodiscard]] tcp_options options_of(int fd);

}  // namespace lariat::detail

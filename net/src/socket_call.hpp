#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/net/address.hpp>

#include <string>

namespace lariat::detail {

/// A TCP socket, CLOEXEC. Errors: std::system_error.
[[nodiscard]] unique_fd open_tcp(const endpoint& toward);
/// Errors: std::system_error, with what was asked.
void set_flag(int fd, int level, int option, bool on, const char* name);
[[nodiscard]] endpoint local_endpoint_of(int fd);
[[nodiscard]] endpoint remote_endpoint_of(int fd);
/// Throws std::system_error for errno.
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace lariat::detail

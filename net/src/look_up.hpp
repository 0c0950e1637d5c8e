#pragma once

#include <lariat/base/result.hpp>
#include <lariat/net/address.hpp>
#include <lariat/task/task.hpp>

#include <string>
#include <system_error>
#include <vector>

namespace lariat::detail {

/// The steps of resolve(), which see. Pre: a port from 0 to 65535.
[[nodiscard]] task<result<std::vector<endpoint>>> look_up(std::string host, int port);

/// Throws resolve_error for the resolver's codes, else what belongs to the code.
void throw_connect_error(std::error_code code, const std::string& what);

/// "example.org:80" or "[::1]:80" for an error message; in quotes if it has unprintable letters.
[[nodiscard]] std::string host_and_port(const std::string& host, int port);

}  // namespace lariat::detail

#pragma once

#include <lariat/net/http/headers.hpp>
#include <lariat/net/http/url.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lariat::http::detail {

/// The head of an HTTP/1.1 request, with its empty line: the request line, Host (unless `lines` has
/// one), Content-Length (when there is a body), then `lines` in order.
///
/// Errors   std::invalid_argument that names the method or the header which is no token, holds a
///          control character (CR and LF would forge further lines), or is not the caller's to
///          write: Content-Length, Transfer-Encoding, a second Host
[[nodiscard]] std::string write_request_head(std::string_view method, const url& to,
                                             const headers& lines,
                                             std::optional<std::uint64_t> body_bytes);

}  // namespace lariat::http::detail

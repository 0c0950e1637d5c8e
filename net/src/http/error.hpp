#pragma once

#include <string>

namespace lariat::http::detail {

/// Throws the exception that is being handled again: the same type, with `request`, as
/// "GET http://example.com/", before its text.
///
/// Pre      called in a handler
[[noreturn]] void rethrow_naming(const std::string& request);

}  // namespace lariat::http::detail

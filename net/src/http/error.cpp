#include "http/error.hpp"

#include <lariat/base/error.hpp>
#include <lariat/net/http/error.hpp>

#include <cstddef>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace lariat::http {

malformed_response::malformed_response(const std::string& why)
    : std::runtime_error("malformed answer: " + why) {}
malformed_response::malformed_response(const std::string& request, const malformed_response& answer)
    : std::runtime_error(request + ": " + answer.what()) {}
malformed_response::~malformed_response() = default;

namespace {

/// The first ones and the last: the limit may be a large number.
std::string in_a_row(const std::vector<std::string>& urls) {
    constexpr std::size_t shown = 12;
    std::string row;
    for (std::size_t i = 0; i < urls.size(); ++i) {
        if (i >= shown && i + 1 < urls.size()) continue;
        if (i != 0) row += i > shown ? " -> ... -> " : " -> ";
        row += urls[i];
    }
    return row;
}

}  // namespace

too_many_redirects::too_many_redirects(const std::string& request, std::vector<std::string> urls)
    : std::runtime_error(request + ": more than " + std::to_string(urls.size() - 2) +
                         " redirects: " + in_a_row(urls)),
      urls_(std::move(urls)) {}
too_many_redirects::~too_many_redirects() = default;

}  // namespace lariat::http

namespace lariat::http::detail {

namespace {

/// what() without its end, which the constructor appends again.
std::string without(std::string_view what, const std::string& end) {
    if (what.ends_with(end)) what.remove_suffix(end.size());
    return std::string(what);
}

std::string without_code(const std::system_error& error) {
    return without(error.what(), ": " + error.code().message());
}

}  // namespace

void rethrow_naming(const std::string& request) {
    try {
        throw;
    } catch (const incomplete_read& error) {
        const std::string count = " (" + std::to_string(error.received()) + " bytes had come)";
        throw incomplete_read(request + ": " + without(without_code(error), count),
                              error.received());
    } catch (const std::system_error& error) {
        throw_error(error.code(), request + ": " + without_code(error));
    } catch (const malformed_response& error) {
        throw malformed_response(request, error);
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(request + ": " + error.what());
    }
}

}  // namespace lariat::http::detail

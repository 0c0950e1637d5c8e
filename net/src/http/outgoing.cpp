#include "http/outgoing.hpp"

#include <lariat/net/http/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "http/error.hpp"
#include "http/grammar.hpp"
#include "http/request_writer.hpp"

namespace lariat::http::detail {

namespace {

constexpr std::size_t label_bytes = 200;  // of a URL; it may have 16 KiB

template <std::size_t Count>
bool is_one_of(std::string_view word, const std::array<std::string_view, Count>& words) noexcept {
    return std::ranges::find(words, word) != words.end();
}

bool redirects(int status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

headers with_defaults(headers lines, const client_options& options) {
    const headers asked = lines;
    for (const header& line : options.default_headers)
        if (!asked.find(line.name)) lines.add(line.name, line.value);
    if (!options.user_agent.empty() && !lines.find("User-Agent"))
        lines.add("User-Agent", options.user_agent);
    if (!lines.find("Accept")) lines.add("Accept", "*/*");
    return lines;
}

bool same_origin(const url& left, const url& right) noexcept {
    return left.scheme() == right.scheme() && left.host() == right.host() &&
           left.port() == right.port();
}

bool lists_close(std::string_view value) noexcept {
    for (;;) {
        const std::size_t comma = value.find(',');
        if (same_name(trimmed(value.substr(0, comma)), "close")) return true;
        if (comma == std::string_view::npos) return false;
        value.remove_prefix(comma + 1);
    }
}

}  // namespace

outgoing::outgoing(const client_options& options, std::string method, std::string_view where,
                   std::optional<std::string> body, headers lines)
    : method_(std::move(method)),
      to_(url::parse(where)),
      body_(std::move(body)),
      lines_(with_defaults(std::move(lines), options)) {
    try {
        (void)head();
        if (method_ == "CONNECT")
            throw std::invalid_argument(
                "CONNECT asks for a tunnel, which this client does not make");
    } catch (const std::invalid_argument&) {
        rethrow_naming(to_.to_string());
    }
    check();
    trail_.push_back(to_.to_string());
}

void outgoing::check() const {
    if (to_.secure())
        throw std::system_error(
            std::make_error_code(std::errc::protocol_not_supported),
            label() + ": https needs TLS, which is not there yet; only http is");
}

std::string outgoing::label() const {
    std::string text = method_ + " " + to_.to_string();
    const std::size_t most = method_.size() + 1 + label_bytes;
    if (text.size() > most) text.replace(most, std::string::npos, "...");
    return text;
}

std::string outgoing::head() const {
    constexpr std::array<std::string_view, 3> bodied{"POST", "PUT", "PATCH"};
    std::optional<std::uint64_t> length;
    if (body_ || is_one_of(method_, bodied)) length = body().size();
    return write_request_head(method_, to_, lines_, length);
}

std::string_view outgoing::body() const noexcept { return body_ ? *body_ : std::string_view(); }

bool outgoing::repeatable() const noexcept {
    constexpr std::array<std::string_view, 6> methods{"GET",    "HEAD",    "PUT",
                                                      "DELETE", "OPTIONS", "TRACE"};
    return is_one_of(method_, methods);
}

bool outgoing::closes() const { return std::ranges::any_of(lines_.all("Connection"), lists_close); }

bool outgoing::follow(const response_head& answer, const client_options& options) {
    const auto location = answer.fields.find("Location");
    if (!options.follow_redirects || !redirects(answer.status) || !location) return false;
    url next = to_;
    try {
        next = to_.resolve(*location);
    } catch (const std::invalid_argument& error) {
        throw malformed_response(label(),
                                 malformed_response(std::string("its Location: ") + error.what()));
    }
    trail_.push_back(next.to_string());
    if (trail_.size() - 1 > options.max_redirects) throw too_many_redirects(label(), trail_);
    // What most clients do, and RFC 9110 sections 15.4.2 to 15.4.4 allow or ask for.
    const bool was_post = answer.status <= 302 && method_ == "POST";
    if (was_post || (answer.status == 303 && !is_head_request())) turn_into_get();
    if (!same_origin(to_, next)) drop_credentials();
    to_ = std::move(next);
    check();
    return true;
}

void outgoing::turn_into_get() {
    method_ = "GET";
    body_.reset();
    for (const char* name :
         {"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"})
        lines_.remove(name);
}

/// What was meant for the first server alone is not shown to another.
void outgoing::drop_credentials() {
    for (const char* name : {"Authorization", "Proxy-Authorization", "Cookie", "Host"})
        lines_.remove(name);
}

}  // namespace lariat::http::detail

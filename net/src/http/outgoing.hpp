#pragma once

#include <lariat/net/http/client_options.hpp>
#include <lariat/net/http/headers.hpp>
#include <lariat/net/http/url.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/response_parser.hpp"

namespace lariat::http::detail {

/// A request on its way: what is asked of whom, through all redirects.
class outgoing {
 public:
    /// Errors   std::invalid_argument for a bad URL, method or header; std::system_error
    ///          (protocol_not_supported) for https
    outgoing(const client_options& options, std::string method, std::string_view where,
             std::optional<std::string> body, headers lines);

    /// Goes on to where `answer` leads; false if it is the last one.
    ///
    /// Errors   malformed_response for a Location that is none; too_many_redirects; as above for
    ///          https
    [[nodiscard]] bool follow(const response_head& answer, const client_options& options);

    [[nodiscard]] const url& to() const noexcept { return to_; }
    /// "GET http://example.com/", for errors.
    [[nodiscard]] std::string label() const;
    /// The request line and the headers.
    [[nodiscard]] std::string head() const;
    [[nodiscard]] std::string_view body() const noexcept;
    [[nodiscard]] bool is_head_request() const noexcept { return method_ == "HEAD"; }
    /// Whether making it twice does the same as once (RFC 9110 section 9.2.2).
    [[nodiscard]] bool repeatable() const noexcept;
    /// Whether it asks for the connection's end.
    [[nodiscard]] bool closes() const;

 private:
    void check() const;
    void turn_into_get();
    void drop_credentials();

    std::string method_;
    url to_;
    std::optional<std::string> body_;
    headers lines_;
    std::vector<std::string> trail_;
};

}  // namespace lariat::http::detail

#pragma once

#include <lariat/base/config.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace lariat::http {

/// Where an HTTP request goes: scheme, host, port, and the path with its query. It holds nothing
/// that could break a request line: no control character, no space, no byte above 0x7e.
class LARIAT_EXPORT url {
 public:
    /// Reads "http://example.com/a?b=c", "https://[::1]:8443". The scheme and the host are lower
    /// case after, a missing path is "/", a fragment ("#part") is dropped, as it is never sent.
    ///
    /// Errors   std::invalid_argument with the URL and what is wrong in it: another scheme, a user
    ///          or password, a host that is no name or address, a port out of range, letters that
    ///          must be percent-encoded, more than 16 KiB
    [[nodiscard]] static url parse(std::string_view text);

    /// Where a `Location` (or any reference, RFC 3986 section 5) leads from here. Letters outside
    /// of ASCII, which servers do send, are percent-encoded.
    ///
    /// Errors   as parse
    [[nodiscard]] url resolve(std::string_view location) const;

    /// "http" or "https".
    [[nodiscard]] const std::string& scheme() const noexcept { return scheme_; }
    [[nodiscard]] bool secure() const noexcept { return scheme_.size() == 5; }
    /// A name or an address; an IPv6 address without brackets.
    [[nodiscard]] const std::string& host() const noexcept { return host_; }
    /// As written, else 80 or 443.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// "example.com", "[::1]:8080": the Host header. The scheme's own port is left out.
    [[nodiscard]] std::string authority() const;
    /// "/a?b=c": what stands in the request line.
    [[nodiscard]] const std::string& target() const noexcept { return target_; }
    [[nodiscard]] std::string to_string() const { return scheme_ + "://" + authority() + target_; }

    friend bool operator==(const url&, const url&) noexcept = default;

 private:
    url() = default;

    std::string scheme_;
    std::string host_;
    std::uint16_t port_ = 0;
    std::string target_;
};

}  // namespace lariat::http

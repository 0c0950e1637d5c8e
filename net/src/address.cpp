#include <lariat/net/address.hpp>

#include <lariat/base/assert.hpp>

#include "quote.hpp"
#include "sockaddr.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

namespace lariat {

namespace {

constexpr std::size_t size_of(ip_family family) noexcept {
    return family == ip_family::v4 ? 4 : 16;
}

[[noreturn]] void not_an_address(std::string_view text, const std::string& why) {
    throw std::invalid_argument("not an IP address: " + detail::quote(text) + why +
                                "; an address reads 127.0.0.1 or ::1");
}

[[noreturn]] void not_an_endpoint(std::string_view text, const std::string& why) {
    throw std::invalid_argument("not an endpoint: " + detail::quote(text) + " " + why +
                                "; an endpoint reads 127.0.0.1:80 or [::1]:80");
}

/// Decimal digits and nothing else; false also when it is more than `Number` holds.
template <class Number>
bool read_number(std::string_view text, Number& number) noexcept {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() && !text.empty() &&
           text.front() != '-';
}

std::uint32_t read_scope(std::string_view whole, std::string_view scope) {
    std::uint32_t index = 0;
    if (read_number(scope, index)) return index;
    index = ::if_nametoindex(std::string(scope).c_str());
    if (index == 0) not_an_address(whole, " (no interface " + detail::quote(scope) + " here)");
    return index;
}

std::uint16_t checked_port(int port) {
    if (port < 0 || port > 65535)
        throw std::invalid_argument("not a port: " + std::to_string(port) +
                                    "; a port is 0 to 65535, and 0 lets the system choose");
    return static_cast<std::uint16_t>(port);
}

std::string_view without_brackets(std::string_view text) noexcept {
    if (text.size() >= 2 && text.front() == '[' && text.back() == ']' &&
        text.find(':') != std::string_view::npos)
        return text.substr(1, text.size() - 2);
    return text;
}

}  // namespace

ip_address ip_address::parse(std::string_view text) {
    const std::size_t percent = text.find('%');
    // The longest address is 45 letters; a NUL inside would end the text early for inet_pton.
    const std::string digits(text.substr(0, std::min<std::size_t>(percent, 64)));
    ip_address out;
    const bool v6 = digits.find(':') != std::string::npos;
    out.family_ = v6 ? ip_family::v6 : ip_family::v4;
    const bool whole = digits.find('\0') == std::string::npos;
    if (!whole || ::inet_pton(v6 ? AF_INET6 : AF_INET, digits.c_str(), out.bytes_.data()) != 1)
        not_an_address(text, "");
    if (percent == std::string_view::npos) return out;
    if (!v6) not_an_address(text, " (only IPv6 addresses have a scope)");
    out.scope_ = read_scope(text, text.substr(percent + 1));
    return out;
}

ip_address ip_address::from_bytes(std::span<const std::uint8_t> bytes,
                                  std::uint32_t scope) noexcept {
    detail::require(bytes.size() == 4 || bytes.size() == 16,
                    "an IP address has 4 bytes (v4) or 16 (v6)");
    ip_address out;
    out.family_ = bytes.size() == 4 ? ip_family::v4 : ip_family::v6;
    std::ranges::copy(bytes, out.bytes_.begin());
    if (out.family_ == ip_family::v6) out.scope_ = scope;
    return out;
}

ip_address ip_address::any(ip_family family) noexcept {
    ip_address out;
    out.family_ = family;
    return out;
}

ip_address ip_address::loopback(ip_family family) noexcept {
    ip_address out = any(family);
    if (family == ip_family::v4) out.bytes_[0] = 127;
    out.bytes_[size_of(family) - 1] = 1;
    return out;
}

bool ip_address::is_any() const noexcept {
    return std::ranges::all_of(bytes_, [](std::uint8_t byte) { return byte == 0; });
}

bool ip_address::is_loopback() const noexcept {
    constexpr std::array<std::uint8_t, 13> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
    if (family_ == ip_family::v4) return bytes_[0] == 127;
    return bytes_ == loopback(ip_family::v6).bytes_ ||
           std::ranges::equal(std::span(bytes_).first<13>(), mapped);
}

std::span<const std::uint8_t> ip_address::bytes() const noexcept {
    return std::span(bytes_).first(size_of(family_));
}

std::string ip_address::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = family_ == ip_family::v4 ? AF_INET : AF_INET6;
    std::string out = ::inet_ntop(family, bytes_.data(), text.data(), text.size());
    if (scope_ != 0) out += "%" + std::to_string(scope_);
    return out;
}

endpoint::endpoint(std::string_view address, int port)
    : address_(ip_address::parse(without_brackets(address))), port_(checked_port(port)) {}

endpoint::endpoint(const ip_address& address, int port)
    : address_(address), port_(checked_port(port)) {}

endpoint endpoint::parse(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) not_an_endpoint(text, "has no port");
    const std::string_view host = text.substr(0, colon);
    const bool bare_v6 = host.find(':') != std::string_view::npos && host.front() != '[';
    if (bare_v6) not_an_endpoint(text, "needs brackets around an IPv6 address");
    std::uint16_t port = 0;
    if (!read_number(text.substr(colon + 1), port))
        not_an_endpoint(text, "has no port from 0 to 65535 after the last colon");
    try {
        return endpoint(host, port);
    } catch (const std::invalid_argument&) {
        not_an_endpoint(text, "has no IP address before the port");
    }
}

std::string endpoint::to_string() const {
    const std::string port = ":" + std::to_string(port_);
    if (address_.family() == ip_family::v4) return address_.to_string() + port;
    return "[" + address_.to_string() + "]" + port;
}

namespace detail {

socket_address to_sockaddr(const endpoint& where) noexcept {
    socket_address out;
    const auto bytes = where.address().bytes();
    if (where.address().family() == ip_family::v4) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(where.port());
        std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
        out.length = sizeof(sockaddr_in);
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(where.port());
        v6.sin6_scope_id = where.address().scope();
        std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
        out.length = sizeof(sockaddr_in6);
    }
    return out;
}

endpoint from_sockaddr(const sockaddr* address, socklen_t length) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (length >= sizeof v4 && address->sa_family == AF_INET) {
        std::memcpy(&v4, address, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return endpoint(ip_address::from_bytes(bytes), ntohs(v4.sin_port));
    }
    if (length >= sizeof v6 && address->sa_family == AF_INET6) {
        std::memcpy(&v6, address, sizeof v6);
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return endpoint(ip_address::from_bytes(bytes, v6.sin6_scope_id), ntohs(v6.sin6_port));
    }
    throw std::invalid_argument("not an IP socket address: " + std::to_string(length) +
                                " bytes, of another family or too short");
}

}  // namespace detail

}  // namespace lariat

std::size_t std::hash<lariat::ip_address>::operator()(
    const lariat::ip_address& address) const noexcept {
    // FNV-1a (its 64-bit offset and prime): short keys, and no order of the bits to keep.
    std::uint64_t mixed = 14695981039346656037U;
    for (const std::uint8_t byte : address.bytes()) mixed = (mixed ^ byte) * 1099511628211U;
    return static_cast<std::size_t>((mixed ^ address.scope()) * 1099511628211U);
}

std::size_t std::hash<lariat::endpoint>::operator()(const lariat::endpoint& where) const noexcept {
    const std::uint64_t mixed = std::hash<lariat::ip_address>{}(where.address());
    return static_cast<std::size_t>((mixed ^ where.port()) * 1099511628211U);
}

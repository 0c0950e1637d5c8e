#pragma once

#include <lariat/base/config.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace lariat {

enum class ip_family : std::uint8_t { v4, v6 };

/// An IPv4 or IPv6 address, without a port. A v4 address and the v6 address that maps it
/// (`::ffff:1.2.3.4`) are different addresses. Order: v4 first, then by bytes, then by scope.
class LARIAT_EXPORT ip_address {
 public:
    /// 0.0.0.0
    constexpr ip_address() noexcept = default;

    /// Reads "192.0.2.7", "2001:db8::1" or, with an interface's name or number, "fe80::1%eth0".
    ///
    /// Errors   std::invalid_argument with the text and a right example
    [[nodiscard]] static ip_address parse(std::string_view text);

    /// Pre      `bytes`, in network order, are 4 for v4 and 16 for v6
    /// `scope`  the interface's index, for link-local v6 addresses; 0 is none
    [[nodiscard]] static ip_address from_bytes(std::span<const std::uint8_t> bytes,
                                               std::uint32_t scope = 0) noexcept;

    /// To bind on every interface of the machine: 0.0.0.0 or ::
    [[nodiscard]] static ip_address any(ip_family family = ip_family::v4) noexcept;
    /// This machine: 127.0.0.1 or ::1
    [[nodiscard]] static ip_address loopback(ip_family family = ip_family::v4) noexcept;

    [[nodiscard]] ip_family family() const noexcept { return family_; }
    [[nodiscard]] bool is_any() const noexcept;
    /// 127.0.0.0/8, ::1 and the v6 addresses that map the former.
    [[nodiscard]] bool is_loopback() const noexcept;
    [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept;
    [[nodiscard]] std::uint32_t scope() const noexcept { return scope_; }
    /// In the shortest form (RFC 5952), a scope by number; `parse` reads it back.
    [[nodiscard]] std::string to_string() const;

    friend bool operator==(const ip_address&, const ip_address&) noexcept = default;
    friend auto operator<=>(const ip_address&, const ip_address&) noexcept = default;

 private:
    ip_family family_ = ip_family::v4;
    std::array<std::uint8_t, 16> bytes_{};
    std::uint32_t scope_ = 0;
};

/// Where a TCP or UDP socket is reached: an address and a port.
class LARIAT_EXPORT endpoint {
 public:
    /// 0.0.0.0:0
    constexpr endpoint() noexcept = default;

    /// `address`  as ip_address::parse reads it, or in brackets; names are not resolved here
    /// `port`     0 to 65535; 0 lets the system choose when it is bound
    ///
    /// Errors   std::invalid_argument that names the address or the port
    endpoint(std::string_view address, int port);
    endpoint(const ip_address& address, int port);

    /// Reads "127.0.0.1:80" or "[::1]:80".
    ///
    /// Errors   std::invalid_argument with the text and a right example
    [[nodiscard]] static endpoint parse(std::string_view text);

    [[nodiscard]] const ip_address& address() const noexcept { return address_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// "127.0.0.1:80" or "[::1]:80"; `parse` reads it back.
    [[nodiscard]] std::string to_string() const;

    friend bool operator==(const endpoint&, const endpoint&) noexcept = default;
    friend auto operator<=>(const endpoint&, const endpoint&) noexcept = default;

 private:
    ip_address address_;
    std::uint16_t port_ = 0;
};

}  // namespace lariat

template <>
struct LARIAT_EXPORT std::hash<lariat::ip_address> {
    std::size_t operator()(const lariat::ip_address& address) const noexcept;
};
template <>
struct LARIAT_EXPORT std::hash<lariat::endpoint> {
    std::size_t operator()(const lariat::endpoint& where) const noexcept;
};

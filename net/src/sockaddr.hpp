#pragma once

#include <lariat/net/address.hpp>

#include <sys/socket.h>

namespace lariat::detail {

/// An endpoint as the kernel takes it.
struct socket_address {
    sockaddr_storage storage{};
    socklen_t length = 0;  ///< bytes of `storage` in use

    [[nodiscard]] const sockaddr* get() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
};

[[nodiscard]] socket_address to_sockaddr(const endpoint& where) noexcept;

/// Errors   std::invalid_argument when it is neither AF_INET nor AF_INET6, or too short for its
/// family
[[nodiscard]] endpoint from_sockaddr(const sockaddr* address, socklen_t length);

}  // namespace lariat::detail

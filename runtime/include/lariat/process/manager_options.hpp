#pragma once

#include <lariat/net/address.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace lariat {

/// Where a manager is reached by other programs: TCP, or a Unix socket's path.
using manager_address = std::variant<endpoint, std::filesystem::path>;

/// How a manager is started.
struct manager_options {
    manager_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    /// One that other programs reach, too.
    manager_options(manager_address where, std::string key)
        : address(std::move(where)), authkey(std::move(key)) {}

    std::string name = "manager";
    /// None: the processes of the family alone reach it. Port 0 lets the system choose; a path
    /// where a dead manager's socket lies is taken over. The socket is for its owner's user alone.
    std::optional<manager_address> address;
    /// What both ends of a connection to `address` prove to have (HMAC-SHA256, challenge and
    /// response); it is never sent. It says who connects. What follows is not encrypted: between
    /// machines that is for a tunnel.
    std::string authkey;
    /// A longer message from `address` ends its connection. In the family: by memory.
    std::size_t max_message = std::size_t{64} << 20;
    /// Who has not proved the key by then is sent away.
    std::chrono::milliseconds handshake_time{5000};
    /// When it is told to end and has not so long after, it is killed.
    std::chrono::milliseconds grace{2000};
    /// run_options::brief_spin of its loop, which always expects an operation.
    bool brief_spin = true;
};

}  // namespace lariat

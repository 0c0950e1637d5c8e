#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

// What the servers of this folder share: their command line and their listening socket.
namespace floor_server {

/// PORT [--buffer BYTES]
struct arguments {
    arguments(int argc, char** argv, std::size_t default_buffer) : buffer_bytes(default_buffer) {
        if (argc > 1) port = static_cast<std::uint16_t>(std::atoi(argv[1]));
        for (int at = 2; at + 1 < argc; at += 2) {
            if (std::string_view(argv[at]) == "--buffer") {
                buffer_bytes = std::strtoul(argv[at + 1], nullptr, 10);
            }
        }
        if (port != 0 && buffer_bytes != 0) return;
        std::fprintf(stderr, "usage: %s PORT [--buffer BYTES]\n", argv[0]);
        std::exit(2);
    }

    std::uint16_t port = 0;
    std::size_t buffer_bytes;
};

/// Returns `value`. Errors: std::system_error with errno when it is negative.
inline int checked(int value, const char* doing) {
    if (value < 0) throw std::system_error(errno, std::generic_category(), doing);
    return value;
}

inline void allow_all_descriptors() {
    rlimit limit{};
    checked(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    checked(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

/// A listening socket at 127.0.0.1. An accepted socket inherits TCP_NODELAY from it (Linux).
inline int listen_at(std::uint16_t port, int socket_flags) {
    const int fd = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0), "socket");
    const int on = 1;
    checked(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
    checked(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    checked(listen(fd, 4096), "listen");
    return fd;
}

}  // namespace floor_server

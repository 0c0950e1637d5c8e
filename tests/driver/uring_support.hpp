#pragma once

#include "driver/uring/uring_driver.hpp"

#include <lariat/base/unique_fd.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uring_test {

using lariat::driver_options;
using lariat::op;
using lariat::op_code;
using lariat::unique_fd;
using lariat::uring_feature;
using lariat::detail::uring_driver;
using lariat::detail::uring_seam;

/// These tests speak to io_uring whatever LARIAT_BACKEND says; the run on epoll leaves them out.
inline bool left_out() {
    const char* backend = std::getenv("LARIAT_BACKEND");
    return backend != nullptr && std::string_view(backend) == "epoll";
}

constexpr std::uint32_t without(std::initializer_list<uring_feature> features) {
    std::uint32_t mask = lariat::all_uring_features;
    for (const uring_feature each : features) mask &= ~static_cast<std::uint32_t>(each);
    return mask;
}
/// Kernels of the past, newest first; the last is 5.15.
inline const std::vector<std::uint32_t> kernels{
    lariat::all_uring_features,
    without({uring_feature::incremental_buffers, uring_feature::no_iowait}),
    without({uring_feature::incremental_buffers, uring_feature::no_iowait,
             uring_feature::defer_taskrun}),
    without({uring_feature::incremental_buffers, uring_feature::no_iowait,
             uring_feature::defer_taskrun, uring_feature::single_issuer,
             uring_feature::multishot_recv}),
    static_cast<std::uint32_t>(uring_feature::registered_ring) |
        static_cast<std::uint32_t>(uring_feature::submit_all),
    0,
};

inline driver_options options_with(std::uint32_t features) {
    driver_options options;
    options.uring_features = features;
    return options;
}

/// An op that remembers how it completed.
struct recorded : op {
    struct outcome {
        int result;
        bool more;
        std::uint32_t lent;
        std::string bytes;
    };
    std::vector<outcome> seen;

    recorded(op_code what, int descriptor) {
        code = what;
        fd = descriptor;
        complete = [](op& done) noexcept {
            auto& self = static_cast<recorded&>(done);
            std::string bytes;
            if (done.lent != 0)
                bytes.assign(static_cast<const char*>(done.address),
                             static_cast<std::size_t>(done.result));
            self.seen.push_back({done.result, done.more, done.lent, bytes});
        };
    }
    [[nodiscard]] bool ended() const { return !seen.empty() && !seen.back().more; }
    [[nodiscard]] int result() const { return seen.back().result; }
};

inline recorded receive(int fd, void* buffer, std::uint32_t bytes) {
    recorded made(op_code::recv, fd);
    made.address = buffer;
    made.length = bytes;
    return made;
}
inline recorded transmit(int fd, std::string_view bytes) {
    recorded made(op_code::send, fd);
    made.address = const_cast<char*>(bytes.data());
    made.length = static_cast<std::uint32_t>(bytes.size());
    return made;
}
inline recorded multishot(op_code code, int fd) {
    recorded made(code, fd);
    made.multishot = true;
    return made;
}

/// Turns until `done()`; false if that takes more than some seconds.
template <class Driver, class Done>
[[nodiscard]] bool turn_until(Driver& driver, Done done) {
    const auto limit = driver.now() + std::chrono::seconds(20);
    while (!done()) {
        if (driver.now() >= limit) return false;
        driver.poll(limit);
    }
    return true;
}

struct pair {
    unique_fd near, far;
    explicit pair(int flags = 0) {
        std::array<int, 2> both{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, both.data()) != 0)
            std::abort();
        near.reset(both[0]);
        far.reset(both[1]);
    }
};
inline void put(const unique_fd& to, std::string_view bytes) {
    if (::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
        std::abort();
}

struct listener {
    unique_fd fd;
    sockaddr_in address{};
    explicit listener(int flags = 0)
        : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* general = reinterpret_cast<sockaddr*>(&address);
        if (::bind(fd.get(), general, size) != 0 || ::listen(fd.get(), 64) != 0 ||
            ::getsockname(fd.get(), general, &size) != 0)
            std::abort();
    }
    [[nodiscard]] unique_fd call() const {
        unique_fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::connect(caller.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0)
            std::abort();
        return caller;
    }
};

/// What became of a forked child that ran `body`.
struct child_end {
    int status;
    std::string said;  ///< on standard error
};
template <class Body>
child_end in_child(Body body) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) std::abort();
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::signal(SIGABRT, SIG_DFL);  // not doctest's, which would report a failed test
        body();
        ::_exit(0);
    }
    ::close(ends[1]);
    child_end end{};
    std::array<char, 256> chunk{};
    ssize_t got = 0;
    while ((got = ::read(ends[0], chunk.data(), chunk.size())) > 0)
        end.said.append(chunk.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    ::waitpid(child, &end.status, 0);
    return end;
}

}  // namespace uring_test

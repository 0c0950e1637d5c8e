#include "driver/epoll/attempt.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

template <class Call>
int outcome(Call call) noexcept {
    for (;;) {
        const auto result = call();
        if (result >= 0) return static_cast<int>(result);
        if (errno == EAGAIN) return would_block;
        if (errno != EINTR) return -errno;
    }
}

int flags_of(const op& o) noexcept {
    return static_cast<int>(o.argument | MSG_DONTWAIT | MSG_NOSIGNAL);
}

int accept_one(const op& o) noexcept {
    return outcome([&] { return ::accept4(o.fd, nullptr, nullptr, SOCK_CLOEXEC); });
}

// Asked again after the wait, connect tells how it went: 0, or the error, or still under way.
int connect_once(const op& o) noexcept {
    if (::connect(o.fd, static_cast<const sockaddr*>(o.address), o.length) == 0) return 0;
    if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR) return would_block;
    return -errno;
}

int recv_once(const op& o) noexcept { return attempt_recv(o.fd, o.address, o.length, o.argument); }

int send_once(const op& o) noexcept {
    return outcome([&] { return ::send(o.fd, o.address, o.length, flags_of(o)); });
}

int recv_msg_once(const op& o) noexcept {
    return outcome([&] { return ::recvmsg(o.fd, static_cast<msghdr*>(o.address), flags_of(o)); });
}

int send_msg_once(const op& o) noexcept {
    return outcome([&] { return ::sendmsg(o.fd, static_cast<msghdr*>(o.address), flags_of(o)); });
}

// 6.18, <linux/fs.h>: no SIGPIPE from this write.
constexpr int rwf_nosignal = 0x100;

// SIGPIPE, held back for the length of one write and taken away if that write raised it: it is sent
// to the writing thread (pipe(7)).
int write_holding_signal(const op& o) noexcept {
    sigset_t pipe_signal;
    sigset_t pending;
    sigset_t kept;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    ::sigpending(&pending);
    const bool was_pending = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &kept);
    const int result = outcome([&] { return ::write(o.fd, o.address, o.length); });
    const timespec at_once{};
    if (result == -EPIPE && !was_pending) ::sigtimedwait(&pipe_signal, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &kept, nullptr);
    return result;
}

int write_quietly(const op& o) noexcept {
    static std::atomic<bool> flag_known{true};
    if (flag_known.load(std::memory_order_relaxed)) {
        const iovec bytes{o.address, o.length};
        const int result = outcome([&] { return ::pwritev2(o.fd, &bytes, 1, -1, rwf_nosignal); });
        if (result != -EOPNOTSUPP) return result;
        flag_known.store(false, std::memory_order_relaxed);
    }
    return write_holding_signal(o);
}

// A socket is asked as a socket: it may stay blocking, and a write raises no SIGPIPE.
int read_once(const op& o) noexcept {
    const int result = attempt_recv(o.fd, o.address, o.length, 0);
    if (result != -ENOTSOCK) return result;
    return outcome([&] { return ::read(o.fd, o.address, o.length); });
}

int write_once(const op& o) noexcept {
    const int result =
        outcome([&] { return ::send(o.fd, o.address, o.length, MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (result != -ENOTSOCK) return result;
    return write_quietly(o);
}

constexpr std::array<attempt_row, op_code_count> make_rows() noexcept {
    std::array<attempt_row, op_code_count> rows{};
    const auto at = [&rows](op_code code) -> attempt_row& {
        return rows[static_cast<std::size_t>(code)];
    };
    at(op_code::accept) = {io_side::reading, accept_one, true};
    at(op_code::connect) = {io_side::writing, connect_once, true};
    at(op_code::recv) = {io_side::reading, recv_once};
    at(op_code::send) = {io_side::writing, send_once};
    at(op_code::recv_msg) = {io_side::reading, recv_msg_once};
    at(op_code::send_msg) = {io_side::writing, send_msg_once};
    at(op_code::read) = {io_side::reading, read_once, true};
    at(op_code::write) = {io_side::writing, write_once, true};
    return rows;
}

}  // namespace

const std::array<attempt_row, op_code_count> attempt_rows = make_rows();

int attempt_recv(int fd, void* at, std::size_t bytes, std::uint32_t flags) noexcept {
    return outcome([&] { return ::recv(fd, at, bytes, static_cast<int>(flags | MSG_DONTWAIT)); });
}

int make_nonblocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    if ((flags & O_NONBLOCK) != 0) return 0;
    return ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

}  // namespace lariat::detail

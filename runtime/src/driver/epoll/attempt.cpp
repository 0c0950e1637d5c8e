#include "driver/epoll/attempt.hpp"

#include "base/pipe_signal.hpp"

#include <atomic>
#include <cerrno>
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

int write_quietly(const op& o) noexcept {
    static std::atomic<bool> flag_known{true};
    if (flag_known.load(std::memory_order_relaxed)) {
        const iovec bytes{o.address, o.length};
        const int result = outcome([&] { return ::pwritev2(o.fd, &bytes, 1, -1, rwf_nosignal); });
        if (result != -EOPNOTSUPP) return result;
        flag_known.store(false, std::memory_order_relaxed);
    }
    return without_pipe_signal(
        [&o] { return outcome([&o] { return ::write(o.fd, o.address, o.length); }); });
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

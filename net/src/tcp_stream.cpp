#include <lariat/net/stream_state.hpp>
#include <lariat/net/tcp_stream.hpp>

#include "look_up.hpp"
#include "sockaddr.hpp"
#include "socket_call.hpp"

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace lariat {

namespace {

/// Connects a socket to an address that lies in the awaiting frame.
class connect_awaiter : public io_awaiter {
 public:
    connect_awaiter(int socket, const detail::socket_address& to) noexcept
        : io_awaiter(asked(socket, to)) {}
    [[nodiscard]] std::int32_t await_resume() const { return finish(); }

 private:
    static op asked(int socket, const detail::socket_address& to) noexcept {
        op connecting;
        connecting.code = op_code::connect;
        connecting.fd = socket;
        connecting.address = const_cast<sockaddr*>(to.get());
        connecting.length = to.length;
        return connecting;
    }
};

/// A socket that is not connected yet, as a stream of the running loop.
result<tcp_stream> open_stream(const endpoint& toward) {
    try {
        unique_fd socket = detail::open_tcp(toward);
        detail::set_flag(socket.get(), IPPROTO_TCP, TCP_NODELAY, true, "TCP_NODELAY");
        return tcp_stream(socket.release());
    } catch (const std::system_error& failed) {
        return failed.code();
    }
}

}  // namespace

task<result<tcp_stream>> tcp_stream::connect_to(endpoint to) {
    const detail::socket_address address = detail::to_sockaddr(to);
    result<tcp_stream> made = open_stream(to);
    if (!made) co_return made.error();
    // From here on an operation names the descriptor: should it fail, or be cut, it is the loop
    // that closes it.
    made->state_->attach();
    const std::int32_t failed = co_await connect_awaiter(made->state_->op::fd, address);
    if (failed < 0) co_return system_code(failed);
    co_return made;
}

task<result<tcp_stream>> tcp_stream::connect_to_first(std::string host, int port) {
    const result<std::vector<endpoint>> found = co_await detail::look_up(std::move(host), port);
    if (!found) co_return found.error();
    std::error_code last;
    for (const endpoint& to : *found) {
        result<tcp_stream> made = co_await connect_to(to);
        if (made) co_return made;
        last = made.error();
    }
    co_return last;
}

tcp_stream::tcp_stream(int descriptor) {
    unique_fd owned(descriptor);
    state_ = new detail::stream_state(descriptor);
    (void)owned.release();
}

void tcp_stream::release() noexcept {
    state_->close();
    std::exchange(state_, nullptr)->drop_ref();
}

verb<tcp_stream> tcp_stream::connect(endpoint to) {
    return {connect_to(to), "connecting to " + to.to_string()};
}

verb<tcp_stream> tcp_stream::connect(std::string host, int port) {
    const endpoint checked(ip_address(), port);  // refuses a port that is none
    std::string what = "connecting to " + detail::host_and_port(host, port);
    return {connect_to_first(std::move(host), checked.port()), std::move(what),
            &detail::throw_connect_error};
}

read_awaiter tcp_stream::read_some(mutable_bytes room) noexcept {
    detail::require(room.size() != 0, "read_some needs room for at least one byte");
    return {state_, room};
}

receive_awaiter tcp_stream::receive() noexcept { return receive_awaiter(state_); }

write_some_awaiter tcp_stream::write_some(bytes data) noexcept { return {state_, data}; }

write_awaiter tcp_stream::write_all(bytes data) noexcept { return {state_, data}; }

gather_write_awaiter tcp_stream::write_all(std::span<const bytes> parts) { return {state_, parts}; }

close_awaiter tcp_stream::close() noexcept {
    if (state_ != nullptr) state_->close();
    return close_awaiter(state_);
}

int tcp_stream::open_descriptor(const char* what) const {
    if (state_ == nullptr || state_->closing) throw closed_error(what);
    return state_->op::fd;
}

void tcp_stream::shutdown() {
    if (::shutdown(open_descriptor("shutdown"), SHUT_WR) != 0) detail::throw_errno("shutdown");
}

endpoint tcp_stream::local_endpoint() const {
    return detail::local_endpoint_of(open_descriptor("the local endpoint"));
}

endpoint tcp_stream::remote_endpoint() const {
    return detail::remote_endpoint_of(open_descriptor("the remote endpoint"));
}

void tcp_stream::set_no_delay(bool on) {
    detail::set_flag(open_descriptor("TCP_NODELAY"), IPPROTO_TCP, TCP_NODELAY, on, "TCP_NODELAY");
}

void tcp_stream::set_keep_alive(bool on) {
    detail::set_flag(open_descriptor("SO_KEEPALIVE"), SOL_SOCKET, SO_KEEPALIVE, on, "SO_KEEPALIVE");
}

}  // namespace lariat

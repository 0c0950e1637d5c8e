#include <lariat/net/stream_state.hpp>
#include <lariat/net/tcp_stream.hpp>

#include "connect_race.hpp"
#include "look_up.hpp"
#include "sockaddr.hpp"
#include "socket_call.hpp"
#include "socket_options.hpp"

#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

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
result<tcp_stream> open_stream(const endpoint& toward, const tcp_options& options) {
    try {
        unique_fd socket = detail::open_tcp(toward);
        detail::set_options(socket.get(), detail::with_no_delay(options));
        return tcp_stream(socket.release());
    } catch (const std::system_error& failed) {
        return failed.code();
    }
}

void throw_connect_failures(std::error_code code, const std::string& what, const void* known) {
    const auto& failed = *static_cast<const detail::connect_failures*>(known);
    detail::throw_connect_error(code, what + detail::in_brackets(failed));
}

}  // namespace

task<result<tcp_stream>> tcp_stream::connect_to(endpoint to, tcp_options options) {
    const detail::socket_address address = detail::to_sockaddr(to);
    result<tcp_stream> made = open_stream(to, options);
    if (!made) co_return made.error();
    // From here on an operation names the descriptor: should it fail, or be cut, it is the loop
    // that closes it.
    made->state_->attach();
    const std::int32_t failed = co_await connect_awaiter(made->state_->op::fd, address);
    if (failed < 0) co_return system_code(failed);
    co_return made;
}

// The failures are a parameter: it lives as long as this frame, and so as the verb that tells them.
task<result<tcp_stream>> tcp_stream::connect_to_first(
    std::unique_ptr<detail::connect_failures> failed, std::string host, int port,
    tcp_options options) {
    const result<std::vector<endpoint>> found = co_await detail::look_up(std::move(host), port);
    if (!found) co_return found.error();
    auto connect_one = [&options](const endpoint& to) { return connect_to(to, options); };
    detail::connect_race<tcp_stream, decltype(connect_one)> race(detail::families_in_turn(*found),
                                                                 connect_one, *failed);
    result<tcp_stream> first = co_await race.run();
    co_return first;
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

verb<tcp_stream> tcp_stream::connect(endpoint to, const tcp_options& options) {
    detail::check_options(options);
    return {connect_to(to, options), "connecting to " + to.to_string()};
}

verb<tcp_stream> tcp_stream::connect(std::string host, int port, const tcp_options& options) {
    const endpoint checked(ip_address(), port);  // refuses a port that is none
    detail::check_options(options);
    std::string what = "connecting to " + detail::host_and_port(host, port);
    auto failed = std::make_unique<detail::connect_failures>();
    const void* known = failed.get();
    return {connect_to_first(std::move(failed), std::move(host), checked.port(), options),
            std::move(what), &throw_connect_failures, known};
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

close_awaiter tcp_stream::abort() noexcept {
    if (state_ != nullptr && !state_->closing) {
        // It fails for what is no TCP socket: there a close is all there is.
        const linger at_once{1, 0};
        (void)::setsockopt(state_->op::fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    return close();
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

tcp_options tcp_stream::options() const {
    return detail::options_of(open_descriptor("asking for options"));
}

void tcp_stream::set_options(const tcp_options& options) {
    const int fd = open_descriptor("setting options");
    detail::check_options(options);
    detail::set_options(fd, options);
}

}  // namespace lariat

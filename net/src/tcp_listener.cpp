#include <lariat/net/tcp_listener.hpp>

#include "listener_state.hpp"
#include "sockaddr.hpp"
#include "socket_call.hpp"
#include "socket_options.hpp"

#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>

namespace lariat {

namespace detail {

listener_ref::listener_ref(listener_state* listener) noexcept : listener_(listener) {
    if (listener_ != nullptr) ++listener_->refs;
}

void listener_ref::drop() noexcept { listener_->drop_ref(); }

}  // namespace detail

const wait_kind accept_awaiter::kind_of_wait{"a connection to accept", &accept_awaiter::leave};

bool accept_awaiter::must_wait() noexcept {
    if (!listener_ || listener_->closing) return false;
    if (!listener_->has_spare()) {
        listener_->arm();
        if (listener_->failure != 0) return false;
        if (!listener_->has_spare()) {
            listener_->acceptors.add(*this);
            return true;
        }
    }
    ++listener_->promised;
    return false;
}

result<tcp_stream> accept_awaiter::finish_nothrow() {
    throw_if_cut();
    if (!listener_ || listener_->closing) return make_error_code(errc::closed);
    if (listener_->promised == 0) return system_code(listener_->failure);
    return tcp_stream(&listener_->take());
}

namespace detail {

const wait_kind last_call_awaiter::kind_of_wait{"connections that were accepted already",
                                                &last_call_awaiter::leave};

bool last_call_awaiter::must_wait() noexcept {
    if (!listener_) return false;
    listener_->look();
    listener_->last_call_given = !listener_->closing && listener_->has_spare();
    if (listener_->last_call_given) ++listener_->promised;
    if (listener_->last_call_given || listener_->closing || listener_->at_rest() ||
        listener_->failure != 0)
        return false;
    listener_->last_call = this;
    return true;
}

std::optional<tcp_stream> last_call_awaiter::await_resume() {
    throw_if_cut();
    if (!listener_ || listener_->closing || !listener_->last_call_given) return std::nullopt;
    return tcp_stream(&listener_->take());
}

void last_call_awaiter::leave(waiter& w) noexcept {
    static_cast<last_call_awaiter&>(w).listener_->last_call = nullptr;
    w.wake(wake_reason::cut);
}

}  // namespace detail

void accept_awaiter::leave(waiter& w) noexcept { wait_queue::leave(w); }

tcp_listener tcp_listener::bind(const endpoint& where, const listen_options& options) {
    if (options.backlog < 0)
        throw std::invalid_argument("listen_options.backlog is " + std::to_string(options.backlog) +
                                    "; give 0 or more");
    detail::check_options(options.streams);
    unique_fd socket = detail::open_tcp(where);
    const int fd = socket.get();
    if (options.reuse_address) detail::set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true, "SO_REUSEADDR");
    if (options.reuse_port) detail::set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true, "SO_REUSEPORT");
    // Accepted sockets inherit them (tcp(7), socket(7)): here they cost a connection nothing.
    detail::set_options(fd, detail::with_no_delay(options.streams));
    const detail::socket_address address = detail::to_sockaddr(where);
    if (::bind(fd, address.get(), address.length) != 0)
        detail::throw_errno("binding " + where.to_string());
    if (::listen(fd, options.backlog) != 0)
        detail::throw_errno("listening on " + where.to_string());
    return adopt(socket.release());
}

tcp_listener tcp_listener::adopt(int descriptor) {
    unique_fd owned(descriptor);
    tcp_listener adopted(new detail::listener_state(descriptor));
    (void)owned.release();
    return adopted;
}

tcp_listener tcp_listener::adopt_shared(int descriptor) {
    unique_fd owned(descriptor);
    const int flags = ::fcntl(descriptor, F_GETFL);
    if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
        detail::throw_errno("adopting a listener");
    tcp_listener adopted(new detail::listener_state(descriptor, true));
    (void)owned.release();
    return adopted;
}

void tcp_listener::rest() noexcept {
    if (state_ != nullptr) state_->rest_for_memory();
}

void tcp_listener::pause() noexcept {
    if (state_ != nullptr) state_->pause();
}

endpoint tcp_listener::local_endpoint() const {
    if (state_ == nullptr || state_->closing) throw closed_error("the local endpoint");
    return detail::local_endpoint_of(state_->op::fd);
}

int tcp_listener::descriptor() const noexcept {
    return state_ == nullptr || state_->closing ? -1 : state_->op::fd;
}

void tcp_listener::close() noexcept {
    if (state_ != nullptr) state_->close();
}

void tcp_listener::release() noexcept {
    state_->close();
    std::exchange(state_, nullptr)->drop_ref();
}

}  // namespace lariat

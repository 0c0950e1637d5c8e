#include "listener_state.hpp"

#include <lariat/base/unique_fd.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constexpr std::chrono::milliseconds rest_time(100);

/// A shortage that is back so soon after its last rest is the same one, and not spoken of again.
constexpr std::chrono::seconds same_shortage(1);

/// A listener that nobody accepts from leaves the rest to the kernel's backlog.
constexpr std::size_t taken_ahead = 16;

/// What ends an accept but not the listener: the machine is short of something (accept(2)).
bool is_shortage(std::int32_t failed) noexcept {
    return failed == -EMFILE || failed == -ENFILE || failed == -ENOBUFS || failed == -ENOMEM;
}

/// What became of one connection, not of the listener (accept(2), "Error handling"). EOPNOTSUPP
/// stands there too, but is what accept says of a socket that cannot accept at all.
bool is_lost_connection(std::int32_t failed) noexcept {
    switch (-failed) {
        case ECONNABORTED:
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EINTR:
        case EAGAIN: return true;
        default: return false;
    }
}

}  // namespace

listener_state::listener_state(int descriptor, bool also_of_others) noexcept
    : io_object(&listener_state::loop_closes),
      timer_entry(&listener_state::rested),
      shared(also_of_others) {
    op::fd = descriptor;
    op::complete = &listener_state::accepted;
}

listener_state::~listener_state() {
    while (!taken.empty()) {
        stream_state& nobodys = taken.pop_front();
        nobodys.close();
        nobodys.drop_ref();
    }
}

void listener_state::arm() noexcept {
    attach();
    while (!armed && !resting && failure == 0 && !closing && promised == taken_count) {
        if (shared) accept_now();
        if (promised != taken_count || resting || failure != 0) return;
        armed = true;
        op::code = shared ? op_code::poll : op_code::accept;
        op::multishot = !shared;
        op::argument = shared ? POLLIN : 0;
        if (!submit(*this)) return;
        take_in(*this);
    }
}

/// Takes what is there of a shared socket's connections.
void listener_state::accept_now() noexcept {
    while (!resting && failure == 0 && taken_count < promised + taken_ahead) {
        const int descriptor = ::accept4(op::fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (descriptor >= 0) {
            keep(descriptor);
        } else if (errno == EAGAIN) {
            nothing_left = true;
            return;
        } else {
            note_refusal(-errno);
            return;
        }
    }
}

void listener_state::look() noexcept {
    attach();
    if (shared && !armed && !closing && !has_spare()) return accept_now();
    while (!armed && !resting && failure == 0 && !closing && !nothing_left && !has_spare()) {
        armed = true;
        op::code = op_code::accept;
        op::multishot = false;
        op::argument = MSG_DONTWAIT;
        if (!submit(*this)) return;
        take_in(*this);
    }
}

stream_state& listener_state::take() noexcept {
    --promised;
    --taken_count;
    return taken.pop_front();
}

void listener_state::pause() noexcept {
    nothing_left = false;
    if (armed) cancel(*this);
}

void listener_state::accepted(op& done) noexcept {
    auto& self = static_cast<listener_state&>(done);
    self.take_in(done);
    if (self.closing) {
        if (!self.armed) self.close_descriptor();
        return;
    }
    self.hand_out();
    self.answer_last_call();
    if (self.failure != 0) self.acceptors.wake_all();
    if (!self.acceptors.empty()) {
        self.serve_waiting();
    } else if (self.armed && self.taken_count >= taken_ahead) {
        self.cancel(self);
    }
}

void listener_state::take_in(const op& done) noexcept {
    armed = done.more;
    if (op::code == op_code::poll) {
        if (done.result >= 0 && !closing) accept_now();
        if (done.result < 0 && done.result != -ECANCELED) failure = done.result;
    } else if (done.result >= 0) {
        keep(done.result);
    } else if (is_look()) {
        nothing_left = true;
    } else if (done.result != -ECANCELED) {
        note_refusal(done.result);
    }
}

void listener_state::note_refusal(std::int32_t failed) noexcept {
    if (is_shortage(failed)) {
        rest(failed);
    } else if (!is_lost_connection(failed)) {
        failure = failed;
    }
}

// Its record is made here and not by accept(): without memory the listener rests, and whoever
// accepts just waits.
void listener_state::keep(int descriptor) noexcept {
    unique_fd accepted(descriptor);
    if (closing) return;
    try {
        taken.push_back(*new stream_state(descriptor));
        ++taken_count;
        (void)accepted.release();
    } catch (const std::bad_alloc&) {
        rest(-ENOMEM);
    }
}

void listener_state::hand_out() noexcept {
    while (has_spare() && acceptors.wake_one()) ++promised;
}

// Arming a shared socket may find a connection that has come since: it is for who waits.
void listener_state::serve_waiting() noexcept {
    while (!acceptors.empty() && !armed && !resting && failure == 0 && !closing) {
        arm();
        hand_out();
    }
}

void listener_state::answer_last_call() noexcept {
    if (last_call == nullptr) return;
    look();
    if (!has_spare() && !at_rest() && failure == 0) return;
    last_call_given = has_spare();
    if (last_call_given) ++promised;
    std::exchange(last_call, nullptr)->wake();
}

void listener_state::rest(std::int32_t cause) noexcept {
    if (closing) return;
    const time_point now = home->now();
    if (now >= quiet_until) {
        std::fprintf(stderr, "lariat: accepting pauses: %s; it goes on by itself when it can\n",
                     std::strerror(-cause));
    }
    const time_point over = saturating_add(now, rest_time);
    quiet_until = saturating_add(over, same_shortage);
    if (resting) return;
    resting = true;
    if (armed) cancel(*this);
    home->timers.arm(*this, over);
}

void listener_state::rest_for_memory() noexcept {
    if (closing) return;
    holds_back = true;
    rest(-ENOMEM);
}

void listener_state::rested(timer_entry& due) noexcept {
    auto& self = static_cast<listener_state&>(due);
    self.resting = false;
    self.holds_back = false;
    self.hand_out();
    self.answer_last_call();
    self.serve_waiting();
}

void listener_state::close() noexcept {
    if (closing) return;
    closing = true;
    acceptors.wake_all();
    last_call_given = false;
    if (last_call != nullptr) std::exchange(last_call, nullptr)->wake();
    if (!attached()) {
        ::close(op::fd);
        return;
    }
    if (resting) home->timers.disarm(*this);
    resting = false;
    hold_loop();
    ++refs;
    if (armed) {
        cancel(*this);
    } else {
        close_descriptor();
    }
}

void listener_state::close_descriptor() noexcept {
    op::code = op_code::close;
    op::multishot = false;
    op::complete = &listener_state::closed;
    if (submit(*this)) finish_close();
}

void listener_state::closed(op& done) noexcept {
    static_cast<listener_state&>(done).finish_close();
}

void listener_state::finish_close() noexcept {
    release_loop();
    detach();
    drop_ref();
}

void listener_state::loop_closes(io_object& self) noexcept {
    static_cast<list_link&>(self).unlink();
    static_cast<listener_state&>(self).close();
}

}  // namespace lariat::detail

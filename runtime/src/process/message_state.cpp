#include "process/message_state.hpp"

#include "loop/loop_state.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/message_stream.hpp>

#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace lariat::detail {

message_state::message_state(unique_fd owned, cell_ref carrier_cell) noexcept
    : io_object(&message_state::loop_closes),
      socket(std::move(owned)),
      carrier(std::move(carrier_cell)) {
    writing_.code = op_code::poll;
    writing_.argument = POLLOUT;
    writing_.complete = &message_state::writable;
    writing_.of = this;
    flusher_.run = &message_state::flush_now;
    flusher_.of = this;
}

bool message_state::wait(op& waiting) noexcept {
    attach();
    waiting.fd = socket.get();
    reading = &waiting;
    if (loop_state::current().ask(waiting) || !submit(waiting)) return true;
    waited();
    return false;
}

void message_state::end_wait() noexcept {
    if (!static_cast<loop_state&>(*home).end_asking(*reading)) cancel(*reading);
}

void message_state::waited() noexcept {
    reading = nullptr;
    if (closing) {
        release_loop();
        settle();
        drop_ref();
    } else {
        settle();
    }
}

void message_state::flush() noexcept {
    send_out();
    settle();
}

void message_state::send_out() noexcept {
    while (!armed && !out.empty()) {
        const int result = out.send(socket.get(), carrier);
        if (result == would_block_here) {
            if (arm()) break;
        } else if (result != 0) {
            fail_output(result);
        }
    }
    tell_rooms();
}

bool message_state::arm() noexcept {
    if (home == nullptr &&
        this_scheduler == nullptr) {  // a handle that goes when its loop has gone
        out.abandon();
        return true;
    }
    attach();
    writing_.fd = socket.get();
    armed = true;
    add_ref();
    if (!submit(writing_)) return true;
    armed = false;
    drop_ref();  // not the last: its caller has one
    if (writing_.result < 0) fail_output(writing_.result);
    return false;
}

void message_state::writable(op& done) noexcept {
    message_state& self = *static_cast<write_op&>(done).of;
    self.armed = false;
    if (!std::exchange(self.abandoned_, false)) {
        self.send_out();
    } else if (self.closing) {
        self.out.abandon();
    }
    self.settle();
    self.drop_ref();
}

void message_state::flush_later() noexcept {
    if (armed || scheduled) return;
    attach();
    scheduled = true;
    add_ref();
    this_scheduler->ready.push(flusher_);
}

void message_state::flush_now(runnable& self) noexcept {
    message_state& state = *static_cast<flush_call&>(self).of;
    state.scheduled = false;
    state.flush();
    state.drop_ref();
}

void message_state::take_back(outgoing& item) noexcept {
    out.remove(item);
    tell_rooms();
    if (out.empty() && armed) cancel(writing_);
}

void message_state::fail_output(std::int32_t why) noexcept {
    sending_error = why;
    out.fail_all(why);
    // The other end shall not wait for the rest of a message.
    (void)::shutdown(socket.get(), SHUT_WR);
    tell_rooms();
}

std::error_code message_state::refusal() const noexcept {
    if (closing || sending_error == -EPIPE || sending_error == -ECONNRESET)
        return make_error_code(errc::closed);
    if (sending_error != 0) return system_code(sending_error);
    return {};
}

void message_state::tell_rooms() noexcept {
    const bool over = closing || sending_error != 0;
    list<line_waiter> others;
    while (!rooms.empty()) {
        line_waiter& each = rooms.pop_front();
        if (over || out.queued_bytes() <= static_cast<message_room&>(each).most_) {
            each.wake();
        } else {
            others.push_back(each);
        }
    }
    rooms.splice_back(others);
}

void message_state::close() noexcept {
    if (closing) return;
    closing = true;
    out.fail_waiting(-ECANCELED);
    tell_rooms();
    if (reading != nullptr) {
        hold_loop();
        add_ref();
        end_wait();
    }
    flush();
}

/// Leaves the loop when nothing is under way, and closes the socket if that was asked for.
void message_state::settle() noexcept {
    if (reading != nullptr || scheduled) return;
    if (armed) {
        if (closing && out.empty()) cancel(writing_);
        return;
    }
    if (attached()) detach();
    if (!closing || !out.empty()) return;
    socket.reset();
    carrier = cell_ref();
}

void message_state::loop_closes(io_object& self) noexcept {
    auto& state = static_cast<message_state&>(self);
    static_cast<list_link&>(self).unlink();  // the list must come to its end; `home` is needed yet
    state.add_ref();
    if (std::exchange(state.scheduled, false)) {  // its turn does not come any more
        state.send_out();
        state.drop_ref();
    }
    if (state.reading != nullptr) {
        state.close();
    } else if (state.armed) {
        state.abandoned_ = true;
        state.cancel(state.writing_);
    } else {
        state.settle();
    }
    state.drop_ref();
}

}  // namespace lariat::detail

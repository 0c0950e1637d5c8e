#include <lariat/net/stream_state.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <unistd.h>

namespace lariat::detail {

namespace {

/// A stream that nobody reads is not received from beyond so many segments.
constexpr std::size_t queued_segments = 4;

/// Fewer unread bytes than this are copied out of the lent buffer at once.
constexpr std::uint32_t worth_lending = 16 * 1024;

}  // namespace

stream_state::stream_state(int descriptor) noexcept : io_object(&stream_state::loop_closes) {
    op::code = op_code::recv;
    op::multishot = true;
    op::fd = descriptor;
    op::complete = &stream_state::received;
}

void stream_state::arm() noexcept {
    if (armed || ended || failure != 0 || closing) return;
    attach();
    armed = true;
    if (submit(*this)) take_in(*this);
}

void stream_state::received(op& done) noexcept {
    auto& self = static_cast<stream_state&>(done);
    self.take_in(done);
    if (self.closing) {
        if (!self.armed) self.close_descriptor();
        return;
    }
    if (self.reader == nullptr) {
        if (self.armed && self.queue.size() >= queued_segments) self.cancel(self);
        return;
    }
    // It had been paused, and its reader came back before the pause was complete.
    if (!self.readable()) self.arm();
    if (self.readable()) std::exchange(self.reader, nullptr)->wake();
}

void stream_state::take_in(op& done) noexcept {
    armed = done.more;
    if (done.result > 0) {
        segment arrived{static_cast<std::byte*>(done.address), nullptr,
                        static_cast<std::uint32_t>(done.result), done.lent};
        const bool wanted = reader != nullptr || arrived.size >= worth_lending;
        if (closing || failure != 0) {
            drop_segment(arrived);  // it lies behind bytes that are lost
        } else if (head.size == 0 && wanted) {
            head = arrived;
        } else if (!hold_privately(arrived)) {
            failure = -ENOMEM;
            if (armed) cancel(*this);
        }
    } else if (done.result == 0) {
        ended = true;
    } else if (done.result != -ECANCELED && failure == 0) {
        failure = done.result;
    }
}

// What a reader is behind with moves to memory of its own: a lent buffer serves many connections,
// and a slow one must not keep it from them.
bool stream_state::hold_privately(segment& arrived) noexcept {
    const std::uint32_t borrowed = std::exchange(arrived.lent, 0);
    arrived.block = static_cast<std::byte*>(::operator new(arrived.size, std::nothrow));
    bool held = arrived.block != nullptr;
    if (held) {
        arrived.data =
            static_cast<std::byte*>(std::memcpy(arrived.block, arrived.data, arrived.size));
        try {
            if (head.size == 0) {
                head = arrived;
            } else {
                queue.push_back(arrived);
            }
        } catch (const std::bad_alloc&) {
            ::operator delete(arrived.block);
            held = false;
        }
    }
    give_back(borrowed);
    return held;
}

void stream_state::drop_segment(const segment& gone) const noexcept {
    if (gone.lent != 0) give_back(gone.lent);
    ::operator delete(gone.block);
}

std::size_t stream_state::copy_out(mutable_bytes room) noexcept {
    const std::size_t count = std::min<std::size_t>(room.size(), head.size);
    std::memcpy(room.data(), head.data, count);
    if (count == head.size) {
        drop_segment(take_segment());
    } else {
        head.data += count;
        head.size -= static_cast<std::uint32_t>(count);
    }
    return count;
}

segment stream_state::take_segment() noexcept {
    const segment first = std::exchange(head, segment());
    if (!queue.empty()) {
        head = queue.front();
        queue.erase(queue.begin());
    }
    return first;
}

void stream_state::close() noexcept {
    if (closing) return;
    closing = true;
    if (reader != nullptr) std::exchange(reader, nullptr)->wake();
    while (head.size != 0) drop_segment(take_segment());
    if (!attached()) {
        ::close(op::fd);
        released = true;
        return;
    }
    hold_loop();
    add_ref();
    if (sending != nullptr) cancel(*sending);
    if (armed) {
        cancel(*this);
    } else {
        close_descriptor();
    }
}

void stream_state::sent() noexcept {
    sending = nullptr;
    if (closing && !armed) close_descriptor();
}

void stream_state::close_descriptor() noexcept {
    if (sending != nullptr) return;
    op::code = op_code::close;
    op::multishot = false;
    op::complete = &stream_state::closed;
    if (submit(*this)) finish_close();
}

void stream_state::closed(op& done) noexcept { static_cast<stream_state&>(done).finish_close(); }

void stream_state::finish_close() noexcept {
    released = true;
    release_loop();
    detach();
    closers.wake_all();
    drop_ref();
}

void stream_state::loop_closes(io_object& self) noexcept {
    // From here on it is the driver's completions that end it; the list needs it no more.
    static_cast<list_link&>(self).unlink();
    static_cast<stream_state&>(self).close();
}

}  // namespace lariat::detail

#include <lariat/net/stream_verbs.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <new>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat {

namespace detail {

namespace {

// io_uring's send counts in 32 bits, as results do; a larger one goes in several steps.
constexpr std::size_t most_at_once = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t most_slices = 1024;  // IOV_MAX, limits.h(0p)

static_assert(sizeof(slice) == sizeof(iovec) && offsetof(slice, size) == offsetof(iovec, iov_len));
static_assert(sizeof(msghdr) <= 56 && alignof(msghdr) <= 8);

}  // namespace

const wait_kind stream_wait::kind_of_wait{"bytes to receive", &stream_wait::leave};

bool stream_wait::must_wait() noexcept {
    if (!stream_ || stream_->closing || stream_->readable()) return false;
    require(stream_->reader == nullptr, "one task at a time reads from a stream");
    stream_->arm();
    return !stream_->readable();
}

std::error_code stream_wait::error() const noexcept {
    if (!stream_ || stream_->closing) return errc::closed;
    if (stream_->failure != 0) return system_code(stream_->failure);
    require(stream_->ended,
            "one task at a time reads from a stream");  // it took what woke this one
    return {};
}

void stream_wait::leave(waiter& w) noexcept {
    static_cast<stream_wait&>(w).stream_->reader = nullptr;
    w.wake(wake_reason::cut);
}

const wait_kind send_wait::kind_of_wait{"room to send", &send_wait::leave};

send_wait::send_wait(stream_state* stream, bytes data, bool all) noexcept
    : wait_point(kind_of_wait), stream_(stream), wanted_(data.size()), all_(all) {
    op::code = op_code::send;
    op::address = const_cast<std::byte*>(data.data());  // the kernel reads it
    op::length = static_cast<std::uint32_t>(std::min(wanted_, most_at_once));
    op::complete = &send_wait::sent;
}

send_wait::send_wait(send_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      op(other),
      stream_(std::move(other.stream_)),
      wanted_(other.wanted_),
      all_(other.all_) {}

bool send_wait::begin() noexcept {
    if (!stream_ || stream_->closing || stream_->broken || wanted_ == 0) return false;
    require(stream_->sending == nullptr, "one task at a time writes to a stream");
    stream_->attach();
    op::fd = stream_->op::fd;
    stream_->sending = this;
    while (stream_->submit(*this)) {
        if (!advance()) {
            end();
            return false;
        }
    }
    return true;
}

bool send_wait::advance() noexcept {
    if (op::result < 0) {
        failure_ = op::result;
        return false;
    }
    const auto count = static_cast<std::size_t>(op::result);
    taken_ += count;
    wanted_ -= count;
    if (wanted_ == 0 || !all_) return false;
    if (cut_asked_ || stream_->closing) {
        failure_ = -ECANCELED;
        return false;
    }
    if (op::code == op_code::send_msg) {
        auto& gathered = static_cast<gather_write_awaiter&>(*this);
        gathered.skip(count);
        gathered.describe();
    } else {
        op::address = static_cast<std::byte*>(op::address) + count;
        op::length = static_cast<std::uint32_t>(std::min(wanted_, most_at_once));
    }
    return true;
}

void send_wait::end() noexcept {
    if (all_ && taken_ != 0 && wanted_ != 0) stream_->broken = true;
    stream_->sent();
    if (stream_->closing && failure_ == -ECANCELED && !cut_asked_) failure_ = 0;
}

void send_wait::sent(op& done) noexcept {
    auto& self = static_cast<send_wait&>(done);
    while (self.advance()) {
        if (!self.stream_->submit(self)) return;
    }
    const bool cut = self.cut_asked_ && self.failure_ == -ECANCELED;
    self.end();
    self.wake(cut ? wake_reason::cut : wake_reason::done);
}

void send_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<send_wait&>(w);
    self.cut_asked_ = true;
    self.stream_->cancel(self);
}

lariat::result<std::size_t> send_wait::finish() {
    throw_if_cut();
    if (failure_ != 0) return system_code(failure_);
    if (taken_ != 0 && (wanted_ == 0 || !all_)) return taken_;
    if (!stream_ || stream_->closing) return make_error_code(errc::closed);
    if (stream_->broken) return make_error_code(errc::broken);
    return taken_;  // there was nothing to send
}

}  // namespace detail

std::size_t read_awaiter::await_resume() { return finish_nothrow().value("receiving"); }

lariat::result<std::size_t> read_awaiter::finish_nothrow() {
    throw_if_cut();
    if (has_bytes()) return stream_->copy_out(room_);
    if (const std::error_code failed = error()) return failed;
    return std::size_t{0};
}

lent_bytes receive_awaiter::await_resume() { return finish_nothrow().value("receiving"); }

lariat::result<lent_bytes> receive_awaiter::finish_nothrow() {
    throw_if_cut();
    if (has_bytes()) return lent_bytes(stream_->take_segment());
    if (const std::error_code failed = error()) return failed;
    return lent_bytes();
}

std::size_t write_some_awaiter::await_resume() { return finish().value("sending"); }

void write_awaiter::await_resume() { finish_nothrow().value("sending"); }

lariat::result<void> write_awaiter::finish_nothrow() {
    const lariat::result<std::size_t> ended = finish();
    return ended.error();
}

gather_write_awaiter::gather_write_awaiter(detail::stream_state* stream,
                                           std::span<const bytes> parts)
    : send_wait(stream, bytes(), true) {
    op::code = op_code::send_msg;
    if (parts.size() > few_.size()) many_.resize(parts.size());
    for (const bytes& part : parts) {
        if (part.empty()) continue;
        slices()[count_++] = {const_cast<std::byte*>(part.data()), part.size()};
        wanted_ += part.size();
    }
}

gather_write_awaiter::gather_write_awaiter(gather_write_awaiter&& other) noexcept
    : send_wait(static_cast<send_wait&&>(other)),
      few_(other.few_),
      many_(std::move(other.many_)),
      count_(other.count_) {}

void gather_write_awaiter::describe() noexcept {
    auto* message = new (header_.data()) msghdr{};
    message->msg_iov = reinterpret_cast<iovec*>(slices() + first_);
    message->msg_iovlen = std::min(count_ - first_, detail::most_slices);
    op::address = message;
}

void gather_write_awaiter::skip(std::size_t sent) noexcept {
    detail::slice* all = slices();
    while (sent != 0 && sent >= all[first_].size) sent -= all[first_++].size;
    if (sent == 0) return;
    all[first_].data = static_cast<std::byte*>(all[first_].data) + sent;
    all[first_].size -= sent;
}

void gather_write_awaiter::await_resume() { finish_nothrow().value("sending"); }

lariat::result<void> gather_write_awaiter::finish_nothrow() {
    const lariat::result<std::size_t> ended = finish();
    return ended.error();
}

const wait_kind close_awaiter::kind_of_wait{"a stream to be gone", &wait_queue::leave};

close_awaiter::close_awaiter(detail::stream_state* stream) noexcept
    : line_point(kind_of_wait), stream_(stream) {}

}  // namespace lariat

#include <lariat/offload/pipe.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace lariat {

namespace detail {

const wait_kind pipe_wait::reading{"bytes to read", &pipe_wait::leave};
const wait_kind pipe_wait::writing{"room to write", &pipe_wait::leave};

pipe_wait::pipe_wait(pipe_end* end, aim what, bytes data, const bytes* after,
                     std::size_t count) noexcept
    : wait_point(what == aim::read ? reading : writing),
      end_(end),
      data_(data),
      more_(after),
      more_count_(count),
      aim_(what) {
    op::code = op_code::poll;
    op::argument = what == aim::read ? POLLIN : POLLOUT;
    op::complete = &pipe_wait::ready;
}

pipe_wait::pipe_wait(pipe_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      op(other),
      end_(std::move(other.end_)),
      data_(other.data_),
      more_(other.more_),
      more_count_(other.more_count_),
      aim_(other.aim_) {}

bool pipe_wait::begin() noexcept {
    if (!end_ || end_->closing || (aim_ != aim::read && end_->broken)) return false;
    require(end_->waiting == nullptr, aim_ == aim::read ? "one task at a time reads from a pipe"
                                                        : "one task at a time writes to a pipe");
    if (advance()) return false;
    end_->attach();
    op::fd = end_->descriptor();
    end_->waiting = this;
    while (end_->submit(*this)) {
        if (op::result < 0) failure_ = op::result;
        if (failure_ != 0 || advance()) {
            end();
            return false;
        }
    }
    return true;
}

bool pipe_wait::advance() noexcept {
    for (;;) {
        std::size_t count = 0;
        int outcome = 0;
        if (aim_ == aim::read) {
            auto* const room = const_cast<std::byte*>(data_.data());  // the reader's own, and lent
            outcome = end_->try_read(mutable_bytes(room, data_.size()), count);
        } else if (!data_.empty()) {
            outcome = end_->try_write(data_, count);
        }
        if (outcome == pipe_end::would_block) return false;
        failure_ = outcome;
        moved_ += count;
        if (failure_ != 0) return true;
        if (aim_ != aim::write_all || take_written(count)) {
            done_ = true;
            return true;
        }
    }
}

// True if nothing is left.
bool pipe_wait::take_written(std::size_t count) noexcept {
    data_ = data_.after(count);
    while (data_.empty() && more_count_ != 0) {
        data_ = *more_++;
        --more_count_;
    }
    return data_.empty();
}

void pipe_wait::end() noexcept {
    if (aim_ == aim::write_all && moved_ != 0 && !done_) end_->broken = true;
    end_->waited();
}

void pipe_wait::ready(op& done) noexcept {
    auto& self = static_cast<pipe_wait&>(done);
    do {
        if (self.end_->closing) break;
        if (self.op::result < 0) self.failure_ = self.op::result;
        if (self.failure_ != 0 || self.advance()) break;
        if (self.cut_asked_) self.failure_ = -ECANCELED;  // ready, and yet there was nothing
    } while (self.failure_ == 0 && self.end_->submit(self));
    const bool goes_on = !self.end_->closing && self.failure_ == 0 && !self.done_;
    if (goes_on) return;
    const bool cut = self.cut_asked_ && self.failure_ == -ECANCELED;
    self.end();
    self.wake(cut ? wake_reason::cut : wake_reason::done);
}

void pipe_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<pipe_wait&>(w);
    self.cut_asked_ = true;
    self.end_->cancel(self);
}

lariat::result<std::size_t> pipe_wait::finish() {
    throw_if_cut();
    if (done_) return moved_;
    if (!end_ || end_->closing) return make_error_code(errc::closed);
    if (failure_ != 0) return system_code(failure_);
    return make_error_code(errc::broken);
}

unique_fd pipe_handle::release() noexcept {
    unique_fd given;
    if (end_ == nullptr || end_->closing) return given;
    require(end_->waiting == nullptr, "a descriptor is given away when no verb is under way on it");
    given = end_->take_descriptor();
    end_->close();
    return given;
}

void pipe_handle::drop() noexcept {
    end_->close();
    std::exchange(end_, nullptr)->drop_ref();
}

}  // namespace detail

pipe_read_awaiter pipe_reader::read_some(mutable_bytes room) noexcept {
    detail::require(room.size() != 0, "read_some needs room for at least one byte");
    return {end_, room};
}

pipe_write_some_awaiter pipe_writer::write_some(bytes data) noexcept { return {end_, data}; }

pipe_write_awaiter pipe_writer::write_all(bytes data) noexcept { return {end_, data}; }

pipe_write_awaiter pipe_writer::write_all(std::span<const bytes> parts) noexcept {
    return {end_, parts};
}

pipe_ends make_pipe() {
    std::array<int, 2> made{};
    // Each end is an open file of its own: the flag is nobody else's, until one is handed on.
    if (::pipe2(made.data(), O_CLOEXEC | O_NONBLOCK) != 0)
        throw_error(system_code(-errno), "a pipe");
    unique_fd reading(made[0]);
    unique_fd writing(made[1]);
    pipe_ends ends;
    ends.reader = pipe_reader(std::move(reading), true);
    ends.writer = pipe_writer(std::move(writing), true);
    return ends;
}

namespace {

/// A copy above the three standard ones, which closing leaves alone.
int own_copy(int descriptor, const char* what) {
    const int copy = ::fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0) throw_error(system_code(-errno), what);
    return copy;
}

}  // namespace

pipe_reader standard_input() { return pipe_reader(own_copy(STDIN_FILENO, "the standard input")); }
pipe_writer standard_output() {
    return pipe_writer(own_copy(STDOUT_FILENO, "the standard output"));
}
pipe_writer standard_error() { return pipe_writer(own_copy(STDERR_FILENO, "the standard error")); }

}  // namespace lariat

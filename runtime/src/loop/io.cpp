#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>

#include "loop/loop_state.hpp"

#include <string>
#include <utility>

#include <poll.h>

namespace lariat {

namespace detail {

bool submit(op& operation) noexcept { return loop_state::current().driver_.submit(operation); }
void cancel(op& operation) noexcept { loop_state::current().driver_.cancel(operation); }
void give_back(std::uint32_t lent) noexcept { loop_state::current().driver_.give_back(lent); }

void io_object::attach() noexcept {
    if (home != nullptr) {
        require(home == this_scheduler, "a socket belongs to the loop it was first used on");
        return;
    }
    loop_state& loop = loop_state::current();
    home = &loop;
    loop.objects_.push_back(*this);
}

void io_object::detach() noexcept {
    unlink();
    home = nullptr;
}

void io_object::succeed(io_object& other) noexcept {
    loop_state& loop = static_cast<loop_state&>(*other.home);
    other.detach();
    home = &loop;
    loop.objects_.push_back(*this);
}

namespace {
loop_state& loop_of(const io_object& object) noexcept {
    return static_cast<loop_state&>(*object.home);
}
}  // namespace

bool io_object::submit(op& operation) const noexcept {
    return loop_of(*this).driver_.submit(operation);
}
void io_object::cancel(op& operation) const noexcept { loop_of(*this).driver_.cancel(operation); }
void io_object::give_back(std::uint32_t lent) const noexcept {
    loop_of(*this).driver_.give_back(lent);
}
void io_object::hold_loop() const noexcept { ++loop_of(*this).orphans_; }
void io_object::release_loop() const noexcept { --loop_of(*this).orphans_; }

}  // namespace detail

io_awaiter::io_awaiter(const op& what) noexcept : wait_point(kind_of(what.code)), op(what) {
    op::complete = &io_awaiter::completed;
}

io_awaiter::io_awaiter(io_awaiter&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)), op(other) {}

void io_awaiter::completed(op& done) noexcept {
    auto& self = static_cast<io_awaiter&>(done);
    // A signal to the kernel's worker: nothing happened, and nobody asked for that.
    while (done.result == -EINTR && !self.cut_asked_) {
        if (!detail::submit(self)) return;
    }
    const bool cut = self.cut_asked_ && done.result == -ECANCELED;
    self.wake(cut ? wake_reason::cut : wake_reason::done);
}

void io_awaiter::leave(waiter& w) noexcept {
    auto& self = static_cast<io_awaiter&>(w);
    self.cut_asked_ = true;
    detail::cancel(self);
}

const wait_kind& io_awaiter::kind_of(op_code code) noexcept {
    // Indexed by op_code.
    static constexpr wait_kind kinds[op_code_count] = {
        {"a no-op", &io_awaiter::leave},
        {"a connection to accept", &io_awaiter::leave},
        {"a connection to be made", &io_awaiter::leave},
        {"bytes to receive", &io_awaiter::leave},
        {"room to send", &io_awaiter::leave},
        {"a message to receive", &io_awaiter::leave},
        {"room to send a message", &io_awaiter::leave},
        {"a read", &io_awaiter::leave},
        {"a write", &io_awaiter::leave},
        {"a descriptor to be ready", &io_awaiter::leave},
        {"a close", &io_awaiter::leave},
        {"a futex", &io_awaiter::leave},
        {"a file to be opened", &io_awaiter::leave},
        {"a file's status", &io_awaiter::leave},
        {"a file to be on its disk", &io_awaiter::leave},
        {"a file to be truncated", &io_awaiter::leave},
        {"a rename", &io_awaiter::leave},
        {"a file to be removed", &io_awaiter::leave},
        {"a directory to be made", &io_awaiter::leave},
    };
    return kinds[static_cast<std::size_t>(code)];
}

namespace {

op poll_op(int fd, std::uint32_t events) noexcept {
    op asked;
    asked.code = op_code::poll;
    asked.fd = fd;
    asked.argument = events;
    return asked;
}

}  // namespace

readiness_awaiter::readiness_awaiter(int descriptor, std::uint32_t events) noexcept
    : io_awaiter(poll_op(descriptor, events)) {}

void readiness_awaiter::await_resume() const {
    const std::int32_t got = finish();
    if (got < 0) throw_error(system_code(got), "waiting for descriptor " + std::to_string(fd));
    if ((static_cast<std::uint32_t>(got) & POLLNVAL) != 0)
        throw_error(system_code(-EBADF), "waiting for descriptor " + std::to_string(fd));
}

readiness_awaiter wait_readable(int fd) noexcept { return {fd, POLLIN}; }
readiness_awaiter wait_writable(int fd) noexcept { return {fd, POLLOUT}; }

}  // namespace lariat

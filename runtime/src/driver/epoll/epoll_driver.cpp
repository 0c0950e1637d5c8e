#include "driver/epoll/epoll_driver.hpp"

#include "driver/file_ops.hpp"

#include <lariat/base/assert.hpp>

#include <cerrno>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lariat::detail {

bool epoll_driver::submit(op& o) noexcept {
    process_.require_home();
    ++stats_.submitted;
    o.more = false;
    if (is_file_op(o)) [[unlikely]]
        return submit_file(o);
    switch (o.code) {
        case op_code::nop: return finish_now(o, 0);
        case op_code::poll: return submit_poll(o);
        case op_code::close: return submit_close(o);
        case op_code::futex_wait: return finish_now(o, -EOPNOTSUPP);
        default: return o.multishot ? submit_multishot(o) : submit_single(o);
    }
}

bool epoll_driver::finish_now(op& o, int result) noexcept {
    o.result = result;
    o.lent = 0;
    ++stats_.completed;
    return true;
}

// Nothing tells when a file is ready: what is not in memory is for a thread that may block.
bool epoll_driver::submit_file(op& o) noexcept {
    const int result = read_cached(o);
    return finish_now(o, result == would_block ? -EOPNOTSUPP : result);
}

void epoll_driver::park(op& o, descriptor& d, op_list& line, place where) noexcept {
    line.push_back(o);
    o.state = where;
    ++stats_.in_flight;
    const bool triable = (where == in_readers && d.readable) || (where == in_writers && d.writable);
    if (triable && !d.linked()) ready_.push_back(d);
}

bool epoll_driver::submit_single(op& o) noexcept {
    const attempt_row& row = row_of(o);
    const bool writing = row.side == io_side::writing;
    const place where = writing ? in_writers : in_readers;
    bool regular_file = false;
    if (row.needs_nonblocking) {
        if (const int error = prepare(o, regular_file); error != 0) return finish_now(o, error);
    }
    descriptor* d = regular_file ? nullptr : table_.find(o.fd);
    // Behind others of its side, or while it is known that nothing is there, it is not tried.
    if (d != nullptr && (!line_of(*d, where).empty() || !(writing ? d->writable : d->readable))) {
        if (never_waits(o)) return finish_now(o, -EAGAIN);
        park(o, *d, line_of(*d, where), where);
        return false;
    }
    const int result = attempt(o);
    if (result != would_block) return finish_now(o, result);
    if (never_waits(o)) return finish_now(o, -EAGAIN);
    d = table_.make(o.fd);
    if (d == nullptr) return finish_now(o, -ENOMEM);
    if (const int error = watch(*d, writing); error != 0) return finish_now(o, error);
    // Only now: `watch` may find that the number is a new file's and start from the beginning. What
    // became ready since the attempt is an edge that the next poll brings.
    (writing ? d->writable : d->readable) = false;
    park(o, *d, line_of(*d, where), where);
    return false;
}

bool epoll_driver::submit_multishot(op& o) noexcept {
    require(o.code == op_code::recv || o.code == op_code::accept,
            "multishot is for recv and accept");
    o.address = nullptr;
    bool regular_file = false;
    if (o.code == op_code::accept) {
        if (const int error = prepare(o, regular_file); error != 0) return finish_now(o, error);
    }
    descriptor* d = table_.make(o.fd);
    if (d == nullptr) return finish_now(o, o.fd < 0 ? -EBADF : -ENOMEM);
    if (d->armed != descriptor::arming::for_life) {
        if (const int error = watch(*d, false); error != 0)
            return finish_now(o, error == -EPERM ? -ENOTSOCK : error);
        d->readable = false;  // epoll tells by itself of what is there already
    }
    if (d->kind == descriptor::file_kind::unknown) learn_kind(*d);
    if (d->kind == descriptor::file_kind::device) return finish_now(o, -ENOTSOCK);
    park(o, *d, d->readers, in_readers);
    return false;
}

// A signal interrupts even a poll that does not wait (poll(2)).
std::int32_t epoll_driver::readiness(const op& o) noexcept {
    if (o.fd < 0) return -EBADF;  // poll(2) skips it
    pollfd asked{o.fd, static_cast<short>(o.argument), 0};
    while (::poll(&asked, 1, 0) < 0) {
        if (errno != EINTR) return -errno;
    }
    if ((asked.revents & POLLNVAL) != 0) return -EBADF;
    return static_cast<unsigned short>(asked.revents);
}

bool epoll_driver::submit_poll(op& o) noexcept {
    if (const std::int32_t ready = readiness(o); ready != 0) return finish_now(o, ready);
    descriptor* d = table_.make(o.fd);
    if (d == nullptr) return finish_now(o, -ENOMEM);
    if (const int error = watch_once(*d, o.argument); error != 0) return finish_now(o, error);
    park(o, *d, d->pollers, in_pollers);
    return false;
}

bool epoll_driver::submit_close(op& o) noexcept {
    if (descriptor* d = table_.find(o.fd)) {
        require(!d->waited_for(), "close: another operation is in flight on the descriptor");
        d->reset();
    }
    // After EINTR the number is free all the same (close(2)): it is never asked again.
    const int result = ::close(o.fd);
    return finish_now(o, result < 0 && errno != EINTR ? -errno : 0);
}

op_list& epoll_driver::line_of(descriptor& d, place where) noexcept {
    if (where == in_readers) return d.readers;
    return where == in_writers ? d.writers : d.pollers;
}

void epoll_driver::cancel(op& o) noexcept {
    if (o.state == nowhere || o.state == in_finished) return;
    descriptor* d = table_.find(o.fd);
    line_of(*d, static_cast<place>(o.state)).remove(o);
    o.result = -ECANCELED;
    o.state = in_finished;
    finished_.push_back(o);
}

// Before the first attempt of a call that knows no MSG_DONTWAIT. Regular files cannot be waited
// for: they are read where they stand.
int epoll_driver::prepare(op& o, bool& regular_file) noexcept {
    descriptor* d = table_.find(o.fd);
    if (o.code == op_code::connect && d != nullptr && !d->waited_for()) forget(*d);
    if (d != nullptr && d->nonblocking) return 0;
    if (o.code == op_code::read || o.code == op_code::write) {
        if (o.fd < 0) return -EBADF;
        if (d == nullptr) d = table_.make(o.fd);
        if (d == nullptr) return -ENOMEM;
        const int error = watch(*d, false);
        regular_file = error == -EPERM;
        if (error != 0) return regular_file ? 0 : error;
        if (d->kind == descriptor::file_kind::unknown) learn_kind(*d);
        if (d->kind != descriptor::file_kind::device) {
            d->nonblocking = true;  // as far as this driver goes: it asks with MSG_DONTWAIT
            return 0;
        }
    }
    const int error = make_nonblocking(o.fd);
    if (error == 0 && o.code != op_code::connect) {
        if (d == nullptr) d = table_.make(o.fd);
        if (d == nullptr) return -ENOMEM;
        d->nonblocking = true;
    }
    return error;
}

// The number was given to a new file by the kernel, and nobody had told us that the old one went.
// Whoever still waits for the old one would wait for ever.
void epoll_driver::forget(descriptor& d) noexcept {
    for (op_list* line : {&d.readers, &d.writers, &d.pollers}) {
        while (!line->empty()) {
            op& o = line->pop_front();
            o.result = -EBADF;
            o.state = in_finished;
            finished_.push_back(o);
        }
    }
    d.reset();
}

void epoll_driver::learn_kind(descriptor& d) noexcept {
    int protocol = 0;
    socklen_t size = sizeof protocol;
    if (::getsockopt(d.fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0)
        d.kind = descriptor::file_kind::device;
    else if (protocol == IPPROTO_TCP)
        d.kind = descriptor::file_kind::tcp;
    else
        d.kind = descriptor::file_kind::socket;
}

void epoll_driver::note_read(descriptor& d, std::uint32_t asked, int got) noexcept {
    if (got <= 0 || static_cast<std::uint32_t>(got) >= asked || d.distrusts_short ||
        d.armed != descriptor::arming::for_life)
        return;
    if (d.kind == descriptor::file_kind::unknown) learn_kind(d);
    if (d.kind == descriptor::file_kind::tcp) d.readable = false;
}

int epoll_driver::attempt(op& o) noexcept {
    const int result = row_of(o).attempt(o);
    if (result < 0) return result;
    if (o.code == op_code::accept) {
        descriptor* listener = table_.find(o.fd);
        if (listener->kind == descriptor::file_kind::unknown) learn_kind(*listener);
        if (descriptor* fresh = table_.make(result)) {
            forget(*fresh);
            fresh->kind = listener->kind;
        }
    } else if (o.code == op_code::recv && o.argument == 0) {
        if (descriptor* d = table_.find(o.fd)) note_read(*d, o.length, result);
    }
    return result;
}

void epoll_driver::give_back(std::uint32_t lent) noexcept {
    if (lender_.give_back(lent)) ready_.splice_back(starved_);
}

driver_stats epoll_driver::stats() const noexcept {
    driver_stats all = stats_;
    all.backend = backend::epoll;
    lender_.count_in(all);
    return all;
}

}  // namespace lariat::detail

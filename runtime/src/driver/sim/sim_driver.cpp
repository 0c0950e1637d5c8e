#include "driver/sim/sim_driver.hpp"

#include "driver/file_ops.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lariat::detail {

sim_driver::sim_driver(const driver_options& options)
    : lender_(options), random_(options.seed), wake_fd_(::eventfd(0, EFD_CLOEXEC)) {
    if (!wake_fd_) throw std::system_error(errno, std::system_category(), "eventfd");
}

sim_driver::~sim_driver() {
    require(stats_.in_flight == 0, "a driver is destroyed when no operation is in flight");
    require(lender_.leases() == 0, "a driver is destroyed when no lent buffer is out");
}

sim_driver::place sim_driver::place_of(const op& o) noexcept {
    switch (o.code) {
        case op_code::accept:
        case op_code::recv:
        case op_code::recv_msg:
        case op_code::read: return in_readers;
        case op_code::poll: return in_pollers;
        default: return in_writers;
    }
}

// Rows live as long as their driver, one for each number the network ever gave.
sim_driver::row* sim_driver::find(int fd) noexcept {
    if (network_.ready(fd) == POLLNVAL) return nullptr;
    const auto index = static_cast<std::size_t>(fd - sim_network::first_descriptor);
    if (index >= rows_.size()) rows_.resize(index + 1);
    return &rows_[index];
}

op_list& sim_driver::line_of(const op& o, place where) noexcept {
    row& r = rows_[static_cast<std::size_t>(o.fd - sim_network::first_descriptor)];
    if (where == in_readers) return r.readers;
    return where == in_writers ? r.writers : r.pollers;
}

bool sim_driver::submit(op& o) noexcept {
    ++stats_.submitted;
    o.more = false;
    if (may_be_refused(o)) return finish_now(o, -EOPNOTSUPP);
    int result = would_block;
    row* r = find(o.fd);
    if (o.code == op_code::nop) {
        result = 0;
    } else if (r == nullptr) {
        result = -EBADF;
    } else if (o.code == op_code::close) {
        require(r->readers.empty() && r->writers.empty() && r->pollers.empty(),
                "close: another operation is in flight on the descriptor");
        result = network_.close(o.fd);
    } else if (!o.multishot && line_of(o, place_of(o)).empty() && random_.coin()) {
        result = attempt(o);
    }
    if (result == would_block && never_waits(o) && r != nullptr) result = attempt(o);
    if (result == would_block && never_waits(o)) result = -EAGAIN;
    if (result != would_block) {
        if (random_.coin()) return finish_now(o, result);
        finish_later(o, result);
        ++stats_.in_flight;
        return false;
    }
    o.state = place_of(o);
    line_of(o, place_of(o)).push_back(o);
    ++stats_.in_flight;
    touch(o.fd);
    return false;
}

bool sim_driver::finish_now(op& o, int result) noexcept {
    o.result = result;
    o.lent = 0;
    ++stats_.completed;
    return true;
}

void sim_driver::finish_later(op& o, int result) noexcept {
    o.result = result;
    o.state = in_finished;
    finished_.push_back(o);
}

// At the head of its line a cancelled op may still win the race, as in a kernel.
void sim_driver::cancel(op& o) noexcept {
    if (o.state == nowhere || o.state == in_finished || (o.state & cancel_asked) != 0) return;
    op_list& line = line_of(o, static_cast<place>(o.state));
    if (line.is_front(o) && random_.coin()) {
        o.state |= cancel_asked;
        touch(o.fd);
        return;
    }
    line.remove(o);
    finish_later(o, -ECANCELED);
}

int sim_driver::attempt(const op& o) noexcept {
    switch (o.code) {
        case op_code::accept: return network_.accept(o.fd);
        case op_code::connect:
            return network_.connect(o.fd, static_cast<const sockaddr*>(o.address), o.length);
        case op_code::recv:
            return network_.recv(o.fd, o.address, o.length, static_cast<int>(o.argument));
        case op_code::send: return network_.send(o.fd, o.address, o.length);
        case op_code::recv_msg:
        case op_code::send_msg: return attempt_msg(o);
        case op_code::read: return network_.recv(o.fd, o.address, o.length);
        case op_code::write: return network_.send(o.fd, o.address, o.length);
        case op_code::poll: {
            const int always = POLLERR | POLLHUP | POLLNVAL;
            const int events = network_.ready(o.fd) & (static_cast<int>(o.argument) | always);
            return events != 0 ? events : would_block;
        }
        default: return -EINVAL;
    }
}

int sim_driver::attempt_msg(const op& o) noexcept {
    auto& message = *static_cast<msghdr*>(o.address);
    std::string bytes;
    std::size_t room = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const iovec& part = message.msg_iov[i];
        room += part.iov_len;
        if (o.code == op_code::send_msg)
            bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
    }
    if (o.code == op_code::send_msg) return network_.send(o.fd, bytes.data(), bytes.size());
    bytes.resize(room);
    const int got = network_.recv(o.fd, bytes.data(), room, static_cast<int>(o.argument));
    if (got < 0) return got;
    message.msg_namelen = 0;
    message.msg_controllen = 0;
    message.msg_flags = 0;
    std::size_t done = 0;
    for (std::size_t i = 0; done < static_cast<std::size_t>(got); ++i) {
        const iovec& part = message.msg_iov[i];
        const std::size_t count = std::min(part.iov_len, static_cast<std::size_t>(got) - done);
        std::memcpy(part.iov_base, bytes.data() + done, count);
        done += count;
    }
    return got;
}

void sim_driver::give_back(std::uint32_t lent) noexcept {
    if (!lender_.give_back(lent)) return;
    touched_.insert(touched_.end(), starved_.begin(), starved_.end());
    starved_.clear();
}

driver_stats sim_driver::stats() const noexcept {
    driver_stats all = stats_;
    all.backend = backend::sim;
    lender_.count_in(all);
    return all;
}

// Release and acquire as in the epoll driver: what was written before wake() is seen after poll().
void sim_driver::wake() noexcept {
    if (wake_asked_.exchange(true, std::memory_order_acq_rel)) return;
    const int kept = errno;
    const std::uint64_t one = 1;
    while (::write(wake_fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = kept;
}

// True once a wake. The waker's write may come a moment after its flag: the read waits for it.
bool sim_driver::woken() noexcept {
    if (!wake_asked_.load(std::memory_order_relaxed)) return false;
    wait_for_wake();
    return true;
}

void sim_driver::wait_for_wake() noexcept {
    std::uint64_t count = 0;
    while (::read(wake_fd_.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
    wake_asked_.exchange(false, std::memory_order_acq_rel);
}

void sim_driver::poll(time_point until) {
    ++stats_.kernel_entries;
    stuck_ = false;
    for (;;) {
        const bool completed = turn();
        if (woken() || completed || until <= now()) return;
        const time_point next = std::min(network_.next_event(), until);
        if (next == forever) {
            if (expects_wakes_) return wait_for_wake();
            stuck_ = true;
            return;
        }
        network_.advance(next);
    }
}

// Completes what can be completed at this moment, in an order of the seed's. What completions add
// waits for the next turn.
bool sim_driver::turn() {
    happened_ = false;
    std::vector<candidate> candidates;
    while (!finished_.empty()) candidates.push_back({&finished_.pop_front(), -1});
    std::vector<int> rows = std::exchange(touched_, {});
    for (const int fd : network_.take_touched()) rows.push_back(fd);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    for (const int fd : rows) candidates.push_back({nullptr, fd});
    random_.shuffle(candidates);
    for (const candidate& next : candidates) {
        if (next.finished != nullptr) {
            op_list alone;
            alone.push_back(*next.finished);
            finish(alone, *next.finished, next.finished->result);
            continue;
        }
        std::vector<place> lines{in_readers, in_writers, in_pollers};
        random_.shuffle(lines);
        for (const place where : lines) try_line(next.fd, where);
    }
    return happened_;
}

// One op of a line gets on in a turn, mostly the first that can; pollers, who take nothing, all do.
void sim_driver::try_line(int fd, place where) {
    if (find(fd) == nullptr) return;
    op key;
    key.fd = fd;
    std::size_t left = line_of(key, where).size();
    if (left > 1 && random_.chance(200))
        line_of(key, where).push_back(line_of(key, where).pop_front());
    for (; left > 0 && !line_of(key, where).empty(); --left) {
        op& o = line_of(key, where).front();
        const bool cancelled = (o.state & cancel_asked) != 0;
        int result = o.multishot ? try_multishot(o) : attempt(o);
        if (result == would_block && cancelled) result = -ECANCELED;
        if (result != would_block) {
            touch(fd);
            finish(line_of(key, where), o, result);
            if (where != in_pollers) return;
        } else if ((o.state & ~cancel_asked) == where) {  // its completion may have cancelled it
            line_of(key, where).remove(o);
            line_of(key, where).push_back(o);
        }
    }
}

// Returns the last result, or would_block while it is still armed.
int sim_driver::try_multishot(op& o) {
    const bool cancelled = (o.state & cancel_asked) != 0;
    const int fd = o.fd;
    const auto recv = [&](const lent_space& into) {
        return network_.recv(fd, into.at, into.bytes, static_cast<int>(o.argument));
    };
    const int result = o.code == op_code::accept ? network_.accept(fd) : lender_.receive(o, recv);
    if (result == lender::starved) {
        if (!cancelled) starved_.push_back(fd);
        return would_block;
    }
    if (result < 0 || (result == 0 && o.code == op_code::recv)) return result;
    touch(fd);
    complete_more(o, result);
    return would_block;
}

void sim_driver::complete_more(op& o, int result) noexcept {
    o.result = result;
    o.more = true;
    happened_ = true;
    o.complete(o);
}

void sim_driver::finish(op_list& line, op& o, int result) noexcept {
    line.remove(o);
    o.state = nowhere;
    o.result = result;
    o.more = false;
    o.lent = 0;
    if (o.multishot) o.address = nullptr;
    --stats_.in_flight;
    ++stats_.completed;
    happened_ = true;
    o.complete(o);
}

}  // namespace lariat::detail

// What happens in poll(): the wait, and the descriptors' turns.

#include "driver/epoll/epoll_driver.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <system_error>

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constexpr std::uint64_t wake_key = ~std::uint64_t{0};
constexpr std::uint32_t turn_bytes = 256 * 1024;
constexpr int turn_ops = 64;
/// Of all receives together. What one turn lends its users answer before the next one begins: so
/// much stays in a core's own cache from the kernel's copy to the answer's, and the buffer it lies
/// in is empty again for the next.
constexpr std::uint32_t turn_lent_bytes = 128 * 1024;
constexpr std::uint32_t life_events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

unique_fd checked(int fd, const char* what) {
    if (fd < 0) throw std::system_error(errno, std::system_category(), what);
    return unique_fd(fd);
}

std::uint32_t wanted(const op_list& pollers) noexcept {
    std::uint32_t events = 0;
    if (pollers.empty()) return events;
    const op* item = &pollers.front();
    do {
        events |= item->argument;
        item = &op_list::after(*item);
    } while (!pollers.is_front(*item));
    return events;
}

}  // namespace

epoll_driver::epoll_driver(const driver_options& options)
    : epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_fd_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      lender_(options) {
    // Edge-triggered, it need not be read: each write is an edge (eventfd(2) wakes at every one).
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = wake_key;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd_.get(), &event) < 0)
        throw std::system_error(errno, std::system_category(), "epoll_ctl");
}

epoll_driver::~epoll_driver() {
    if (!process_.at_home()) return;  // a forked child's copy: its operations are the parent's
    require(stats_.in_flight == 0, "a driver is destroyed when no operation is in flight");
    require(lender_.leases() == 0, "a driver is destroyed when no lent buffer is out");
}

// Release: what was written before wake() is seen by whoever runs after poll(), which takes the
// flag back with acquire. A second waker that finds the flag set may rely on the first one's write:
// poll() clears the flag only on its way out, and its caller looks at the mailbox after that.
void epoll_driver::wake() noexcept {
    if (wake_asked_.exchange(true, std::memory_order_acq_rel)) return;
    const int kept = errno;
    const std::uint64_t one = 1;
    while (::write(wake_fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = kept;
}

void epoll_driver::poll(time_point until) {
    process_.require_home();
    if (until <= time_point()) until = no_wait;  // before the clock began: the difference overflows
    happened_ = false;
    for (;;) {
        const bool work_waits = !finished_.empty() || !ready_.empty();
        const int count = wait(work_waits ? no_wait : until);
        deliver_finished();
        lendable_ = turn_lent_bytes;
        list<descriptor> turn;
        turn.splice_back(ready_);
        while (!turn.empty() && lendable_ != 0) run(turn.pop_front());
        for (int i = 0; i < count; ++i) take_event(events_[static_cast<std::size_t>(i)]);
        // Next time those come first for whom nothing was left.
        turn.splice_back(unserved_);
        turn.splice_back(ready_);
        ready_.splice_back(turn);
        // An edge may bring nothing: for a descriptor that nobody waits for, or for the other side.
        if (happened_ || until == no_wait || (until != forever && now() >= until)) break;
    }
    if (wake_asked_.load(std::memory_order_relaxed))
        wake_asked_.exchange(false, std::memory_order_acq_rel);
}

int epoll_driver::wait(time_point until) {
    for (;;) {
        ++stats_.kernel_entries;
        const int count = wait_once(until);
        if (count >= 0) return count;
        if (errno == ENOSYS && has_pwait2_)
            has_pwait2_ = false;
        else if (errno != EINTR)
            throw std::system_error(errno, std::system_category(), "epoll_wait");
    }
}

int epoll_driver::wait_once(time_point until) noexcept {
    const int room = static_cast<int>(events_.size());
    if (until == no_wait) return ::epoll_wait(epoll_.get(), events_.data(), room, 0);
    if (until == forever) return ::epoll_wait(epoll_.get(), events_.data(), room, -1);
    using namespace std::chrono;
    const nanoseconds left = std::clamp<nanoseconds>(until - clock::now(), 0ns, hours(24));
    if (has_pwait2_) {
        const timespec time{static_cast<time_t>(left / 1s), static_cast<long>((left % 1s).count())};
        return static_cast<int>(::syscall(SYS_epoll_pwait2, epoll_.get(), events_.data(), room,
                                          &time, nullptr, std::size_t{8}));
    }
    // Up, never down: a deadline is not met early.
    const auto whole = static_cast<int>(ceil<milliseconds>(left).count());
    return ::epoll_wait(epoll_.get(), events_.data(), room, whole);
}

int epoll_driver::control(descriptor& d, std::uint32_t events) noexcept {
    for (int tries = 0;; ++tries) {
        const bool adds = d.armed == descriptor::arming::none;
        if (adds) ++d.generation;
        epoll_event event{};
        event.events = events;
        event.data.u64 = (std::uint64_t{d.generation} << 32) | static_cast<std::uint32_t>(d.fd);
        if (::epoll_ctl(epoll_.get(), adds ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, d.fd, &event) == 0)
            return 0;
        if (tries == 2) return -errno;
        if (!adds && errno == ENOENT)
            forget(d);
        else if (adds && errno == EEXIST)
            d.armed = descriptor::arming::once;  // we forgot it, the kernel did not
        else
            return -errno;
    }
}

int epoll_driver::watch(descriptor& d, bool writing) noexcept {
    if (d.armed == descriptor::arming::for_life && (!writing || d.watches_writing)) return 0;
    writing = writing || d.watches_writing || (wanted(d.pollers) & EPOLLOUT) != 0;
    if (const int error = control(d, life_events | (writing ? EPOLLOUT : 0U)); error != 0)
        return error;
    d.armed = descriptor::arming::for_life;
    d.watches_writing = writing;
    return 0;
}

int epoll_driver::watch_once(descriptor& d, std::uint32_t events) noexcept {
    events |= wanted(d.pollers);
    const bool for_life = d.armed == descriptor::arming::for_life;
    const bool writing = d.watches_writing || (events & EPOLLOUT) != 0;
    if (for_life)
        events = life_events | (writing ? EPOLLOUT : 0U);
    else
        events = (events & 0xffffU) | EPOLLONESHOT;
    if (const int error = control(d, events); error != 0) return error;
    d.armed = for_life ? descriptor::arming::for_life : descriptor::arming::once;
    d.watches_writing = for_life && writing;
    return 0;
}

void epoll_driver::take_event(const epoll_event& event) noexcept {
    if (event.data.u64 == wake_key) {
        happened_ = true;
        return;
    }
    const auto fd = static_cast<int>(event.data.u64 & 0xffffffffU);
    descriptor* d = table_.find(fd);
    if (d == nullptr || d->generation != event.data.u64 >> 32) return;
    if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0) d->readable = true;
    if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) d->writable = true;
    if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
        d->distrusts_short = true;
    run(*d);
}

// A linked one had its readers' turn already, or they wait for a buffer.
void epoll_driver::run(descriptor& d) noexcept {
    const bool unserved = lendable_ == 0;
    if (!d.linked()) run_readers(d);
    run_writers(d);
    if (!d.pollers.empty()) run_pollers(d);
    const bool readers_left = d.readable && !d.readers.empty() && !d.linked();
    const bool writers_left = d.writable && !d.writers.empty();
    if (!readers_left && !writers_left) return;
    d.unlink();
    (unserved ? unserved_ : ready_).push_back(d);
}

void epoll_driver::run_readers(descriptor& d) noexcept {
    std::uint32_t bytes = turn_bytes;
    for (int i = 0; i < turn_ops && d.readable && !d.readers.empty(); ++i) {
        op& o = d.readers.front();
        if (!o.multishot)
            try_front(d, d.readers);
        else if (o.code == op_code::accept)
            accept_next(d, o);
        else if (lendable_ == 0 || !receive(d, o, bytes))
            return;
    }
}

void epoll_driver::run_writers(descriptor& d) noexcept {
    for (int i = 0; i < turn_ops && d.writable && !d.writers.empty(); ++i) try_front(d, d.writers);
}

void epoll_driver::run_pollers(descriptor& d) noexcept {
    std::size_t left = d.pollers.size();
    for (; left > 0 && !d.pollers.empty(); --left) {
        op& o = d.pollers.front();
        if (const std::int32_t ready = readiness(o); ready != 0) {
            finish(d.pollers, o, ready);
        } else {
            d.pollers.remove(o);
            d.pollers.push_back(o);
        }
    }
    if (d.pollers.empty() || d.armed != descriptor::arming::once) return;
    const int error = watch_once(d, 0);
    while (error != 0 && !d.pollers.empty()) finish(d.pollers, d.pollers.front(), error);
}

// False: the descriptor's turn is over.
bool epoll_driver::receive(descriptor& d, op& o, std::uint32_t& budget) noexcept {
    const int result = lender_.receive(o, [&](const lent_space& into) noexcept {
        const int got = attempt_recv(d.fd, into.at, into.bytes, o.argument);
        note_read(d, into.bytes, got);
        return got;
    });
    if (result == lender::starved) {
        d.unlink();  // a completion before this one may have made it ready again
        starved_.push_back(d);
        return false;
    }
    if (result == would_block) {
        d.readable = false;
        return false;
    }
    if (result <= 0) {
        finish(d.readers, o, result);
        return true;
    }
    const auto bytes = static_cast<std::uint32_t>(result);
    budget -= std::min(budget, bytes);
    lendable_ -= std::min(lendable_, bytes);
    hand_over(o, result);
    return budget > 0;
}

void epoll_driver::accept_next(descriptor& d, op& o) noexcept {
    const int result = attempt(o);
    if (result == would_block) {
        d.readable = false;
    } else if (result < 0) {
        finish(d.readers, o, result);
    } else {
        hand_over(o, result);
    }
}

void epoll_driver::try_front(descriptor& d, op_list& line) noexcept {
    op& o = line.front();
    const int result = attempt(o);
    if (result != would_block)
        finish(line, o, result);
    else
        (&line == &d.readers ? d.readable : d.writable) = false;
}

void epoll_driver::hand_over(op& o, int result) noexcept {
    o.result = result;
    o.more = true;
    happened_ = true;
    o.complete(o);
}

void epoll_driver::finish(op_list& line, op& o, int result) noexcept {
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

// Those that completions add wait for the next poll: a chain of them must not hold up the turn.
void epoll_driver::deliver_finished() noexcept {
    op_list turn = finished_.take();
    while (!turn.empty()) {
        op& o = turn.front();
        finish(turn, o, o.result);
    }
}

}  // namespace lariat::detail

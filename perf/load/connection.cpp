#include "connection.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>
#include <system_error>
#include <utility>

namespace echo_load {

nanoseconds_t now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

connection::connection(shared_state& shared, std::uint32_t index)
    : shared_(shared),
      index_(index),
      started_at_(std::make_unique<nanoseconds_t[]>(shared.pipeline)) {}

void connection::open(const sockaddr_in& server, in_addr_t source) {
    const nanoseconds_t start = now();
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return fail("socket", errno);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source != INADDR_ANY) {
        // The port is then chosen in connect(), where one port serves for many destinations.
        setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        sockaddr_in local{};
        local.sin_family = AF_INET;
        local.sin_addr.s_addr = source;
        if (bind(fd_, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) {
            return fail("bind", errno);
        }
    }
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0 &&
        errno != EINPROGRESS) {
        return fail("connect", errno);
    }
    state_ = state::connecting;
    // Streams that start at different places: an answer to another connection's request is noticed.
    send_position_ = byte_pattern::advance(0, index_ * std::size_t(977));
    receive_position_ = send_position_;
    if (shared_.one_shot) first_due_ = start;
    epoll_event wanted{};
    wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    wanted.data.u32 = index_;
    if (epoll_ctl(shared_.epoll, EPOLL_CTL_ADD, fd_, &wanted) != 0) fail("epoll_ctl", errno);
}

void connection::close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    state_ = state::closed;
    unsent_ = partial_ = 0;
    granted_ = issued_ = answered_ = 0;
    oldest_ = newest_ = 0;
}

void connection::schedule(nanoseconds_t first, nanoseconds_t step) noexcept {
    first_due_ = first;
    step_ = step;
}

void connection::grant(std::uint64_t more) {
    granted_ += more;
    if (state_ == state::open) issue();
}

void connection::on_event(std::uint32_t events, bool refill) {
    if (state_ == state::connecting) finish_connecting();
    if (state_ == state::open && unsent_ > 0 && (events & EPOLLOUT) != 0) flush();
    if (state_ == state::open && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        receive(refill);
    }
}

void connection::finish_connecting() {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail("connect", error);
    state_ = state::open;
    if (shared_.one_shot) granted_ = 1;
    issue();
}

void connection::issue() {
    const std::uint64_t room = shared_.pipeline - (issued_ - answered_);
    const std::uint64_t count = std::min(room, granted_ - issued_);
    if (count == 0) return;
    const bool scheduled = step_ > 0;
    const nanoseconds_t start = scheduled || shared_.one_shot ? first_due_ : now();
    for (std::uint64_t i = 0; i < count; ++i) {
        started_at_[newest_] =
            scheduled ? start + step_ * static_cast<nanoseconds_t>(issued_ + i) : start;
        newest_ = newest_ + 1 == shared_.pipeline ? 0 : newest_ + 1;
    }
    issued_ += count;
    unsent_ += count * shared_.size;
    flush();
}

void connection::flush() {
    while (unsent_ > 0) {
        const std::size_t length = std::min(unsent_, byte_pattern::longest);
        const ssize_t sent =
            send(fd_, shared_.pattern.at(send_position_), length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) return;
            return fail("send", errno);
        }
        send_position_ = byte_pattern::advance(send_position_, static_cast<std::size_t>(sent));
        unsent_ -= static_cast<std::size_t>(sent);
    }
}

void connection::receive(bool refill) {
    while (state_ == state::open) {
        const ssize_t got = recv(fd_, shared_.incoming.get(), byte_pattern::longest, MSG_DONTWAIT);
        if (got < 0) {
            if (errno == EAGAIN) return;
            return fail("recv", errno);
        }
        if (got == 0) return fail("recv", ECONNRESET);
        const auto length = static_cast<std::size_t>(got);
        if (!shared_.pattern.matches(receive_position_, shared_.incoming.get(), length)) {
            return fail("an echoed byte is wrong", 0);
        }
        receive_position_ = byte_pattern::advance(receive_position_, length);
        take_answers(length, refill);
        // A short read has emptied the socket; with EPOLLET what comes later is a new event.
        if (length < byte_pattern::longest) return;
    }
}

void connection::take_answers(std::size_t bytes, bool refill) {
    const std::uint64_t answers = (partial_ + bytes) / shared_.size;
    partial_ = (partial_ + bytes) % shared_.size;
    shared_.tally.bytes += bytes;
    if (answers > issued_ - answered_) return fail("more bytes came back than were sent", 0);
    if (answers == 0) return;
    const nanoseconds_t end = now();
    shared_.tally.heard(end);
    for (std::uint64_t i = 0; i < answers; ++i) {
        shared_.tally.latency.record(end - started_at_[oldest_]);
        oldest_ = oldest_ + 1 == shared_.pipeline ? 0 : oldest_ + 1;
    }
    answered_ += answers;
    shared_.tally.requests += answers;
    if (shared_.one_shot) return close();
    if (refill) granted_ += answers;
    issue();
}

void connection::fail(const char* doing, int error) {
    std::string what = doing;
    if (error != 0) what += ": " + std::generic_category().message(error);
    shared_.tally.fail(std::move(what));
    close();
}

}  // namespace echo_load

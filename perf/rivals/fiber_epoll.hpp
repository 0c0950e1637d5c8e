#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/operations.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "listener.hpp"

// Boost.Fiber brings no I/O of its own: this is the scheduler that one gives a thread of fibers
// which wait for sockets.
namespace rival {

/// Round robin, and epoll where no fiber is ready: edge-triggered, each descriptor added once.
class epoll_scheduler : public boost::fibers::algo::round_robin {
 public:
    epoll_scheduler() : epoll_(floor_server::checked(epoll_create1(EPOLL_CLOEXEC), "epoll")) {
        here = this;
    }
    ~epoll_scheduler() override { close(epoll_); }

    /// The scheduler of this thread's fibers.
    static inline thread_local epoll_scheduler* here = nullptr;

    void add(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= sockets_.size()) sockets_.resize(index + 1);
        sockets_[index] = watched();
        epoll_event wanted{};
        wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        wanted.data.fd = fd;
        floor_server::checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
    }

    /// Parks this fiber until epoll has told of `what`, EPOLLIN or EPOLLOUT, since it was last
    /// waited for.
    void await(int fd, std::uint32_t what) {
        const auto index = static_cast<std::size_t>(fd);
        if ((sockets_[index].told & what) == 0) {
            sockets_[index].waits_for = what;
            sockets_[index].waiter = boost::fibers::context::active();
            sockets_[index].waiter->suspend();
        }
        sockets_[index].told &= ~what;
    }

    boost::fibers::context* pick_next() noexcept override {
        // Fibers that are always ready do not keep the others' sockets waiting.
        if (++picks_ % picks_between_polls == 0) poll(0);
        return round_robin::pick_next();
    }

    void suspend_until(const std::chrono::steady_clock::time_point& until) noexcept override {
        using std::chrono::ceil, std::chrono::milliseconds, std::chrono::steady_clock;
        if (until == steady_clock::time_point::max()) return poll(-1);
        const auto left = ceil<milliseconds>(until - steady_clock::now()).count();
        poll(left > 0 ? static_cast<int>(left) : 0);
    }

    void notify() noexcept override {}  // one thread: nobody else wakes its fibers

 private:
    struct watched {
        boost::fibers::context* waiter = nullptr;
        std::uint32_t waits_for = 0;
        std::uint32_t told = 0;
    };

    static constexpr std::uint32_t picks_between_polls = 256;

    void poll(int milliseconds) noexcept {
        std::array<epoll_event, 256> ready;
        const int size = static_cast<int>(ready.size());
        const int count = epoll_wait(epoll_, ready.data(), size, milliseconds);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = ready[static_cast<std::size_t>(i)];
            watched& socket = sockets_[static_cast<std::size_t>(event.data.fd)];
            constexpr std::uint32_t both = EPOLLIN | EPOLLOUT;
            const bool ended = (event.events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0;
            socket.told |= ended ? both : event.events & both;
            if (socket.waiter == nullptr || (socket.told & socket.waits_for) == 0) continue;
            boost::fibers::context::active()->schedule(socket.waiter);
            socket.waiter = nullptr;
        }
    }

    int epoll_;
    std::uint32_t picks_ = 0;
    std::vector<watched> sockets_;  // by descriptor
};

}  // namespace rival

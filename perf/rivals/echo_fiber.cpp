// An echo server on Boost.Fiber, a fiber a client, over the epoll scheduler of fiber_epoll.hpp.
#include <sys/socket.h>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <exception>
#include <memory>

#include "fiber_epoll.hpp"
#include "listener.hpp"

namespace {

using rival::epoll_scheduler;

bool must_wait(ssize_t result) { return result < 0 && errno == EAGAIN; }

// Returns whether all of it was taken.
bool send_all(int fd, const char* bytes, std::size_t length) {
    while (length > 0) {
        const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (must_wait(sent)) {
            epoll_scheduler::here->await(fd, EPOLLOUT);
            continue;
        }
        if (sent < 0) return false;
        bytes += sent;
        length -= static_cast<std::size_t>(sent);
    }
    return true;
}

void echo(int fd, std::size_t buffer_bytes) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_bytes);
    for (;;) {
        const ssize_t got = recv(fd, buffer.get(), buffer_bytes, 0);
        if (must_wait(got)) {
            epoll_scheduler::here->await(fd, EPOLLIN);
            continue;
        }
        if (got <= 0) break;
        const auto length = static_cast<std::size_t>(got);
        if (!send_all(fd, buffer.get(), length)) break;
        // A short read has emptied the socket; what comes later is a new edge. After a full one
        // others have their turn first.
        if (length < buffer_bytes)
            epoll_scheduler::here->await(fd, EPOLLIN);
        else
            boost::this_fiber::yield();
    }
    close(fd);
}

[[noreturn]] void serve(int listener, std::size_t buffer_bytes) {
    epoll_scheduler::here->add(listener);
    boost::fibers::pooled_fixedsize_stack stacks;
    for (;;) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            epoll_scheduler::here->await(listener, EPOLLIN);
            continue;
        }
        epoll_scheduler::here->add(fd);
        boost::fibers::fiber(boost::fibers::launch::dispatch, std::allocator_arg, stacks, echo, fd,
                             buffer_bytes)
            .detach();
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const floor_server::arguments chosen(argc, argv, 64 * 1024);
        floor_server::allow_all_descriptors();
        boost::fibers::use_scheduling_algorithm<epoll_scheduler>();
        serve(floor_server::listen_at(chosen.port, SOCK_NONBLOCK), chosen.buffer_bytes);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "echo_fiber: %s\n", failure.what());
        return 1;
    }
}

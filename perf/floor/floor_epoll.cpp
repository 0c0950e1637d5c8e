// An echo server on bare epoll: what the kernel's readiness interface costs with nothing above it.
// One thread, edge-triggered, one shared receive buffer, and one buffer's worth a client a turn, so
// that none waits for another's flood. Bytes that the socket does not take are kept, and nothing
// more is read from that client until they are gone.
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <memory>
#include <vector>

#include "listener.hpp"

namespace {

using floor_server::checked;

struct client {
    std::vector<char> unsent;
    std::size_t sent = 0;
};

class epoll_server {
 public:
    explicit epoll_server(const floor_server::arguments& chosen)
        : buffer_bytes_(chosen.buffer_bytes),
          buffer_(std::make_unique<char[]>(chosen.buffer_bytes)),
          epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
          listener_(floor_server::listen_at(chosen.port, SOCK_NONBLOCK)) {
        watch(listener_, EPOLLIN);
    }

    [[noreturn]] void run() {
        std::array<epoll_event, 256> ready;
        for (;;) {
            const int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()),
                                         unread_.empty() ? -1 : 0);
            serve_unread();
            for (int i = 0; i < count; ++i) {
                const int fd = ready[static_cast<std::size_t>(i)].data.fd;
                if (fd == listener_)
                    accept_all();
                else
                    serve(fd);
            }
        }
    }

 private:
    void watch(int fd, std::uint32_t events) {
        epoll_event wanted{};
        wanted.events = events;
        wanted.data.fd = fd;
        checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) return;
            const auto index = static_cast<std::size_t>(fd);
            if (index >= clients_.size()) clients_.resize(index + 1);
            watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        }
    }

    // Clients that filled the buffer in the turn before: their edge has been seen already.
    void serve_unread() {
        unread_.swap(serving_);
        for (const int fd : serving_) serve(fd);
        serving_.clear();
    }

    void serve(int fd) {
        client& who = clients_[static_cast<std::size_t>(fd)];
        if (!who.unsent.empty() && !send_rest(fd, who)) return;
        const ssize_t got = recv(fd, buffer_.get(), buffer_bytes_, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return forget(fd, who);
        const auto length = static_cast<std::size_t>(got);
        // A short read has emptied the socket; what comes later is a new edge.
        if (echo(fd, who, length) && length == buffer_bytes_) unread_.push_back(fd);
    }

    // Returns whether the client may send more.
    bool echo(int fd, client& who, std::size_t length) {
        const ssize_t sent = send(fd, buffer_.get(), length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            forget(fd, who);
            return false;
        }
        const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
        if (taken == length) return true;
        who.unsent.assign(buffer_.get() + taken, buffer_.get() + length);
        return false;
    }

    bool send_rest(int fd, client& who) {
        const ssize_t sent =
            send(fd, who.unsent.data() + who.sent, who.unsent.size() - who.sent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) forget(fd, who);
            return false;
        }
        who.sent += static_cast<std::size_t>(sent);
        if (who.sent < who.unsent.size()) return false;
        who = client();
        return true;
    }

    void forget(int fd, client& who) {
        who = client();
        close(fd);
    }

    std::size_t buffer_bytes_;
    std::unique_ptr<char[]> buffer_;
    int epoll_;
    int listener_;
    std::vector<client> clients_;  // by descriptor
    std::vector<int> unread_;
    std::vector<int> serving_;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        floor_server::allow_all_descriptors();
        epoll_server(floor_server::arguments(argc, argv, 64 * 1024)).run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "floor_epoll: %s\n", failure.what());
        return 1;
    }
}

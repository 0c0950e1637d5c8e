#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "listener.hpp"

// An HTTP server on bare epoll that knows one answer: to GET /NUMBER, the line "number NUMBER".
// Clients that fetch are measured against it, so it does no more than they need: keep-alive,
// several requests in one read, a request in several reads. One thread.
namespace floor_server {

inline std::string answer_to(int number) { return "number " + std::to_string(number) + "\n"; }

class http_answers {
 public:
    /// At a socket that listens, and does not block.
    explicit http_answers(int listener)
        : epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")), listener_(listener) {
        watch(listener_);
    }

    [[noreturn]] void run() {
        std::array<epoll_event, 256> ready;
        for (;;) {
            const int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), -1);
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
    void watch(int fd) {
        epoll_event wanted{};
        wanted.events = EPOLLIN;
        wanted.data.fd = fd;
        checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) return;
            const auto index = static_cast<std::size_t>(fd);
            if (index >= begun_.size()) begun_.resize(index + 1);
            watch(fd);
        }
    }

    void serve(int fd) {
        std::string& begun = begun_[static_cast<std::size_t>(fd)];
        std::array<char, 16 * 1024> room;
        const ssize_t got = recv(fd, room.data(), room.size(), 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return forget(fd);
        begun.append(room.data(), static_cast<std::size_t>(got));
        std::string answers;
        for (std::size_t end = begun.find("\r\n\r\n"); end != std::string::npos;
             end = begun.find("\r\n\r\n")) {
            if (!answer(std::string_view(begun).substr(0, end), answers)) return forget(fd);
            begun.erase(0, end + 4);
        }
        // A client of this kind never lets so many answers lie that its socket is full.
        const auto length = static_cast<ssize_t>(answers.size());
        if (length != 0 && send(fd, answers.data(), answers.size(), MSG_NOSIGNAL) != length)
            forget(fd);
    }

    static bool answer(std::string_view request, std::string& answers) {
        constexpr std::string_view verb = "GET /";
        if (!request.starts_with(verb)) return false;
        int number = 0;
        const char* const first = request.data() + verb.size();
        const auto read = std::from_chars(first, request.data() + request.size(), number);
        if (read.ec != std::errc() || *read.ptr != ' ') return false;
        const std::string body = answer_to(number);
        answers += "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n\r\n" + body;
        return true;
    }

    void forget(int fd) {
        begun_[static_cast<std::size_t>(fd)].clear();
        close(fd);
    }

    int epoll_;
    int listener_;
    std::vector<std::string> begun_;  // by descriptor: of a request that has not come whole
};

}  // namespace floor_server

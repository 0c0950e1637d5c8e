#pragma once

#include <lariat/process/workers.hpp>

#include "program.hpp"
#include "scratch.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/net/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/// A server of workers: a program of its own, told by the environment what to do, and its client.
namespace lariat::test {

using namespace std::chrono_literals;

inline int number_from(const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr ? 0 : std::atoi(text);
}
inline std::uint16_t port_to_serve() {
    return static_cast<std::uint16_t>(number_from("WORKERS_PORT"));
}

/// Answers each byte with its pid and a line end.
inline task<> answer_with_pid(tcp_stream client) {
    const std::string text = std::to_string(::getpid()) + "\n";
    std::array<char, 1> question{};
    for (;;) {
        const std::size_t count = co_await client.read_some(question);
        if (count == 0) break;
        co_await client.write_all(text);
    }
}

inline workers_options test_options() {
    workers_options options;
    options.count = 2;
    options.drain = 5s;
    options.first_backoff = 1ms;
    options.most_backoff = 20ms;
    if (const char* path = std::getenv("WORKERS_STATUS"); path != nullptr)
        options.status_path = path;
    if (number_from("WORKERS_THREADS") != 0) options.mode = workers_mode::threads;
    if (number_from("WORKERS_INHERIT") != 0) options.sharing = listener_sharing::inherited;
    return options;
}

inline workers_options without_status() {
    workers_options options = test_options();
    options.status_path.clear();
    return options;
}

struct host {
    sockaddr_in address{};
    unique_fd reservation;  // bound, not listening: keeps the port from others
};

inline host free_port() {
    host found;
    found.reservation = unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(found.reservation.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    ::setsockopt(found.reservation.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    found.address.sin_family = AF_INET;
    found.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof found.address;
    auto* generic = reinterpret_cast<sockaddr*>(&found.address);
    REQUIRE(::bind(found.reservation.get(), generic, size) == 0);
    REQUIRE(::getsockname(found.reservation.get(), generic, &size) == 0);
    return found;
}

/// A running server. Its environment is this process's, set before it starts.
struct server {
    explicit server(const char* role_name, bool threads = false, bool inherit = false)
        : where(free_port()), status_path(scratch.path("status")) {
        ::setenv("WORKERS_PORT", std::to_string(ntohs(where.address.sin_port)).c_str(), 1);
        ::setenv("WORKERS_STATUS", status_path.c_str(), 1);
        ::setenv("WORKERS_THREADS", threads ? "1" : "0", 1);
        ::setenv("WORKERS_INHERIT", inherit ? "1" : "0", 1);
        if (inherit) where.reservation.reset();
        running = std::make_unique<program>(role_name);
    }

    /// Connected, or not: refused. An answer that does not come within ten seconds is none.
    [[nodiscard]] unique_fd connect() const {
        unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const timeval patience{10, 0};
        ::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        const auto* generic = reinterpret_cast<const sockaddr*>(&where.address);
        if (::connect(made.get(), generic, sizeof where.address) != 0) return unique_fd();
        return made;
    }

    [[nodiscard]] int port() const noexcept { return ntohs(where.address.sin_port); }

    /// One who has called the status socket; nobody until the server is there.
    [[nodiscard]] unique_fd call_status() const {
        unique_fd caller(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, status_path.c_str(), status_path.size() + 1);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (!caller || ::connect(caller.get(), generic, sizeof address) != 0) caller.reset();
        return caller;
    }
    /// A line for each worker, as the status socket says; nothing until the server is there.
    [[nodiscard]] std::string status() const {
        const unique_fd caller = call_status();
        return caller ? answer_of(caller) : std::string();
    }
    [[nodiscard]] static std::string answer_of(const unique_fd& caller) {
        std::string text;
        std::array<char, 4096> room{};
        for (;;) {
            const ssize_t got = ::read(caller.get(), room.data(), room.size());
            if (got <= 0) return text;
            text.append(room.data(), static_cast<std::size_t>(got));
        }
    }
    /// Until the status has `words`, or has them no more.
    void await_status(const std::string& words, bool there = true) const {
        while ((status().find(words) != std::string::npos) != there) ::sched_yield();
    }

    /// The workers that serve, by pid; those that start or leave are not among them.
    [[nodiscard]] std::set<int> serving_pids() const {
        std::set<int> pids;
        const std::string text = status();
        for (std::size_t at = 0; (at = text.find("\"pid\": ", at)) != std::string::npos; ++at) {
            const std::string line = text.substr(at, text.find('\n', at) - at);
            if (line.find("\"serving\"") != std::string::npos)
                pids.insert(std::stoi(line.substr(7)));
        }
        return pids;
    }
    [[nodiscard]] std::set<int> await_serving(std::size_t count) const {
        for (;;) {
            std::set<int> pids = serving_pids();
            if (pids.size() == count) return pids;
            ::sched_yield();
        }
    }

    test::scratch scratch;
    host where;
    std::string status_path;
    std::unique_ptr<program> running;
};

/// The pid that answered, or 0: the connection was cut before; or, if errno is EAGAIN, its patience
/// was (see connect()).
inline int read_answer(const unique_fd& connection) {
    std::string answer;
    char letter = 0;
    errno = 0;
    while (::recv(connection.get(), &letter, 1, 0) == 1 && letter != '\n') answer += letter;
    return letter == '\n' ? std::stoi(answer) : 0;
}
/// The same, of a question.
inline int ask(const unique_fd& connection, char question = 'x') {
    if (::send(connection.get(), &question, 1, MSG_NOSIGNAL) != 1) return 0;
    return read_answer(connection);
}

}  // namespace lariat::test

#pragma once

#include "death.hpp"
#include "leak_check.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace net_test {

using namespace lariat;
using lariat::test::run_in_lone_child;
using namespace std::chrono_literals;

/// Runs body(), a task, on the backend that LARIAT_BACKEND names; then frames, descriptors, lent
/// buffers, timers and tasks have been counted back to what they were.
template <class Body>
void on_loop(Body body, const run_options& options = run_options()) {
    const lariat::test::leak_check leaks;
    lariat::loop own(options);
    own.run(body());
    const loop_stats last = own.stats();
    CHECK(last.driver.lent == 0);
    CHECK(last.timers == 0);
    CHECK(last.tasks == 0);
}

inline endpoint loopback() { return {"127.0.0.1", 0}; }

struct ends {
    tcp_stream near;
    tcp_stream far;
};

/// Two streams of this loop, connected to each other.
inline task<ends> connected() {
    auto listener = tcp_listener::bind(loopback());
    ends both;
    both.near = co_await tcp_stream::connect(listener.local_endpoint());
    both.far = co_await listener.accept();
    co_return both;
}

struct raw_ends {
    tcp_stream stream;
    unique_fd peer;  ///< a blocking socket outside of any loop
};

inline sockaddr_in raw_address(const endpoint& of) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(of.port());
    std::memcpy(&address.sin_addr, of.address().bytes().data(), sizeof address.sin_addr);
    return address;
}

/// A blocking socket that is connected to a v4 address; with SOCK_NONBLOCK perhaps not yet.
inline unique_fd raw_connection(const endpoint& to, int flags = 0) {
    unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    const sockaddr_in address = raw_address(to);
    const int failed =
        ::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const bool begun = failed == 0 || (flags != 0 && errno == EINPROGRESS);
    REQUIRE(begun);
    return made;
}

inline unique_fd raw_listener(const endpoint& on, int backlog) {
    unique_fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = raw_address(on);
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    REQUIRE(::listen(listener.get(), backlog) == 0);
    return listener;
}

inline endpoint raw_endpoint(const unique_fd& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &address.sin_addr, bytes.size());
    return {ip_address::from_bytes(bytes), ntohs(address.sin_port)};
}

inline raw_ends connected_raw() {
    const unique_fd listener = raw_listener(loopback(), 1);
    unique_fd near = raw_connection(raw_endpoint(listener));
    unique_fd far(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(far.get() >= 0);
    return {tcp_stream(near.release()), std::move(far)};
}

/// Closes so that the peer gets a reset.
inline void reset_connection(unique_fd& socket) {
    const linger at_once{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.reset();
}

/// What stands at an offset of a test's stream: a lost, doubled or swapped byte is seen.
constexpr char pattern_at(std::uint64_t offset) noexcept {
    return static_cast<char>((offset * 2654435761U) >> 24U);
}
inline std::string pattern(std::uint64_t from, std::size_t count) {
    std::string text(count, '\0');
    for (std::size_t i = 0; i < count; ++i) text[i] = pattern_at(from + i);
    return text;
}
/// How many bytes of `text` are what stands at `from`: all of them, or where it goes wrong.
inline std::size_t matching(std::uint64_t from, const char* text, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i)
        if (text[i] != pattern_at(from + i)) return i;
    return count;
}

/// Lets the loop turn so often: each time it looks at the kernel and at its timers.
inline task<> turns(int count) {
    for (int i = 0; i < count; ++i) {
        const std::uint64_t turn = loop::current().stats().turns;
        while (loop::current().stats().turns == turn) co_await yield_now();
    }
}

/// Reads to the end of the stream.
inline task<std::string> read_all(tcp_stream& from) {
    std::string all;
    std::string room(64 * 1024, '\0');
    for (;;) {
        const std::size_t got = co_await from.read_some(room);
        if (got == 0) co_return all;
        all.append(room, 0, got);
    }
}

/// Reads exactly so many, or up to the end.
inline task<std::string> read_count(tcp_stream& from, std::size_t count) {
    std::string all(count, '\0');
    std::size_t have = 0;
    while (have < count) {
        const std::size_t got =
            co_await from.read_some(mutable_bytes(all.data() + have, count - have));
        if (got == 0) break;
        have += got;
    }
    all.resize(have);
    co_return all;
}

}  // namespace net_test

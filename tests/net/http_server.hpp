#pragma once

#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/net/http/headers.hpp>
#include <lariat/net/serve.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace lariat::test {

/// A request as it reached the server.
struct seen_request {
    seen_request() {}

    std::string method;
    std::string target;
    http::headers lines;
    std::string body;
    std::size_t connection = 0;  ///< on which it came, from 0
};

[[nodiscard]] inline std::string ok(std::string_view body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string(body);
}

[[nodiscard]] inline std::string redirect(int status, const std::string& to) {
    return "HTTP/1.1 " + std::to_string(status) + " Moved\r\nLocation: " + to +
           "\r\nContent-Length: 4\r\n\r\ngone";
}

/// One connection of the scripted server.
class http_peer {
 public:
    http_peer(tcp_stream stream, std::size_t number) noexcept
        : stream_(std::move(stream)), number_(number) {}

    /// The next request with its body; nothing when the client has closed.
    task<std::optional<seen_request>> request() {
        std::size_t end = read_.find("\r\n\r\n");
        while (end == std::string::npos) {
            const bool more = co_await read_on();
            if (!more) co_return std::nullopt;
            end = read_.find("\r\n\r\n");
        }
        seen_request seen = parsed(std::string_view(read_).substr(0, end));
        read_.erase(0, end + 4);
        const std::size_t wanted = length_of(seen);
        while (read_.size() < wanted) {
            const bool more = co_await read_on();
            if (!more) co_return std::nullopt;
        }
        seen.body = read_.substr(0, wanted);
        read_.erase(0, wanted);
        co_return seen;
    }

    task<> send(std::string text) { co_await stream_.write_all(text); }
    /// So that no two bytes arrive in one piece, as far as the client has time to take them.
    task<> send_bytewise(std::string text) {
        for (const char& byte : text) {
            co_await stream_.write_all(bytes(&byte, 1));
            co_await yield_now();
            co_await yield_now();
        }
    }
    /// Waits for the client to close.
    task<> wait_for_end() {
        bool more = true;
        while (more) more = co_await read_on();
    }
    /// Ends when the descriptor is gone, and the client's end of the stream with it.
    task<> close() { co_await stream_.close(); }
    [[nodiscard]] std::size_t number() const noexcept { return number_; }

 private:
    task<bool> read_on() {
        std::array<char, 4096> room;
        const std::size_t count = co_await stream_.read_some(room);
        read_.append(room.data(), count);
        co_return count != 0;
    }

    seen_request parsed(std::string_view head) const {
        seen_request seen;
        seen.connection = number_;
        std::size_t at = head.find("\r\n");
        const std::string_view first = head.substr(0, at);
        const std::size_t space = first.find(' ');
        seen.method = first.substr(0, space);
        seen.target = first.substr(space + 1, first.rfind(' ') - space - 1);
        while (at < head.size()) {
            const std::size_t next = std::min(head.find("\r\n", at + 2), head.size());
            const std::string_view line = head.substr(at + 2, next - at - 2);
            const std::size_t colon = line.find(": ");
            seen.lines.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 2)));
            at = next;
        }
        return seen;
    }

    static std::size_t length_of(const seen_request& seen) {
        const std::string_view text = seen.lines.find("Content-Length").value_or("0");
        std::size_t length = 0;
        std::from_chars(text.data(), text.data() + text.size(), length);
        return length;
    }

    tcp_stream stream_;
    std::size_t number_;
    std::string read_;
};

/// A server that does with each connection what its script says, on the loop of the test, and
/// counts.
///
/// Lifetime     outlives the run it serves in
class http_server {
 public:
    using script = std::function<task<>(http_peer&)>;

    explicit http_server(script plot)
        : plot_(std::move(plot)), listener_(tcp_listener::bind(endpoint("127.0.0.1", 0))) {}
    http_server(const http_server&) = delete;
    http_server& operator=(const http_server&) = delete;

    /// Begins to serve; the end of the run ends it.
    void start() { spawn(serve_all()); }
    void stop() { listener_.close(); }

    [[nodiscard]] std::string url(std::string_view target = "/") const {
        return "http://" + listener_.local_endpoint().to_string() + std::string(target);
    }

    std::size_t accepted = 0;
    std::size_t open = 0;
    std::size_t most_open = 0;

 private:
    task<> serve_all() {
        auto handler = [this](tcp_stream stream) { return talk(std::move(stream)); };
        co_await serve(listener_, handler);
    }

    task<> talk(tcp_stream stream) {
        http_peer peer(std::move(stream), accepted++);
        most_open = std::max(most_open, ++open);
        struct leaver {
            explicit leaver(std::size_t& count) noexcept : open(count) {}
            ~leaver() { --open; }
            std::size_t& open;
        };
        const leaver leave(open);
        try {
            co_await plot_(peer);
        } catch (const std::system_error&) {
            // A client that went away in the middle is what many tests are about.
        }
    }

    script plot_;
    tcp_listener listener_;
};

/// Answers every request by a function of it, and keeps connections open.
[[nodiscard]] inline http_server::script replying(
    std::function<std::string(const seen_request&)> answer) {
    return [answer = std::move(answer)](http_peer& peer) -> task<> {
        for (;;) {
            const std::optional<seen_request> asked = co_await peer.request();
            if (!asked) co_return;
            co_await peer.send(answer(*asked));
        }
    };
}

/// Answers the first request of each connection with these bytes, and closes.
[[nodiscard]] inline http_server::script saying(std::string text) {
    return [text = std::move(text)](http_peer& peer) -> task<> {
        const std::optional<seen_request> asked = co_await peer.request();
        if (asked) co_await peer.send(text);
    };
}

/// Runs body(server) beside a server, and counts frames and descriptors back.
inline void with_server(const http_server::script& plot,
                        const std::function<task<>(http_server&)>& body) {
    const leak_check leaks;
    http_server server(plot);
    auto main = [&]() -> task<> {
        server.start();
        co_await body(server);
    };
    lariat::run(main());
}

}  // namespace lariat::test

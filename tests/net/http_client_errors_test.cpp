#include <lariat/net/http/client.hpp>

#include "http_server.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/net/resolve.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

namespace {

using namespace lariat;
using namespace lariat::test;
using namespace std::chrono_literals;

bool has(std::string_view text, std::string_view part) {
    const bool found = text.find(part) != std::string_view::npos;
    if (!found) MESSAGE("\"", text, "\" lacks \"", part, "\"");
    return found;
}

/// What the error of this type says with which the work ends; "" if it ends well.
template <class Error, class T>
task<std::string> complaint_of(task<T> work) {
    std::string said;
    try {
        (void)co_await std::move(work);
    } catch (const Error& error) {
        said = error.what();
    }
    co_return said;
}

task<std::string> text_of(http::client& session, std::string url) {
    http::response answer = co_await session.get(std::move(url));
    co_return co_await answer.text();
}

/// The complaint when the whole body of "/some/where" is asked for; it names the request.
template <class Error>
std::string complaint_about(const http_server::script& plot,
                            const http::client_options& options = http::client_options()) {
    std::string said;
    with_server(plot, [&](http_server& server) -> task<> {
        http::client session(options);
        const std::string url = server.url("/some/where");
        said = co_await complaint_of<Error>(text_of(session, url));
        CHECK(has(said, "GET " + url + ": "));
        CHECK(session.stats().in_use == 0);
        CHECK(session.stats().idle == 0);
    });
    return said;
}

TEST_CASE("http errors: a URL that is none") {
    const leak_check leaks;
    auto main = []() -> task<> {
        http::client session;
        CHECK(
            has(co_await complaint_of<std::invalid_argument>(session.get("nonsense")), "nonsense"));
        CHECK(has(co_await complaint_of<std::invalid_argument>(session.get("ftp://a/")), "ftp"));
        CHECK(has(co_await complaint_of<std::invalid_argument>(session.get("http://a/\r\nX: y")),
                  "http://a/"));
        CHECK(session.stats().opened == 0);
    };
    lariat::run(main());
}

TEST_CASE("http errors: https says what is missing") {
    const leak_check leaks;
    auto main = []() -> task<> {
        http::client session;
        const std::string url = "https://127.0.0.1:1/x";
        const std::string said = co_await complaint_of<std::system_error>(session.get(url));
        CHECK(has(said, url));
        CHECK(has(said, "TLS"));
    };
    lariat::run(main());
    with_server(saying(redirect(302, "https://127.0.0.1:1/x")), [](http_server& server) -> task<> {
        http::client session;
        const std::string url = server.url();
        const std::string said = co_await complaint_of<std::system_error>(session.get(url));
        CHECK(has(said, "https://127.0.0.1:1/x"));
    });
}

TEST_CASE("http errors: what would forge a request is refused before anything is sent") {
    with_server(saying(ok("")), [](http_server& server) -> task<> {
        http::client session;
        const std::string url = server.url();
        http::headers forged;
        forged.add("X-A", "b\r\nX-Forged: c");
        const std::string said =
            co_await complaint_of<std::invalid_argument>(session.get(url, forged));
        CHECK(has(said, url));
        CHECK(has(said, "X-A"));
        for (const std::string method : {"GET / HTTP/1.1\r\nX: y", "", "A B", "CONNECT"}) {
            const std::string refused =
                co_await complaint_of<std::invalid_argument>(session.request(method, url));
            CHECK(has(refused, url));
        }
        http::headers own;
        own.add("Content-Length", "5");
        CHECK(has(co_await complaint_of<std::invalid_argument>(session.get(url, own)),
                  "Content-Length"));
        CHECK(server.accepted == 0);
        CHECK(session.stats().opened == 0);
    });
}

TEST_CASE("http errors: a server that refuses") {
    const leak_check leaks;
    auto main = []() -> task<> {
        tcp_listener gone = tcp_listener::bind(endpoint("127.0.0.1", 0));
        const std::string where = gone.local_endpoint().to_string();
        gone.close();
        http::client session;
        const std::string url = "http://" + where + "/x";
        std::error_code code;
        try {
            (void)co_await session.get(url);
        } catch (const std::system_error& error) {
            code = error.code();
            CHECK(has(error.what(), "GET " + url + ": connecting to " + where));
        }
        CHECK(code == std::errc::connection_refused);
        CHECK(session.stats().in_use == 0);
    };
    lariat::run(main());
}

TEST_CASE("http errors: a name that has no address") {
    const leak_check leaks;
    auto main = []() -> task<> {
        http::client session;
        const std::string url = "http://no-such-host.invalid/x";  // RFC 6761: it never has one
        const std::string said = co_await complaint_of<resolve_error>(session.get(url));
        CHECK(has(said, "GET " + url + ": connecting to no-such-host.invalid:80: "));
        CHECK(session.stats().in_use == 0);
    };
    lariat::run(main());
}

TEST_CASE("http errors: an answer that breaks off, at every point") {
    const std::string chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (const std::string& text : {ok("body"), chunked}) {
        std::size_t cut_at = 0;
        auto plot = [&](http_peer& peer) -> task<> {
            const auto asked = co_await peer.request();
            if (asked) co_await peer.send(text.substr(0, cut_at));
        };
        for (; cut_at < text.size(); ++cut_at) CHECK(complaint_about<incomplete_read>(plot) != "");
    }
    CHECK(has(complaint_about<incomplete_read>(saying("")), "closed before an HTTP answer"));
    CHECK(has(complaint_about<incomplete_read>(saying("HTTP/1.1 200 OK\r\nA")), "head"));
    const std::string half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    CHECK(
        has(complaint_about<incomplete_read>(saying(half)), "body of 10 bytes (3 bytes had come)"));
}

TEST_CASE("http errors: what came of a broken body is given first") {
    with_server(saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense"),
                [](http_server& server) -> task<> {
                    http::client session;
                    http::response answer = co_await session.get(server.url());
                    const std::string first(co_await answer.read_chunk());
                    CHECK(first == "abc");
                    CHECK_THROWS_AS((void)co_await answer.read_chunk(), http::malformed_response);
                    CHECK_THROWS_AS((void)co_await answer.text(), http::malformed_response);
                    CHECK(session.stats().in_use == 0);
                });
}

TEST_CASE("http errors: an answer that is none") {
    CHECK(has(complaint_about<http::malformed_response>(saying("garbage\r\n\r\n")), "malformed"));
    CHECK(has(complaint_about<http::malformed_response>(saying("HTTP/2.0 200 OK\r\n\r\n")),
              "HTTP/2"));
    for (const char* lines : {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                              "Content-Length: 1\r\nContent-Length: 2\r\n", "Bad Name: x\r\n",
                              "Transfer-Encoding: gzip\r\n"}) {
        const std::string text = std::string("HTTP/1.1 200 OK\r\n") + lines + "\r\nab";
        CHECK(complaint_about<http::malformed_response>(saying(text)) != "");
    }
    with_server(saying(redirect(302, "ftp://x/")), [](http_server& server) -> task<> {
        http::client session;
        const std::string url = server.url();
        const std::string said = co_await complaint_of<http::malformed_response>(session.get(url));
        CHECK(has(said, "GET " + url + ": malformed answer: its Location: "));
    });
}

TEST_CASE("http errors: an answer that is too large") {
    http::client_options options;
    options.max_head_bytes = 1000;
    options.max_body_bytes = 10;
    const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'x') + "\r\n\r\n";
    CHECK(has(complaint_about<limit_error>(saying(head), options), "head_bytes (1000)"));
    CHECK(has(complaint_about<limit_error>(saying(ok("12345678901")), options),
              "max_body_bytes (10)"));
    const std::string chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n6\r\nabcdef\r\n6\r\nghijkl\r\n0\r\n\r\n";
    CHECK(has(complaint_about<limit_error>(saying(chunked), options), "max_body_bytes (10)"));
    CHECK(has(complaint_about<limit_error>(saying("HTTP/1.1 200 OK\r\n\r\n" + std::string(11, 'x')),
                                           options),
              "max_body_bytes (10)"));
    with_server(saying(ok("1234567890")), [&](http_server& server) -> task<> {
        http::client session(options);
        CHECK(co_await text_of(session, server.url()) == "1234567890");
    });
}

TEST_CASE("http errors: a body announced as huge costs no memory before it comes") {
    http::client_options options;
    options.max_body_bytes = std::size_t{1} << 60;
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\nabc";
    CHECK(complaint_about<incomplete_read>(saying(text), options) != "");
}

TEST_CASE("http errors: too many redirects are named") {
    auto circle = [](const seen_request& asked) {
        return redirect(302, asked.target == "/one" ? "/two" : "/one");
    };
    with_server(replying(circle), [](http_server& server) -> task<> {
        http::client_options options;
        options.max_redirects = 2;
        http::client session(options);
        std::vector<std::string> urls;
        try {
            (void)co_await session.get(server.url("/one"));
        } catch (const http::too_many_redirects& error) {
            urls = error.urls();
            CHECK(has(error.what(), "more than 2 redirects: " + server.url("/one") + " -> " +
                                        server.url("/two") + " -> " + server.url("/one")));
        }
        CHECK(urls.size() == 4);
        options.max_redirects = 50;
        http::client patient(options);
        CHECK(has(co_await complaint_of<http::too_many_redirects>(patient.get(server.url("/one"))),
                  "-> ... -> " + server.url("/two")));
        CHECK(session.stats().in_use == 0);
    });
}

http::client_options impatient() {
    http::client_options options;
    options.read_timeout = 3ms;
    return options;
}

http_server::script falling_silent_after(std::string text) {
    return [text = std::move(text)](http_peer& peer) -> task<> {
        (void)co_await peer.request();
        co_await peer.send(text);
        co_await peer.wait_for_end();
    };
}

TEST_CASE("http errors: a server that falls silent") {
    for (const char* text : {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"})
        CHECK(has(complaint_about<timeout_error>(falling_silent_after(text), impatient()),
                  "nothing came for 0.003 s"));
}

TEST_CASE("http errors: a server that takes nothing of the request") {
    auto deaf = [](http_peer& peer) -> task<> {
        (void)peer;
        co_await sleep(1h);
    };
    with_server(deaf, [](http_server& server) -> task<> {
        http::client session(impatient());
        const std::string url = server.url();
        const std::string large(30'000'000, 'x');
        CHECK(has(co_await complaint_of<timeout_error>(session.post(url, large)),
                  "took nothing of the request"));
    });
}

TEST_CASE("http errors: the whole request has a time, for redirects, the line, and the body") {
    http::client_options options;
    options.request_timeout = 10ms;
    auto round = replying([](const seen_request&) { return redirect(302, "/again"); });
    options.max_redirects = 1'000'000;
    CHECK(has(complaint_about<timeout_error>(falling_silent_after(""), options), "0.01 s"));
    with_server(round, [&](http_server& server) -> task<> {
        http::client session(options);
        const std::string said =
            co_await complaint_of<timeout_error>(text_of(session, server.url()));
        CHECK(said != "");
    });
    with_server(
        falling_silent_after("HTTP/1.1 200 OK\r\n\r\nabc"), [&](http_server& server) -> task<> {
            options.max_connections_per_host = 1;
            http::client session(options);
            // It has those 10 ms too: a machine that stands still for so long is no fault.
            std::optional<http::response> first;
            for (int tries = 0; !first && tries < 50; ++tries) {
                try {
                    auto asking = session.get(server.url());
                    first.emplace(co_await std::move(asking));
                } catch (const timeout_error&) {
                    MESSAGE("no answer within 10 ms: once more");
                }
            }
            REQUIRE(first);
            const std::string url = server.url("/waits");
            const std::string said = co_await complaint_of<timeout_error>(session.get(url));
            CHECK(has(said, "GET " + url + ": waiting for one of the host's 1 connections"));
            CHECK_THROWS_AS((void)co_await first->text(), timeout_error);
            CHECK(session.stats().in_use == 0);
        });
}

/// A listening socket of the kernel's, without a loop; the backlog is as given.
unique_fd plain_listener(int backlog, std::string& url) {
    unique_fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listening.get(), backlog) == 0);
    REQUIRE(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    return listening;
}

TEST_CASE("http errors: a server that never takes the connection") {
    const leak_check leaks;
    std::string url;
    // A full backlog: the kernel drops what asks further (listen(2), tcp(7)).
    const unique_fd listening = plain_listener(0, url);
    auto main = [&]() -> task<> {
        tcp_stream filler =
            co_await tcp_stream::connect(endpoint::parse(url.substr(7, url.size() - 8)));
        http::client_options options;
        options.connect_timeout = 5ms;
        http::client session(options);
        const std::string said = co_await complaint_of<timeout_error>(session.get(url));
        CHECK(has(said, "GET " + url + ": connecting to "));
        CHECK(has(said, "took longer than 0.005 s"));
        CHECK(session.stats().in_use == 0);
    };
    lariat::run(main());
}

/// Takes one connection, reads what is asked, says `text`, and resets.
task<> reset_after(const unique_fd& listening, std::string text) {
    co_await wait_readable(listening.get());
    const unique_fd taken(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    co_await wait_readable(taken.get());
    std::array<char, 4096> room;
    (void)::recv(taken.get(), room.data(), room.size(), 0);
    (void)::send(taken.get(), text.data(), text.size(), MSG_NOSIGNAL);
    const linger at_once{1, 0};
    (void)::setsockopt(taken.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

TEST_CASE("http errors: a connection that is reset") {
    const leak_check leaks;
    std::string url;
    const unique_fd listening = plain_listener(8, url);
    auto main = [&]() -> task<> {
        http::client session;
        for (const std::string text :
             {"", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
              "HTTP/1.1 200 OK\r\n\r\nabc"}) {
            auto server = spawn(reset_after(listening, text));
            std::error_code code;
            try {
                (void)co_await text_of(session, url);
            } catch (const std::system_error& error) {
                code = error.code();
                CHECK(has(error.what(), "GET " + url + ": "));
            }
            CHECK(code == std::errc::connection_reset);
            co_await server;
            CHECK(session.stats().in_use == 0);
        }
    };
    lariat::run(main());
}

TEST_CASE("http errors: an answer given before the whole request was taken is an answer") {
    auto hasty = [](http_peer& peer) -> task<> {
        co_await peer.send(
            "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        co_await peer.wait_for_end();
    };
    with_server(hasty, [](http_server& server) -> task<> {
        http::client session;
        http::response answer = co_await session.post(server.url(), std::string(20'000'000, 'x'));
        CHECK(answer.status() == 413);
        CHECK(co_await answer.text() == "no");
        CHECK(session.stats().idle == 0);
    });
}

}  // namespace

#include <lariat/net/http/client.hpp>

#include "death.hpp"
#include "http_server.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;

static_assert(!std::is_copy_constructible_v<http::client>);
static_assert(std::is_nothrow_move_constructible_v<http::response>);

/// What one GET of "/" gives.
struct fetched {
    fetched() {}

    int status = 0;
    std::string reason;
    std::string body;
    http::client_stats after;
};

task<fetched> fetch(std::string url) {
    http::client session;
    fetched got;
    http::response answer = co_await session.get(std::move(url));
    got.status = answer.status();
    got.reason = answer.reason();
    got.body = co_await answer.text();
    got.after = session.stats();
    co_return got;
}

fetched fetch_from(const http_server::script& plot) {
    fetched got;
    with_server(plot, [&](http_server& server) -> task<> {
        const std::string url = server.url();
        got = co_await fetch(url);
    });
    return got;
}

TEST_CASE("http client: a GET gives status, reason, headers and body") {
    with_server(saying("HTTP/1.1 404 Not Found\r\nX-One: a\r\nContent-Length: 5\r\n\r\nhello"),
                [](http_server& server) -> task<> {
                    http::client session;
                    const std::string url = server.url("/a?b=c");
                    http::response answer = co_await session.get(url);
                    CHECK(answer.status() == 404);
                    CHECK(answer.reason() == "Not Found");
                    CHECK(answer.headers().find("x-one") == "a");
                    CHECK(answer.content_length() == 5);
                    CHECK(answer.url().to_string() == url);
                    CHECK(co_await answer.text() == "hello");
                    CHECK(co_await answer.text() == "");
                });
}

TEST_CASE("http client: a request has Host, User-Agent, Accept, and what was given") {
    std::vector<seen_request> seen;
    auto answer = [&](const seen_request& asked) {
        seen.push_back(asked);
        return ok("");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client_options options;
        options.default_headers.add("X-Kind", "default");
        options.default_headers.add("X-Other", "other");
        http::client session(options);
        http::headers lines;
        lines.add("x-kind", "own");
        (void)co_await session.get(server.url("/one"), lines);
        lines.set("Accept", "text/html");
        lines.set("User-Agent", "me");
        (void)co_await session.post(server.url("/two"), "some text", lines);
    });
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].method == "GET");
    CHECK(seen[0].target == "/one");
    CHECK(seen[0].lines.find("Host")->starts_with("127.0.0.1:"));
    CHECK(seen[0].lines.find("User-Agent") == "lariat");
    CHECK(seen[0].lines.find("Accept") == "*/*");
    CHECK(seen[0].lines.all("X-Kind") == std::vector<std::string_view>{"own"});
    CHECK(seen[0].lines.find("X-Other") == "other");
    CHECK_FALSE(seen[0].lines.find("Content-Length"));
    CHECK(seen[1].method == "POST");
    CHECK(seen[1].body == "some text");
    CHECK(seen[1].lines.all("Accept") == std::vector<std::string_view>{"text/html"});
    CHECK(seen[1].lines.all("User-Agent") == std::vector<std::string_view>{"me"});
}

TEST_CASE(
    "http client: any method goes, a body of megabytes too, and an empty one has its length") {
    std::vector<seen_request> seen;
    auto answer = [&](const seen_request& asked) {
        seen.push_back(asked);
        return ok(asked.method);
    };
    const std::string large(3'000'000, 'x');
    with_server(replying(answer), [&](http_server& server) -> task<> {
        http::client session;
        http::response put = co_await session.request("PUT", server.url(), large);
        CHECK(co_await put.text() == "PUT");
        http::response erased = co_await session.request("DELETE", server.url());
        CHECK(co_await erased.text() == "DELETE");
        http::response posted = co_await session.request("POST", server.url());
        CHECK(co_await posted.text() == "POST");
    });
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].body == large);
    CHECK_FALSE(seen[1].lines.find("Content-Length"));
    CHECK(seen[2].lines.find("Content-Length") == "0");
}

TEST_CASE("http client: bodies by length, in chunks, or up to the end of the connection") {
    const fetched sized = fetch_from(replying([](const seen_request&) { return ok("sized"); }));
    CHECK(sized.body == "sized");
    CHECK(sized.after.idle == 1);
    const fetched chunked =
        fetch_from(saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"));
    CHECK(chunked.body == "abcdefg");
    CHECK(chunked.after.idle == 1);
    const fetched open_ended = fetch_from(saying("HTTP/1.1 200 OK\r\n\r\nup to the end"));
    CHECK(open_ended.body == "up to the end");
    CHECK(open_ended.after.idle == 0);
    const fetched old = fetch_from(saying("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"));
    CHECK(old.body == "old");
    CHECK(old.after.idle == 0);
}

TEST_CASE("http client: answers that have no body, whatever they announce") {
    auto answer = [](const seen_request& asked) -> std::string {
        if (asked.target == "/none") return "HTTP/1.1 204 No Content\r\n\r\n";
        if (asked.target == "/same") return "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n";
        if (asked.method == "HEAD") return "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        return ok("");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        for (const std::string target : {"/none", "/same", "/empty"}) {
            http::response got = co_await session.get(server.url(target));
            CHECK(session.stats().idle == 1);
            CHECK(co_await got.text() == "");
        }
        http::response got = co_await session.head(server.url());
        CHECK(got.content_length() == 1000);
        CHECK(co_await got.text() == "");
        CHECK(server.accepted == 1);
        CHECK(session.stats().reused == 3);
    });
}

TEST_CASE("http client: interim answers are passed over") {
    const fetched got = fetch_from(saying(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok("after")));
    CHECK(got.status == 200);
    CHECK(got.body == "after");
}

TEST_CASE("http client: an answer may come byte by byte") {
    const std::string sized = "HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 10\r\n\r\n0123456789";
    const std::string chunked =
        "HTTP/1.1 200 Fine\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n";
    for (const std::string& text : {sized, chunked}) {
        const fetched got = fetch_from([&](http_peer& peer) -> task<> {
            (void)co_await peer.request();
            co_await peer.send_bytewise(text);
            co_await peer.wait_for_end();
        });
        CHECK(got.reason == "Fine");
        CHECK(got.body == "0123456789");
        CHECK(got.after.idle == 1);
    }
}

TEST_CASE("http client: a body read in pieces, of any size, and in chunks as they come") {
    std::string large;
    for (int i = 0; i < 300'000; ++i) large += static_cast<char>('a' + i % 23);
    with_server(replying([&](const seen_request&) { return ok(large); }),
                [&](http_server& server) -> task<> {
                    http::client session;
                    for (const std::size_t size : {std::size_t{7}, std::size_t{100'000}}) {
                        http::response answer = co_await session.get(server.url());
                        std::vector<char> room(size);
                        std::string text;
                        for (;;) {
                            const std::size_t count = co_await answer.read_some(room);
                            if (count == 0) break;
                            text.append(room.data(), count);
                        }
                        CHECK(text == large);
                        CHECK(co_await answer.read_some(room) == 0);
                    }
                    http::response answer = co_await session.get(server.url());
                    std::string text;
                    for (;;) {
                        const std::string_view chunk = co_await answer.read_chunk();
                        if (chunk.empty()) break;
                        text += chunk;
                    }
                    CHECK(text == large);
                    CHECK(server.accepted == 1);
                });
}

TEST_CASE("http client: text() after a piece gives the rest") {
    with_server(replying([](const seen_request&) { return ok("0123456789"); }),
                [](http_server& server) -> task<> {
                    http::client session;
                    http::response answer = co_await session.get(server.url());
                    std::array<char, 4> room{};
                    CHECK(co_await answer.read_some(room) == 4);
                    CHECK(co_await answer.text() == "456789");
                });
}

TEST_CASE("http client: the connection is free as soon as the body's last byte was taken") {
    with_server(replying([](const seen_request&) { return ok("0123456789"); }),
                [](http_server& server) -> task<> {
                    http::client session;
                    http::response answer = co_await session.get(server.url());
                    CHECK(session.stats().in_use == 1);
                    std::array<char, 10> room{};
                    CHECK(co_await answer.read_some(room) == 10);
                    CHECK(session.stats().in_use == 0);
                    CHECK(session.stats().idle == 1);
                });
}

TEST_CASE("http client: a response that was moved from stops the program with the rule") {
    using rule = void (*)(http::response&);
    for (const rule breaks : {
             rule([](http::response& empty) { (void)empty.status(); }),
             rule([](http::response& empty) { (void)empty.reason(); }),
             rule([](http::response& empty) { (void)empty.headers(); }),
             rule([](http::response& empty) { (void)empty.url(); }),
             rule([](http::response& empty) { (void)empty.content_length(); }),
             rule([](http::response& empty) { (void)empty.text(); }),
             rule([](http::response& empty) { (void)empty.read_chunk(); }),
             rule([](http::response& empty) {
                 char room = 0;
                 (void)empty.read_some(mutable_bytes(&room, 1));
             }),
         })
        CHECK(stops_with("this http::response was moved from", [breaks] {
            with_server(saying(ok("")), [breaks](http_server& server) -> task<> {
                http::client session;
                http::response answer = co_await session.get(server.url());
                const http::response taken(std::move(answer));
                breaks(answer);
            });
        }));
}

TEST_CASE("http client: redirects are followed, relative ones too") {
    auto answer = [](const seen_request& asked) -> std::string {
        if (asked.target == "/a/start") return redirect(301, "../b");
        if (asked.target == "/b") return redirect(302, "c?d=e");
        if (asked.target == "/c?d=e")
            return redirect(307, "//" + std::string(*asked.lines.find("Host")));
        return ok(asked.method + " " + asked.target);
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        http::response got = co_await session.get(server.url("/a/start"));
        CHECK(got.status() == 200);
        CHECK(got.url().to_string() == server.url("/"));
        CHECK(co_await got.text() == "GET /");
        CHECK(server.accepted == 1);
    });
}

TEST_CASE("http client: what a redirect makes of the method and the body") {
    auto answer = [](const seen_request& asked) -> std::string {
        if (asked.target != "/end") return redirect(std::stoi(asked.target.substr(1)), "/end");
        const std::string type(asked.lines.find("Content-Type").value_or("none"));
        return "HTTP/1.1 200 OK\r\nX-Saw: " + asked.method + " " + asked.body + " " + type +
               "\r\nContent-Length: 0\r\n\r\n";
    };
    struct expected {
        const char* status;
        const char* method;
        const char* saw;
    };
    static constexpr expected table[] = {
        {"/301", "POST", "GET  none"},      {"/302", "POST", "GET  none"},
        {"/303", "POST", "GET  none"},      {"/303", "PUT", "GET  none"},
        {"/301", "PUT", "PUT body text"},   {"/307", "POST", "POST body text"},
        {"/308", "POST", "POST body text"}, {"/303", "HEAD", "HEAD body text"},
        {"/302", "GET", "GET body text"},
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        http::headers lines;
        lines.add("Content-Type", "text");
        for (const expected& row : table) {
            http::response got =
                co_await session.request(row.method, server.url(row.status), "body", lines);
            CHECK_MESSAGE(got.headers().find("X-Saw") == row.saw, row.status, " ", row.method);
        }
    });
}

TEST_CASE("http client: a redirect that is not to be followed, or leads nowhere, is the answer") {
    auto answer = [](const seen_request& asked) -> std::string {
        if (asked.target == "/bare") return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n";
        if (asked.target == "/300")
            return "HTTP/1.1 300 Choose\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
        return redirect(302, "/elsewhere");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client follows;
        http::response bare = co_await follows.get(server.url("/bare"));
        CHECK(bare.status() == 302);
        http::response choice = co_await follows.get(server.url("/300"));
        CHECK(choice.status() == 300);
        http::client_options options;
        options.follow_redirects = false;
        http::client stays(options);
        http::response first = co_await stays.get(server.url("/x"));
        CHECK(first.status() == 302);
        CHECK(first.headers().find("Location") == "/elsewhere");
        CHECK(co_await first.text() == "gone");
    });
}

TEST_CASE("http client: credentials stay with the server they were meant for") {
    std::vector<seen_request> seen;
    auto note = [&](const seen_request& asked) {
        seen.push_back(asked);
        return ok("");
    };
    std::optional<http_server> other;  // made and closed in the run, where leaks are counted
    auto answer = [&](const seen_request& asked) {
        seen.push_back(asked);
        return asked.target == "/near" ? redirect(302, "/there")
                                       : redirect(302, other->url("/far"));
    };
    with_server(replying(answer), [&](http_server& server) -> task<> {
        other.emplace(replying(note));
        other->start();
        http::client_options options;
        options.default_headers.add("authorization", "secret");
        http::client session(options);
        http::headers lines;
        lines.add("Cookie", "a=b");
        lines.add("Host", "a.name");
        lines.add("X-Kept", "yes");
        (void)co_await session.get(server.url("/near"), lines);
    });
    REQUIRE(seen.size() == 3);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(seen[i].lines.find("Authorization") == "secret");
        CHECK(seen[i].lines.find("Cookie") == "a=b");
        CHECK(seen[i].lines.find("Host") == "a.name");
    }
    CHECK(seen[2].target == "/far");
    CHECK_FALSE(seen[2].lines.find("Authorization"));
    CHECK_FALSE(seen[2].lines.find("Cookie"));
    CHECK(seen[2].lines.find("Host")->starts_with("127.0.0.1:"));
    CHECK(seen[2].lines.find("X-Kept") == "yes");
}

}  // namespace

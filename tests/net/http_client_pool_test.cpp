#include <lariat/net/http/client.hpp>

#include "death.hpp"
#include "heap_fault.hpp"
#include "http_server.hpp"
#include "net_support.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include "driver/fault.hpp"
#include "http/connection_pool.hpp"
#include "loop/loop_state.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;
using namespace std::chrono_literals;

task<std::string> text_of(http::client& session, std::string url) {
    http::response answer = co_await session.get(std::move(url));
    co_return co_await answer.text();
}

task<> wait_until_idle(http::client& session, std::size_t count) {
    while (session.stats().idle != count) co_await yield_now();
}

http::client_options at_most(std::size_t connections) {
    http::client_options options;
    options.max_connections_per_host = connections;
    return options;
}

TEST_CASE("http pool: one connection serves request after request") {
    auto answer = [](const seen_request& asked) { return ok(std::to_string(asked.connection)); };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        for (int i = 0; i < 20; ++i) CHECK(co_await text_of(session, server.url()) == "0");
        CHECK(session.stats().opened == 1);
        CHECK(session.stats().reused == 19);
        CHECK(session.stats().idle == 1);
        CHECK(session.stats().in_use == 0);
        CHECK(server.accepted == 1);
    });
}

TEST_CASE("http pool: 200 requests at once never have more than 8 connections") {
    auto answer = [](const seen_request& asked) { return ok(asked.target); };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session(at_most(8));
        std::vector<task<std::string>> fetches;
        for (int i = 0; i < 200; ++i)
            fetches.push_back(text_of(session, server.url("/" + std::to_string(i))));
        const std::vector<std::string> bodies = co_await gather(std::move(fetches));
        for (std::size_t i = 0; i < bodies.size(); ++i) CHECK(bodies[i] == "/" + std::to_string(i));
        CHECK(server.most_open == 8);
        CHECK(server.accepted == 8);
        CHECK(session.stats().reused == 192);
        CHECK(session.stats().idle == 8);
        CHECK(session.stats().waiting == 0);
    });
}

TEST_CASE("http pool: requests that wait are served in their order, also past one that left") {
    std::vector<std::string> order;
    auto answer = [&](const seen_request& asked) {
        order.push_back(asked.target);
        return ok("");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session(at_most(1));
        std::vector<join_handle<std::string>> handles;
        for (int i = 0; i < 6; ++i)
            handles.push_back(spawn(text_of(session, server.url("/" + std::to_string(i)))));
        while (session.stats().waiting != 5) co_await yield_now();
        handles[1].cancel();
        handles[4].cancel();
        const std::vector<outcome<std::string>> ended = co_await settled(std::move(handles));
        for (std::size_t i = 0; i < ended.size(); ++i)
            CHECK(ended[i].is_cancelled() == (i == 1 || i == 4));
        CHECK(server.accepted == 1);
        CHECK(session.stats().waiting == 0);
    });
    CHECK(order == std::vector<std::string>{"/0", "/2", "/3", "/5"});
}

TEST_CASE("http pool: hosts do not wait for each other") {
    std::optional<http_server> other;
    const auto echo = replying([](const seen_request& asked) { return ok(asked.target); });
    with_server(echo, [&](http_server& server) -> task<> {
        other.emplace(echo);
        other->start();
        http::client session(at_most(1));
        const std::string first_url = server.url("/a");
        http::response first = co_await session.get(first_url);  // its body is not read
        const std::string second_url = other->url("/b");
        CHECK(co_await text_of(session, second_url) == "/b");
        CHECK(session.stats().opened == 2);
        CHECK(session.stats().in_use == 1);
        CHECK(session.stats().idle == 1);
    });
}

TEST_CASE("http pool: so many idle connections are kept, the ones used last") {
    auto answer = [](const seen_request& asked) { return ok(std::to_string(asked.connection)); };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client_options options;
        options.max_idle_connections = 2;
        http::client session(options);
        std::vector<task<std::string>> fetches;
        for (int i = 0; i < 5; ++i) fetches.push_back(text_of(session, server.url()));
        (void)co_await gather(std::move(fetches));
        CHECK(session.stats().idle == 2);
        CHECK(session.stats().opened == 5);
        while (server.open != 2) co_await yield_now();
        options.max_idle_connections = 0;
        http::client keeps_none(options);
        CHECK(co_await text_of(keeps_none, server.url()) == "5");
        CHECK(keeps_none.stats().idle == 0);
        CHECK(co_await text_of(keeps_none, server.url()) == "6");
    });
}

TEST_CASE("http pool: an idle connection is closed when its time is over") {
    with_server(replying([](const seen_request&) { return ok(""); }),
                [](http_server& server) -> task<> {
                    http::client_options options;
                    options.keep_alive = 2ms;
                    http::client session(options);
                    for (int i = 0; i < 3; ++i) (void)co_await text_of(session, server.url());
                    co_await wait_until_idle(session, 0);
                    while (server.open != 0) co_await yield_now();
                    (void)co_await text_of(session, server.url());
                    CHECK(session.stats().idle == 1);
                });
}

TEST_CASE("http pool: an answer or a request that says close ends the connection") {
    auto answer = [](const seen_request& asked) -> std::string {
        if (asked.target == "/close")
            return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nby";
        return ok("stay");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        CHECK(co_await text_of(session, server.url("/close")) == "by");
        CHECK(session.stats().idle == 0);
        http::headers lines;
        lines.add("Connection", "x, Close");
        http::response got = co_await session.get(server.url(), lines);
        CHECK(co_await got.text() == "stay");
        CHECK(session.stats().idle == 0);
        CHECK(co_await text_of(session, server.url()) == "stay");
        CHECK(session.stats().idle == 1);
    });
}

TEST_CASE("http pool: bytes after an answer make its connection unfit for another request") {
    const auto answer = [](const seen_request& asked) {
        return asked.target == "/more" ? ok("one") + ok("nobody asked") : ok("own");
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        CHECK(co_await text_of(session, server.url("/more")) == "one");
        CHECK(co_await text_of(session, server.url("/own")) == "own");
        CHECK(server.accepted == 2);
    });
}

/// The first connection answers "one", and once `go_on` is set does what nobody asked for: it goes
/// on talking, or closes. Others answer "own".
http_server::script talking_on(const bool& go_on, bool closes) {
    return [&go_on, closes](http_peer& peer) -> task<> {
        (void)co_await peer.request();
        if (peer.number() != 0) {
            co_await peer.send(ok("own"));
            co_return co_await peer.wait_for_end();
        }
        co_await peer.send(ok("one"));
        while (!go_on) co_await yield_now();
        if (closes)
            co_await peer.close();
        else
            co_await peer.send(ok("nobody asked"));
    };
}

TEST_CASE("http pool: who waits for a connection gets none that spoke or closed unasked") {
    for (const bool closes : {false, true}) {
        bool go_on = false;
        with_server(talking_on(go_on, closes), [&go_on](http_server& server) -> task<> {
            http::client session(at_most(1));
            http::response first = co_await session.get(server.url("/one"));
            auto second = spawn(
                [](http::client& with, std::string url) -> task<std::string> {
                    http::response answer = co_await with.post(std::move(url), "not repeated");
                    co_return co_await answer.text();
                },
                std::ref(session), server.url("/own"));
            while (session.stats().waiting != 1) co_await yield_now();
            go_on = true;
            co_await net_test::turns(5);
            CHECK(co_await first.text() == "one");
            CHECK(co_await second == "own");
            CHECK(session.stats().opened == 2);
            CHECK(session.stats().reused == 0);
            CHECK(session.stats().retried == 0);
        });
    }
}

TEST_CASE("http pool: no memory for a host's record fails that request, and no other" *
          doctest::skip(!lariat::test::heap_fault::strikes)) {
    const leak_check leaks;
    lariat::run([]() -> task<> {
        const std::string host(100, 'h');
        const auto pool = std::make_shared<http::detail::connection_pool>(http::client_options());
        for (std::size_t spared = 0, struck = 1; struck != 0; ++spared) {
            {
                auto asking = pool->acquire(host);
                const heap_fault no_room_for_names(host.size() + 1, spared);
                try {
                    const http::detail::lease got = co_await std::move(asking);
                } catch (const std::bad_alloc&) {
                    CHECK(pool->stats().open == 0);
                }
                struck = no_room_for_names.struck();
            }
            const http::detail::lease got = co_await pool->acquire(host);
            CHECK(pool->stats().open == 1);
        }
        CHECK(pool->stats().open == 0);
    }());
}

/// Answers `served` requests on each connection, then closes it when the next one comes.
http_server::script hanging_up_after(int served) {
    return [served](http_peer& peer) -> task<> {
        for (int i = 0; i < served; ++i) {
            const auto asked = co_await peer.request();
            if (!asked) co_return;
            co_await peer.send(ok(std::to_string(peer.number())));
        }
        (void)co_await peer.request();
    };
}

TEST_CASE("http pool: a kept connection that closes on the request is replaced once, unseen") {
    with_server(hanging_up_after(1), [](http_server& server) -> task<> {
        http::client session;
        CHECK(co_await text_of(session, server.url()) == "0");
        CHECK(co_await text_of(session, server.url()) == "1");
        CHECK(session.stats().retried == 1);
        CHECK(session.stats().opened == 2);
    });
}

TEST_CASE("http pool: the new connection of a request that was sent again is kept") {
    const http::client* asking = nullptr;
    auto closes_when_asked_again = [&asking](http_peer& peer) -> task<> {
        (void)co_await peer.request();
        co_await peer.send(ok(std::to_string(peer.number())));
        if (peer.number() != 0) co_return co_await peer.wait_for_end();
        while (asking == nullptr || asking->stats().in_use == 0) co_await yield_now();
    };
    lariat::detail::fault_plan plan;
    plan.at(op_code::send, 2, lariat::detail::fault::fail(EPIPE));  // the second request
    with_server(closes_when_asked_again, [&](http_server& server) -> task<> {
        lariat::detail::loop_state::current().driver_.set_faults(&plan);
        http::client session;
        CHECK(co_await text_of(session, server.url()) == "0");
        asking = &session;
        CHECK(co_await text_of(session, server.url()) == "1");
        CHECK(plan.struck() == 1);
        CHECK(session.stats().retried == 1);
        CHECK(session.stats().idle == 1);
    });
}

TEST_CASE("http pool: a POST is not sent twice") {
    with_server(hanging_up_after(1), [](http_server& server) -> task<> {
        http::client session;
        CHECK(co_await text_of(session, server.url()) == "0");
        CHECK_THROWS_AS((void)co_await session.post(server.url(), "x"), incomplete_read);
        CHECK(session.stats().retried == 0);
        CHECK(session.stats().in_use == 0);
        CHECK(server.accepted == 1);
    });
}

TEST_CASE("http pool: a new connection that closes is not tried again") {
    with_server(hanging_up_after(0), [](http_server& server) -> task<> {
        http::client session;
        CHECK_THROWS_AS((void)co_await session.get(server.url()), incomplete_read);
        CHECK(server.accepted == 1);
    });
}

TEST_CASE("http pool: a connection closed while it was idle is noticed before it is used") {
    auto once = [](http_peer& peer) -> task<> {
        (void)co_await peer.request();
        co_await peer.send(ok("once"));
        co_await peer.close();
    };
    with_server(once, [](http_server& server) -> task<> {
        http::client session;
        CHECK(co_await text_of(session, server.url()) == "once");
        while (server.open != 0) co_await yield_now();
        // The end of the first connection lies in the kernel before this answer does.
        http::client other;
        CHECK(co_await text_of(other, server.url()) == "once");
        http::response posted = co_await session.post(server.url(), "not repeated");
        CHECK(co_await posted.text() == "once");
        CHECK(session.stats().retried == 0);
        CHECK(session.stats().opened == 2);
        CHECK(session.stats().reused == 0);
    });
}

TEST_CASE("http pool: a response dropped unread gives its connection back only if that is clean") {
    const std::string large(4'000'000, 'x');
    auto answer = [&](const seen_request& asked) {
        return ok(asked.target == "/large" ? large : std::string("small"));
    };
    with_server(replying(answer), [](http_server& server) -> task<> {
        http::client session;
        (void)co_await session.get(server.url("/large"));
        CHECK(session.stats().idle == 0);
        CHECK(session.stats().in_use == 0);
        while (server.open != 0) co_await yield_now();
        (void)co_await session.get(server.url("/small"));
        CHECK(co_await text_of(session, server.url("/small")) == "small");
        CHECK(session.stats().idle == 1);
        CHECK(server.accepted <= 3);
    });
}

TEST_CASE("http pool: a client may serve several runs") {
    const leak_check leaks;
    http::client session;
    for (int i = 0; i < 2; ++i) {
        http_server server(replying([](const seen_request&) { return ok("run"); }));
        auto main = [&]() -> task<> {
            server.start();
            for (int n = 0; n < 2; ++n) CHECK(co_await text_of(session, server.url()) == "run");
        };
        lariat::run(main());
    }
    CHECK(session.stats().opened == 2);
}

TEST_CASE("http pool: a client that goes before its requests stops the program") {
    CHECK(stops_with("an http::client must outlive the requests made with it", [] {
        with_server(saying(""), [](http_server& server) -> task<> {
            std::optional<http::client> session(std::in_place);
            auto asked = spawn(session->get(server.url()));
            co_await yield_now();
            session.reset();
        });
    }));
}

/// Cuts a request after 0, 1, 2... turns, until it is over before it is cut.
task<int> cut_at_every_turn(http::client& session, std::string url) {
    int turns = 0;
    for (bool cut = true; cut; ++turns) {
        auto asked = spawn(text_of(session, url));
        for (int i = 0; i < turns; ++i) co_await yield_now();
        asked.cancel();
        const outcome<std::string> ended = co_await settled(std::move(asked));
        cut = ended.is_cancelled();
        CHECK(session.stats().in_use == 0);
    }
    co_return turns;
}

TEST_CASE("http pool: a request cancelled at any moment leaves the pool sound") {
    const std::string text(50'000, 'x');
    auto answer = [&](const seen_request& asked) {
        return asked.target == "/to" ? redirect(302, "/end") : ok(text);
    };
    with_server(replying(answer), [&](http_server& server) -> task<> {
        for (const std::string target : {"/", "/to"}) {
            http::client session(at_most(1));
            const int turns = co_await cut_at_every_turn(session, server.url(target));
            CHECK(turns > 3);
            CHECK(co_await text_of(session, server.url()) == text);
            CHECK(session.stats().in_use == 0);
            CHECK(session.stats().waiting == 0);
        }
    });
}

TEST_CASE("http pool: cancelled requests pass their place on to those that wait") {
    auto never = [](http_peer& peer) -> task<> {
        const auto asked = co_await peer.request();
        if (asked && asked->target == "/end") co_await peer.send(ok("done"));
        co_await peer.wait_for_end();
    };
    with_server(never, [](http_server& server) -> task<> {
        http::client session(at_most(2));
        std::vector<join_handle<std::string>> stuck;
        for (int i = 0; i < 10; ++i) stuck.push_back(spawn(text_of(session, server.url("/stuck"))));
        while (session.stats().waiting != 8) co_await yield_now();
        auto last = spawn(text_of(session, server.url("/end")));
        while (session.stats().waiting != 9) co_await yield_now();
        for (auto& handle : stuck) handle.cancel();
        CHECK(co_await last == "done");
        const auto ended = co_await settled(std::move(stuck));
        for (const auto& each : ended) CHECK(each.is_cancelled());
        CHECK(session.stats().in_use == 0);
    });
}

TEST_CASE("http pool: a body read that is cancelled has taken nothing") {
    bool go_on = false;
    auto halves = [&](http_peer& peer) -> task<> {
        (void)co_await peer.request();
        co_await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        while (!go_on) co_await yield_now();
        co_await peer.send("def");
    };
    with_server(halves, [&](http_server& server) -> task<> {
        http::client session;
        http::response answer = co_await session.get(server.url());
        const std::string first(co_await answer.read_chunk());
        CHECK(first == "abc");
        CHECK_THROWS_AS((void)co_await timeout(1ms, answer.read_chunk()), timeout_error);
        go_on = true;
        CHECK(co_await answer.text() == "def");
    });
}

}  // namespace

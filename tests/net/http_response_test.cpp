#include <lariat/net/http/client.hpp>

#include "heap_fault.hpp"
#include "http_server.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace {

using namespace lariat;
using namespace lariat::test;

TEST_CASE("http response: a response may outlive its client and its run") {
    const leak_check leaks;
    http_server server(replying([](const seen_request&) { return ok("late"); }));
    std::optional<http::response> kept;
    auto main = [&]() -> task<> {
        server.start();
        std::optional<http::client> session(std::in_place);
        http::response answer = co_await session->get(server.url());
        kept = co_await session->get(server.url());
        session.reset();
        CHECK(co_await answer.text() == "late");
    };
    lariat::run(main());
    CHECK(kept->status() == 200);
}

const std::string in_chunks =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n";

/// What a run leaves: an answer whose bytes have come and are not read, and its client.
struct left_behind {
    std::optional<http::client> session{std::in_place};
    std::optional<http::response> answer;
};

task<> fetch(http_server& server, left_behind& into) {
    server.start();
    into.answer = co_await into.session->get(server.url());
}

TEST_CASE("http response: what had come of an answer outlives its loop, read on or dropped") {
    for (const bool client_goes : {false, true}) {
        const leak_check leaks;
        for (const bool dropped : {false, true}) {
            http_server server(replying([](const seen_request&) { return in_chunks; }));
            left_behind left;
            lariat::run(fetch(server, left));
            if (client_goes) left.session.reset();
            if (dropped)
                left.answer.reset();
            else
                CHECK(lariat::run(left.answer->text()) == "onetwothree");
            if (!client_goes) CHECK(left.session->stats().in_use + left.session->stats().idle == 0);
        }
    }
}

TEST_CASE("http response: an answer whose loop closed without memory for its bytes has lost them" *
          doctest::skip(!lariat::test::heap_fault::strikes)) {
    const leak_check leaks;
    http_server server(replying([](const seen_request&) { return in_chunks; }));
    left_behind left;
    std::optional<lariat::loop> own(std::in_place);
    own->run(fetch(server, left));
    {
        const heap_fault no_room_for_the_rest(in_chunks.size());
        own.reset();
        CHECK(no_room_for_the_rest.struck() == 1);
    }
    CHECK(left.answer->status() == 200);
    CHECK_THROWS_AS((void)lariat::run(left.answer->text()), std::system_error);
}

}  // namespace

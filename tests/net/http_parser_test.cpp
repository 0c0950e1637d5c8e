#include <http/response_parser.hpp>

#include <lariat/base/error.hpp>
#include <lariat/net/http/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using lariat::http::detail::response_limits;
using lariat::http::detail::response_parser;
using event = response_parser::event;

/// How an answer was understood, or the error that ended it.
struct outcome {
    std::string head;  ///< "HTTP/1.1 200 OK|name: value|..."
    std::string body;
    std::string rest;  ///< what came after it
    std::string error;
    bool complete = false;
    bool keep_alive = false;
};

struct reading {
    bool to_head_request = false;
    bool ended = true;  ///< the stream ends after the text
    std::size_t step = std::string::npos;
    response_limits limits;
};

void note_head(response_parser& parser, outcome& out) {
    auto& head = parser.head();
    out.head = "HTTP/1." + std::to_string(head.minor_version) + " " + std::to_string(head.status) +
               " " + head.reason;
    for (const auto& line : head.fields) out.head += "|" + line.name + ": " + line.value;
}

/// Feeds one piece; returns what of it was not used.
std::string_view feed(response_parser& parser, std::string_view piece, outcome& out) {
    for (;;) {
        const auto got = parser.feed(piece);
        REQUIRE(got.used <= piece.size());
        piece.remove_prefix(got.used);
        if (got.what == event::body) out.body += got.body;
        if (got.what == event::complete) out.complete = true;
        if (got.what == event::head) note_head(parser, out);
        if (got.what == event::need_more || got.what == event::complete) return piece;
    }
}

outcome read(std::string_view text, const reading& how = {}) {
    response_parser parser(how.limits);
    parser.start(how.to_head_request);
    outcome out;
    try {
        while (!text.empty() && !out.complete) {
            const std::string piece(text.substr(0, how.step));  // its own: ASan sees an overrun
            text.remove_prefix(piece.size());
            out.rest = feed(parser, piece, out);
        }
        if (!out.complete && how.ended) {
            parser.finish();
            out.complete = true;
        }
        if (out.complete) note_head(parser, out);
        out.keep_alive = out.complete && parser.keep_alive();
    } catch (const std::exception& error) {
        out.error = error.what();
    }
    out.rest += text;
    return out;
}

std::string chunked(std::string_view chunks) {
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks);
}
std::string with(std::string_view lines) {
    return "HTTP/1.1 200 OK\r\n" + std::string(lines) + "\r\nabcde";
}

TEST_CASE("response_parser: a body of announced length, and what follows is not part of it") {
    const auto got =
        read("HTTP/1.1 200 All fine\r\nContent-Length: 5\r\nX-a:  b c \r\n\r\nhelloHTTP");
    CHECK(got.error == "");
    CHECK(got.head == "HTTP/1.1 200 All fine|Content-Length: 5|X-a: b c");
    CHECK(got.body == "hello");
    CHECK(got.rest == "HTTP");
    CHECK(got.complete);
    CHECK(got.keep_alive);
}

TEST_CASE("response_parser: a chunked body, with its trailers among the headers") {
    const auto got = read(chunked("3\r\nabc\r\nA;x=\"y\"\r\ndefghijklm\r\n0\r\nT: v\r\n\r\n"));
    CHECK(got.error == "");
    CHECK(got.body == "abcdefghijklm");
    CHECK(got.head == "HTTP/1.1 200 OK|Transfer-Encoding: chunked|T: v");
    CHECK(got.keep_alive);
}

TEST_CASE("response_parser: without a length the body lasts until the stream ends") {
    const auto got = read("HTTP/1.1 200 OK\r\n\r\nall there is");
    CHECK(got.body == "all there is");
    CHECK(got.complete);
    CHECK_FALSE(got.keep_alive);
    CHECK(read("HTTP/1.0 200 OK\r\n\r\n").complete);
}

TEST_CASE("response_parser: answers that have no body, whatever they announce") {
    for (const char* status : {"204 No Content", "304 Not Modified"}) {
        const std::string line = std::string("HTTP/1.1 ") + status;
        CHECK(read(line + "\r\n\r\n", {.ended = false}).complete);
        const auto got = read(line + "\r\nContent-Length: 5\r\n\r\n", {.ended = false});
        CHECK(got.complete);
        CHECK(got.body == "");
        CHECK(got.keep_alive);
    }
    const auto head = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                           {.to_head_request = true, .ended = false});
    CHECK(head.complete);
    CHECK(head.keep_alive);
    CHECK(read(chunked(""), {.to_head_request = true, .ended = false}).complete);
    CHECK(read("HTTP/1.1 200 OK\r\n\r\n", {.to_head_request = true, .ended = false}).complete);
    CHECK(read(with("Content-Length: 0\r\n"), {.ended = false}).rest == "abcde");
}

TEST_CASE("response_parser: interim answers are skipped, but not for ever") {
    const std::string interim =
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
    const auto got = read(interim + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz");
    CHECK(got.error == "");
    CHECK(got.head == "HTTP/1.1 200 OK|Content-Length: 1");
    CHECK(got.body == "z");
    CHECK(got.keep_alive);

    std::string endless;
    for (int i = 0; i < 20; ++i) endless += "HTTP/1.1 100 Continue\r\n\r\n";
    CHECK(read(endless).error.find("interim_answers (16)") != std::string::npos);
    CHECK(read("HTTP/1.1 101 Switching Protocols\r\n\r\n").error.find("101") != std::string::npos);
}

TEST_CASE("response_parser: whether the connection can be used again") {
    const std::map<std::string, bool> kept{
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (const auto& [text, again] : kept) {
        const auto got = read(text, {.ended = false});
        CHECK(got.complete);
        CHECK_MESSAGE(got.keep_alive == again, text);
    }
}

TEST_CASE("response_parser: one parser reads the answers of a connection one after the other") {
    response_parser parser;
    std::string_view input =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: 1\r\n\r\nxy"
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n";
    std::string seen;
    while (!input.empty()) {
        outcome got;
        parser.start();
        CHECK_FALSE(parser.begun());
        input = feed(parser, input, got);
        CHECK(parser.begun());
        seen += got.head + " -> " + got.body + "\n";
    }
    CHECK(seen ==
          "HTTP/1.1 200 OK|Content-Length: 2|A: 1 -> xy\n"
          "HTTP/1.1 404 Not Found|Transfer-Encoding: chunked -> z\n");
}

TEST_CASE("response_parser: what two readers could understand differently is refused") {
    const std::map<std::string, std::string> refused{
        {with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "Content-Length"},
        {with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "Transfer-Encoding"},
        {with("Content-Length: 5\r\nContent-Length: 4\r\n"), "Content-Length"},
        {with("Content-Length: 5, 4\r\n"), "Content-Length"},
        {with("Content-Length: +5\r\n"), "Invalid character in Content-Length"},
        {with("Content-Length: 0x5\r\n"), "Invalid character in Content-Length"},
        {with("Content-Length: -5\r\n"), "Invalid character in Content-Length"},
        {with("Content-Length: 5 5\r\n"), "Content-Length"},
        {with("Content-Length:\r\n"), "Content-Length"},
        {with("Content-Length: 18446744073709551616\r\n"), "Content-Length overflow"},
        {with("Transfer-Encoding: gzip, chunked\r\n"), "\"gzip, chunked\" was not asked for"},
        {with("Transfer-Encoding: gzip\r\n"), "\"gzip\" was not asked for"},
        {with("Transfer-Encoding: chunked, chunked\r\n"), "was not asked for"},
        {with("Transfer-Encoding: xchunked\r\n"), "was not asked for"},
        {with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), "stands twice"},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 knows no"},
        {with("Content-Length : 5\r\n"), "header"},
        {with("X y: 5\r\n"), "header"},
        {with(": 5\r\n"), "header"},
        {with("no colon\r\n"), "header"},
        {with("X: a\rY: b\r\n"), "LF"},
        {with("X: a\nY: b\r\n"), "header value"},
        {with(std::string("X: a\0b\r\n", 8)), "header value"},
        {with("X: \x01\r\n"), "header value"},
        {chunked("5\nabcde\n0\n\n"), "chunk size"},
        {chunked("5 \r\nabcde\r\n0\r\n\r\n"), "chunk size"},
        {chunked("g\r\nabcde\r\n0\r\n\r\n"), "chunk size"},
        {chunked("-1\r\nabcde\r\n0\r\n\r\n"), "chunk size"},
        {chunked("\r\nabcde\r\n0\r\n\r\n"), "chunk size"},
        {chunked("5;a\nb\r\nabcde\r\n0\r\n\r\n"), "chunk ext"},
        {chunked("5\r\nabcdeXY0\r\n\r\n"), "chunk"},
        {chunked("10000000000000000\r\nabcde"), "overflow"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "at \"SSH-2.0"},
        {"HTTP/2.0 200 OK\r\n\r\n", "HTTP/2"},
        {"HTTP/0.9 200 OK\r\n\r\n", "HTTP/0"},
        {"HTTP/1.1 99 OK\r\n\r\n", "status"},
        {"HTTP/1.1 2000 OK\r\n\r\n", ""},
        {"HTTP/1.1 abc OK\r\n\r\n", ""},
        {std::string("\x16\x03\x01\x02\x00\x01", 6), "at \"\\x16\\x03"},
    };
    for (const auto& [text, why] : refused) {
        const auto got = read(text);
        CHECK_MESSAGE(got.error.starts_with("malformed answer: "), text, " -> ", got.error);
        CHECK_MESSAGE(got.error.find(why) != std::string::npos, text, " -> ", got.error);
        CHECK_FALSE(got.complete);
        CHECK(read(text, {.step = 1}).error.starts_with("malformed answer: "));
    }
}

TEST_CASE("response_parser: an answer cut short is told from a malformed one") {
    const std::map<std::string, std::string> cut{
        {"", "the connection was closed before an HTTP answer"},
        {"H", "an HTTP answer ended inside its head"},
        {"HTTP/1.1 200 OK\r\nContent-Le", "an HTTP answer ended inside its head"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", "an HTTP answer ended inside its head"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "body of 9 bytes (0 bytes had come)"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell", "body of 9 bytes (4 bytes had come)"},
        {chunked(""), "its chunked body (0 bytes"},
        {chunked("5\r\nabc"), "its chunked body (3 bytes"},
        {chunked("3\r\nabc\r\n"), "its chunked body (3 bytes"},
        {chunked("3\r\nabc\r\n0\r\n"), "its chunked body (3 bytes"},
    };
    for (const auto& [text, where] : cut) {
        const auto got = read(text);
        CHECK_MESSAGE(got.error.find(where) != std::string::npos, got.error);
        CHECK(got.error.find("malformed") == std::string::npos);
    }
    response_parser parser;
    parser.start();
    CHECK_THROWS_AS(parser.finish(), lariat::incomplete_read);
}

TEST_CASE("response_parser: heads, trailers and chunk sizes have limits") {
    reading small;
    small.limits.head_bytes = 100;
    small.limits.header_count = 3;
    const std::string long_line = with("X: " + std::string(100, 'x') + "\r\n");
    const std::string long_trailer =
        chunked("1\r\na\r\n0\r\nX: " + std::string(100, 'x') + "\r\n\r\n");
    const std::string zeros = chunked(std::string(200, '0') + "1\r\na\r\n0\r\n\r\n");
    const std::string extension = chunked("1;" + std::string(200, 'e'));
    const std::string blank(200, '\n');
    for (const std::size_t step : {std::string::npos, std::size_t{1}, std::size_t{7}}) {
        small.step = step;
        for (const auto& text : {long_line, long_trailer, zeros, extension, blank})
            CHECK_MESSAGE(read(text, small).error.find("head_bytes (100)") != std::string::npos,
                          text);
        CHECK(read(with("A:1\r\nB:2\r\nC:3\r\nD:4\r\n"), small).error.find("header_count (3)") !=
              std::string::npos);
        CHECK(read(with("A:1\r\nB:2\r\nC:3\r\n"), small).complete);
    }
    std::string many;
    for (int i = 0; i < 500; ++i) many += "1\r\na\r\n";
    CHECK(read(chunked(many + "0\r\n\r\n"), small).body.size() == 500);
    response_parser parser(small.limits);
    parser.start();
    CHECK_THROWS_AS(parser.feed(long_line), lariat::limit_error);
}

const std::vector<std::string>& samples() {
    static const std::vector<std::string> all{
        with("Content-Length: 5\r\nServer: x\r\n"),
        chunked("3\r\nabc\r\nA;x=y\r\ndefghijklm\r\n0\r\nT: v\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz",
        "HTTP/1.0 404 Not Found\r\nX: a\r\n b\r\nConnection: keep-alive\r\n\r\nuntil the end",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "\r\nHTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    };
    return all;
}

TEST_CASE("response_parser: it makes no difference how the bytes are cut") {
    for (const auto& text : samples()) {
        const auto whole = read(text);
        CHECK_MESSAGE(whole.error == "", text, " -> ", whole.error);
        for (std::size_t step = 1; step < text.size(); ++step) {
            const auto cut = read(text, {.step = step});
            CHECK(cut.head == whole.head);
            CHECK(cut.body == whole.body);
            CHECK(cut.rest == whole.rest);
            CHECK(cut.complete == whole.complete);
            CHECK(cut.keep_alive == whole.keep_alive);
            CHECK(cut.error == "");
        }
    }
}

std::string mutated(std::string text, std::mt19937& random) {
    using namespace std::string_view_literals;
    constexpr auto spice = "\r\n\t :;,0123456789abcdefHTP/.\0\x7f\xff"sv;
    for (auto left = random() % 4 + 1; left > 0 && !text.empty(); --left) {
        const std::size_t from = random() % text.size();
        const std::size_t length = random() % 16;
        const std::size_t at = random() % text.size();
        const char letter = spice[random() % spice.size()];
        switch (random() % 4) {
            case 0: text[at] = letter; break;
            case 1: text.insert(at, 1, letter); break;
            case 2: text.erase(at, random() % 8 + 1); break;
            default: text.insert(at, text.substr(from, length)); break;
        }
    }
    return text;
}

TEST_CASE("response_parser: 6,000 damaged answers end alike whole and in pieces") {
    std::mt19937 random(20240229);
    std::size_t refused = 0;
    for (int round = 0; round < 1000; ++round) {
        for (const auto& sample : samples()) {
            const std::string text = mutated(sample, random);
            const auto whole = read(text);
            const auto cut = read(text, {.step = random() % 5 + 1});
            CHECK_MESSAGE(whole.error.empty() == cut.error.empty(), text);
            CHECK(whole.complete == whole.error.empty());
            if (whole.complete) CHECK(whole.body == cut.body);
            refused += whole.error.empty() ? 0 : 1;
        }
    }
    // Both outcomes are common, or the damage tests nothing.
    CHECK(refused > 1000);
    CHECK(refused < 5000);
}

}  // namespace

#include <http/request_writer.hpp>

#include <doctest/doctest.h>

#include <map>
#include <stdexcept>
#include <string>

namespace {

using lariat::http::headers;
using lariat::http::url;
using lariat::http::detail::write_request_head;

TEST_CASE("headers: names are found whatever their case, lines keep their order") {
    headers lines{{"Set-Cookie", "a=1"}, {"X", "y"}};
    lines.add("set-cookie", "b=2");
    CHECK(lines.find("SET-COOKIE") == "a=1");
    CHECK(lines.all("Set-Cookie").size() == 2);
    CHECK(lines.all("Set-Cookie")[1] == "b=2");
    CHECK_FALSE(lines.find("Cookie").has_value());
    CHECK(lines.remove("sEt-CoOkIe") == 2);
    CHECK(lines.remove("Set-Cookie") == 0);
    lines.set("x", "z");
    CHECK(lines.size() == 1);
    CHECK(lines.begin()->name == "x");
    CHECK(lines.find("X") == "z");
}

TEST_CASE("request_writer: a request as it goes out") {
    const headers lines{{"Accept", "*/*"}, {"X-Empty", ""}};
    CHECK(write_request_head("GET", url::parse("http://h:8080/a?b"), lines, {}) ==
          "GET /a?b HTTP/1.1\r\nHost: h:8080\r\nAccept: */*\r\nX-Empty: \r\n\r\n");
    CHECK(write_request_head("POST", url::parse("http://[::1]"), {}, 0) ==
          "POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 0\r\n\r\n");
    const headers own{{"host", "other"}};
    CHECK(write_request_head("GET", url::parse("http://h/"), own, {}) ==
          "GET / HTTP/1.1\r\nhost: other\r\n\r\n");
}

TEST_CASE("request_writer: a header that would forge another line is refused by name") {
    const auto to = url::parse("http://h/");
    const std::map<std::string, std::string> values{
        {"a\r\nEvil: b", "control character at byte 1"}, {"a\n", "control character at byte 1"},
        {"\r", "control character at byte 0"},           {std::string("a\0", 2), "at byte 1"},
        {"a\x7f", "control character at byte 1"},
    };
    for (const auto& [value, why] : values) {
        headers lines;
        lines.add("X-Mine", value);
        std::string said;
        try {
            said = write_request_head("GET", to, lines, {});
        } catch (const std::invalid_argument& refused) {
            said = refused.what();
        }
        CHECK_MESSAGE(said.starts_with("bad request header \"X-Mine\": its value"), said);
        CHECK_MESSAGE(said.find(why) != std::string::npos, said);
    }
    for (const char* name :
         {"", "a b", "a:", "a\r\n", "\xc3\xbc", "Content-Length", "transfer-encoding"}) {
        headers lines;
        lines.add(name, "1");
        CHECK_THROWS_AS(static_cast<void>(write_request_head("GET", to, lines, {})),
                        std::invalid_argument);
    }
    const headers twice{{"Host", "a"}, {"host", "b"}};
    CHECK_THROWS_AS(static_cast<void>(write_request_head("GET", to, twice, {})),
                    std::invalid_argument);
    const headers fine{{"X", "tab\tand \xc3\xbc"}};
    CHECK(write_request_head("GET", to, fine, {}).find("tab\tand \xc3\xbc\r\n") !=
          std::string::npos);
}

TEST_CASE("request_writer: a method is one word") {
    const auto to = url::parse("http://h/");
    for (const char* method : {"", "GET /evil HTTP/1.1\r\nX:", "GET ", "G\tT"})
        CHECK_THROWS_AS(static_cast<void>(write_request_head(method, to, {}, {})),
                        std::invalid_argument);
    CHECK(write_request_head("M-SEARCH", to, {}, {}).starts_with("M-SEARCH / "));
}

}  // namespace

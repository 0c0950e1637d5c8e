#include <lariat/net/http/url.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using lariat::http::url;

std::string refusal(std::string_view text) {
    try {
        return "read as " + url::parse(text).to_string();
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
}

TEST_CASE("url: its parts") {
    const auto plain = url::parse("HTTP://Example.COM/a/b?c=d#part");
    CHECK(plain.scheme() == "http");
    CHECK_FALSE(plain.secure());
    CHECK(plain.host() == "example.com");
    CHECK(plain.port() == 80);
    CHECK(plain.target() == "/a/b?c=d");
    CHECK(plain.authority() == "example.com");
    CHECK(plain.to_string() == "http://example.com/a/b?c=d");

    const auto secure = url::parse("https://[2001:DB8:0::1]:8443?q");
    CHECK(secure.secure());
    CHECK(secure.host() == "2001:db8::1");
    CHECK(secure.port() == 8443);
    CHECK(secure.target() == "/?q");
    CHECK(secure.authority() == "[2001:db8::1]:8443");
}

TEST_CASE("url: forms that mean the same are equal") {
    const std::map<std::string, std::string> same{
        {"http://h", "http://h/"},
        {"http://h:80/", "http://h/"},
        {"http://h:/", "http://h/"},
        {"https://h:443/", "https://h/"},
        {"http://h#part", "http://h/"},
        {"http://h?q", "http://h/?q"},
        {"http://h/?", "http://h/?"},
        {"http://h:0080/", "http://h/"},
        {"http://127.0.0.1:8/x", "http://127.0.0.1:8/x"},
        {"http://a_b-c.d./", "http://a_b-c.d./"},
        {"http://h/a%20b?x[]=1|2&y=%C3%BC", "http://h/a%20b?x[]=1|2&y=%C3%BC"},
    };
    for (const auto& [given, canonical] : same) {
        CHECK(url::parse(given).to_string() == canonical);
        CHECK(url::parse(given) == url::parse(canonical));
    }
    CHECK(url::parse("http://h/a") != url::parse("http://h/A"));
    CHECK(url::parse("http://h/") != url::parse("https://h/"));
}

TEST_CASE("url: what is wrong is named, with the URL") {
    const std::map<std::string, std::string> wrong{
        {"", "does not begin with http:// or https://"},
        {"example.com", "does not begin with http:// or https://"},
        {"/path", "does not begin with http:// or https://"},
        {"ftp://h/", "does not begin with http:// or https://"},
        {"localhost:80", "does not begin with http:// or https://"},
        {"http:h", "// is missing after http:"},
        {"http:/h", "// is missing after http:"},
        {"http://", "has no host"},
        {"http:///path", "has no host"},
        {"http://:80/", "has no host"},
        {"http://h:0/", "the port \"0\" is not a number from 1 to 65535"},
        {"http://h:65536/", "the port \"65536\""},
        {"http://h:8o/", "the port \"8o\""},
        {"http://h:-1/", "the port \"-1\""},
        {"http://h:80:80/", "needs brackets"},
        {"http://::1/", "needs brackets"},
        {"http://[::1]:80:80/", "the port \"80:80\""},
        {"http://[::1/", "a [ without ]"},
        {"http://[::1]x/", "something other than a port follows the ]"},
        {"http://[::1]]/", "something other than a port follows the ]"},
        {"http://[127.0.0.1]/", "is not an IPv6 address"},
        {"http://[fe80::1%25lo]/", "is not an IPv6 address"},
        {"http://[]/", "is not an IPv6 address"},
        {"http://127.1/", "neither a name nor an IPv4 address"},
        {"http://0x7f.0.0.0x1/", "neither a name nor an IPv4 address"},
        {"http://2130706433/", "neither a name nor an IPv4 address"},
        {"http://127.0.0.1./", "neither a name nor an IPv4 address"},
        {"http://a..b/", "has an empty part"},
        {"http://.a/", "has an empty part"},
        {"http://a%41/", "a letter no host name has"},
        {"http://good\\.evil/", "a letter no host name has"},
        {"http://" + std::string(254, 'a') + "/", "longer than 253 letters"},
        {"http://h/a b", "a space at byte 10; write %20"},
        {"http://h/\r\nX: y", "a control character at byte 9"},
        {std::string("http://h/\0", 10), "a control character at byte 9"},
        {"http://h/\x7f", "a control character at byte 9"},
        {"http://h/\xc3\xbc", "a letter outside of ASCII at byte 9; percent-encode it"},
        {"http://h/%4", "a % without two hexadecimal digits"},
        {"http://h/?100%", "a % without two hexadecimal digits"},
        {"http://h/" + std::string(20'000, 'a'), "more than 16384"},
    };
    for (const auto& [text, why] : wrong) {
        const std::string said = refusal(text);
        CHECK_MESSAGE(said.starts_with("bad URL \""), said);
        CHECK_MESSAGE(said.find(why) != std::string::npos, said);
        CHECK(said.size() < 1000);
        CHECK(said.find('\r') == std::string::npos);
    }
    CHECK(refusal("ftp://h/").starts_with("bad URL \"ftp://h/\": "));
}

TEST_CASE("url: a password is refused without repeating it") {
    for (const char* text : {"http://me:s3cret@h/", "http://s3cret@h/a@b", "http://x:s3cret@@h?a",
                             "http://me:s3cret @h/"}) {
        const std::string said = refusal(text);
        CHECK_MESSAGE(said.find("***@") != std::string::npos, said);
        CHECK_MESSAGE(said.find("s3cret") == std::string::npos, said);
    }
    CHECK(url::parse("http://h/a@b?c@d").target() == "/a@b?c@d");
}

TEST_CASE("url: references lead where RFC 3986 section 5.4 says") {
    const auto base = url::parse("http://a/b/c/d;p?q");
    const std::map<std::string, std::string> leads{
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"https://other:8443/x/../y", "https://other:8443/y"},
        {"//other", "http://other/"},
        {"\xc3\xbc?\xc3\xa4", "http://a/b/c/%C3%BC?%C3%A4"},
    };
    for (const auto& [location, where] : leads) CHECK(base.resolve(location).to_string() == where);
    CHECK(url::parse("https://h:8443").resolve("x").to_string() == "https://h:8443/x");
}

TEST_CASE("url: a Location that leads nowhere sane is refused") {
    const auto base = url::parse("http://a/b");
    for (const char* location : {"ftp://h/", "javascript:alert(1)", "http:g", "//", "http://",
                                 "/x\r\nSet-Cookie: y", "a b", "http://me:pw@h/", "//h:99999/"})
        CHECK_THROWS_AS(static_cast<void>(base.resolve(location)), std::invalid_argument);
}

/// A text made of the pieces that URLs are decided by.
std::string random_text(std::mt19937& random) {
    using namespace std::string_view_literals;
    constexpr std::array pieces{"http"sv, "https"sv, "://"sv,  "//"sv, "/"sv,   ":"sv,  "@"sv,
                                "?"sv,    "#"sv,     "["sv,    "]"sv,  ".."sv,  "."sv,  "%"sv,
                                "%20"sv,  "::1"sv,   "80"sv,   "a"sv,  "127"sv, "0x"sv, "\\"sv,
                                "\r\n"sv, " "sv,     "\xc3"sv, "\0"sv, "e.g"sv, "-"sv,  "_"sv};
    std::string text = random() % 2 != 0 ? "http://h" : "";
    for (auto left = random() % 8; left > 0; --left) text += pieces[random() % pieces.size()];
    return text;
}

TEST_CASE("url: of 20,000 random texts each is refused or safe to send, and reads back the same") {
    std::mt19937 random(3986);
    const auto base = url::parse("http://base/x/y?z");
    const auto is_safe = [](char letter) { return letter > ' ' && letter < 0x7f; };
    int read = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::string text = random_text(random);
        for (const bool relative : {false, true}) {
            try {
                const auto got = relative ? base.resolve(text) : url::parse(text);
                ++read;
                CHECK(std::ranges::all_of(got.to_string(), is_safe));
                CHECK(got.target().starts_with('/'));
                CHECK_FALSE(got.host().empty());
                CHECK(url::parse(got.to_string()) == got);
                CHECK(got.resolve("") == got);
            } catch (const std::invalid_argument& refused) {
                CHECK(std::string_view(refused.what()).starts_with("bad URL "));
            }
        }
    }
    CHECK(read > 1000);
    CHECK(read < 39'000);
}

}  // namespace

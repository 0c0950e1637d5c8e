#include <lariat/net/address.hpp>

#include "../../net/src/sockaddr.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

namespace {

using lariat::endpoint;
using lariat::ip_address;
using lariat::ip_family;

std::string refusal_of_address(std::string_view text) {
    try {
        return "read as " + ip_address::parse(text).to_string();
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
}

std::string refusal_of_endpoint(std::string_view text) {
    try {
        return "read as " + endpoint::parse(text).to_string();
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
}

TEST_CASE("ip_address: what it reads it prints, in the shortest form") {
    const std::map<std::string, std::string> forms{
        {"127.0.0.1", "127.0.0.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"fe80::1%7", "fe80::1%7"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (const auto& [given, shortest] : forms) {
        CHECK(ip_address::parse(given).to_string() == shortest);
        CHECK(ip_address::parse(shortest) == ip_address::parse(given));
    }
}

TEST_CASE("ip_address: a wrong text is refused by name, with a right example") {
    using namespace std::string_view_literals;
    for (const std::string_view wrong :
         {""sv, "localhost"sv, "127.0.0"sv, "127.0.0.256"sv, "127.0.0.01"sv, "127.0.0.1 "sv,
          " 127.0.0.1"sv, "1.2.3.4.5"sv, "0x7f.1"sv, "[::1]"sv, ":::"sv, "1::2::3"sv, "g::"sv,
          "127.0.0.1\0"sv, "::1\0x"sv, "127.0.0.1%1"sv, "::1%no-such-interface"sv, "::1%"sv,
          "%1"sv}) {
        const std::string refusal = refusal_of_address(wrong);
        CHECK_MESSAGE(refusal.starts_with("not an IP address: \""), refusal);
        CHECK_MESSAGE(refusal.ends_with("an address reads 127.0.0.1 or ::1"), refusal);
    }
    CHECK(refusal_of_address("12.x").find("\"12.x\"") != std::string::npos);
    CHECK(refusal_of_address("::1%nope").find("no interface \"nope\"") != std::string::npos);
    CHECK(refusal_of_address(std::string(100'000, ':')).size() < 400);
    CHECK(refusal_of_address("a\r\nb").find("a\\x0d\\x0ab") != std::string::npos);
}

TEST_CASE("ip_address: a scope may be the name of an interface") {
    CHECK(ip_address::parse("fe80::1%lo").scope() == 1);
    CHECK(ip_address::parse("fe80::1%1") == ip_address::parse("fe80::1%lo"));
    CHECK(ip_address::parse("fe80::1%1") != ip_address::parse("fe80::1"));
}

TEST_CASE("ip_address: any and loopback of each family") {
    CHECK(ip_address::any().to_string() == "0.0.0.0");
    CHECK(ip_address::any(ip_family::v6).to_string() == "::");
    CHECK(ip_address::loopback().to_string() == "127.0.0.1");
    CHECK(ip_address::loopback(ip_family::v6).to_string() == "::1");
    CHECK(ip_address() == ip_address::any());
    CHECK(ip_address::any().is_any());
    CHECK_FALSE(ip_address::loopback().is_any());
    for (const char* here : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"})
        CHECK(ip_address::parse(here).is_loopback());
    for (const char* elsewhere : {"128.0.0.1", "::", "::2", "::ffff:128.0.0.1", "7f00::"})
        CHECK_FALSE(ip_address::parse(elsewhere).is_loopback());
}

TEST_CASE("ip_address: bytes are in network order and make the address again") {
    const auto v4 = ip_address::parse("1.2.3.4");
    CHECK(v4.bytes().size() == 4);
    CHECK(v4.bytes()[0] == 1);
    CHECK(v4.bytes()[3] == 4);
    CHECK(ip_address::from_bytes(v4.bytes()) == v4);
    const auto v6 = ip_address::parse("2001:db8::1%3");
    CHECK(v6.bytes().size() == 16);
    CHECK(ip_address::from_bytes(v6.bytes(), v6.scope()) == v6);
}

TEST_CASE("ip_address: ordered by family, then by number") {
    std::vector<ip_address> sorted;
    for (const char* text : {"::2", "10.0.0.1", "::1%2", "9.255.255.255", "::1"})
        sorted.push_back(ip_address::parse(text));
    std::ranges::sort(sorted);
    std::string order;
    for (const auto& address : sorted) order += address.to_string() + " ";
    CHECK(order == "9.255.255.255 10.0.0.1 ::1 ::1%2 ::2 ");
}

TEST_CASE("endpoint: made of an address and a port") {
    const endpoint here("127.0.0.1", 8080);
    CHECK(here.address() == ip_address::loopback());
    CHECK(here.port() == 8080);
    CHECK(here.to_string() == "127.0.0.1:8080");
    CHECK(endpoint("::1", 0).to_string() == "[::1]:0");
    CHECK(endpoint("[::1]", 0) == endpoint("::1", 0));
    CHECK(endpoint(ip_address::any(), 65535).to_string() == "0.0.0.0:65535");
    CHECK(endpoint().to_string() == "0.0.0.0:0");
}

TEST_CASE("endpoint: a port out of range is named") {
    for (const int wrong : {-1, 65536, 1'000'000}) {
        const std::string named = "not a port: " + std::to_string(wrong) +
                                  "; a port is 0 to 65535, and 0 lets the system choose";
        CHECK_THROWS_WITH_AS(endpoint("127.0.0.1", wrong), named.c_str(), std::invalid_argument);
    }
    CHECK_THROWS_AS(endpoint("localhost", 80), std::invalid_argument);
}

TEST_CASE("endpoint: parse reads what to_string prints") {
    for (const char* text : {"127.0.0.1:80", "[::1]:80", "0.0.0.0:0", "[fe80::1%2]:65535"})
        CHECK(endpoint::parse(text).to_string() == text);
}

TEST_CASE("endpoint: a wrong text is refused with what is wrong and a right example") {
    const std::map<std::string, std::string> wrong{
        {"", "has no port"},
        {"127.0.0.1", "has no port"},
        {"127.0.0.1:", "has no port from 0 to 65535"},
        {"127.0.0.1:65536", "has no port from 0 to 65535"},
        {"127.0.0.1:-1", "has no port from 0 to 65535"},
        {"127.0.0.1:+1", "has no port from 0 to 65535"},
        {"127.0.0.1:80x", "has no port from 0 to 65535"},
        {"::1:80", "needs brackets"},
        {"[::1]", "has no port"},
        {"[::1:80", "has no IP address"},
        {"[127.0.0.1]:80", "has no IP address"},
        {"localhost:80", "has no IP address"},
        {":80", "has no IP address"},
    };
    for (const auto& [text, why] : wrong) {
        const std::string refusal = refusal_of_endpoint(text);
        CHECK_MESSAGE(refusal.starts_with("not an endpoint: \""), refusal);
        CHECK_MESSAGE(refusal.find(why) != std::string::npos, refusal);
        CHECK_MESSAGE(refusal.ends_with("an endpoint reads 127.0.0.1:80 or [::1]:80"), refusal);
    }
}

TEST_CASE("endpoint: usable as a key") {
    std::unordered_set<endpoint> seen;
    for (int port = 0; port < 1000; ++port) seen.insert(endpoint("127.0.0.1", port));
    seen.insert(endpoint("127.0.0.1", 7));
    CHECK(seen.size() == 1000);
    CHECK(endpoint("127.0.0.1", 1) < endpoint("127.0.0.1", 2));
    CHECK(endpoint("127.0.0.1", 2) < endpoint("127.0.0.2", 1));
}

TEST_CASE("endpoint: to the kernel's form and back") {
    for (const char* text : {"127.0.0.1:80", "[fe80::1%2]:443", "[::]:0"}) {
        const auto where = endpoint::parse(text);
        const auto raw = lariat::detail::to_sockaddr(where);
        CHECK(lariat::detail::from_sockaddr(raw.get(), raw.length) == where);
        CHECK_THROWS_AS(static_cast<void>(lariat::detail::from_sockaddr(raw.get(), 8)),
                        std::invalid_argument);
    }
    sockaddr_storage other{};
    other.ss_family = AF_UNIX;
    CHECK_THROWS_AS(static_cast<void>(lariat::detail::from_sockaddr(
                        reinterpret_cast<const sockaddr*>(&other), sizeof other)),
                    std::invalid_argument);
}

}  // namespace

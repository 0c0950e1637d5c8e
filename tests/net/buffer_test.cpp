#include <lariat/net/buffer.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

namespace {

using lariat::bytes;
using lariat::mutable_bytes;

static_assert(std::is_convertible_v<const char*, bytes>);
static_assert(std::is_convertible_v<std::string, bytes>);
static_assert(std::is_convertible_v<std::string_view, bytes>);
static_assert(std::is_convertible_v<std::vector<std::byte>, bytes>);
static_assert(std::is_convertible_v<std::span<const unsigned char>, bytes>);
static_assert(std::is_convertible_v<mutable_bytes, bytes>);
static_assert(!std::is_convertible_v<std::vector<int>, bytes>);
static_assert(!std::is_convertible_v<std::vector<wchar_t>, bytes>);

static_assert(std::is_convertible_v<std::string&, mutable_bytes>);
static_assert(std::is_convertible_v<std::array<char, 4>&, mutable_bytes>);
static_assert(std::is_convertible_v<std::span<std::byte>, mutable_bytes>);
static_assert(!std::is_convertible_v<const std::string&, mutable_bytes>);
static_assert(!std::is_convertible_v<std::string_view, mutable_bytes>);
static_assert(!std::is_convertible_v<std::vector<short>&, mutable_bytes>);

}  // namespace

TEST_CASE("bytes: a text without its final zero, a string with all of its") {
    CHECK(bytes("four").size() == 4);
    CHECK(bytes(std::string_view("a\0b", 3)).size() == 3);
    const std::vector<std::byte> some(7);
    CHECK(bytes(some).size() == 7);
    CHECK(bytes(some).data() == some.data());
}

TEST_CASE("bytes: nothing is empty and has no address") {
    constexpr bytes none;
    CHECK(none.empty());
    CHECK(none.data() == nullptr);
    CHECK(none.text().empty());
    CHECK(bytes("").empty());
}

TEST_CASE("bytes: after() leaves out the front") {
    const std::string text = "abcdef";
    CHECK(bytes(text).after(2).text() == "cdef");
    CHECK(bytes(text).after(6).empty());
    CHECK(bytes(text).after(0).text() == text);
}

TEST_CASE("mutable_bytes: names the range's own memory") {
    std::array<unsigned char, 8> room{};
    const mutable_bytes view(room);
    CHECK(view.size() == 8);
    view.data()[3] = std::byte{42};
    CHECK(room[3] == 42);
    CHECK(mutable_bytes().size() == 0);
}

#include <lariat/process/wire.hpp>

#include "leak_check.hpp"
#include "process/wire_support.hpp"

#include <doctest/doctest.h>

#include <coroutine>
#include <functional>
#include <initializer_list>
#include <new>
#include <ranges>
#include <span>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace lariat::test;
using detail::pack;
using detail::parcel;
using detail::unpack;

struct stranger {
    explicit stranger(std::string its_name) : name(std::move(its_name)) {}
    std::string name;
};
struct no_default {
    explicit no_default(int) {}
    std::string text;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(text);
    }
};
struct holds_reference {
    int& to;
};
struct fragile {
    fragile() = default;
    explicit fragile(int code) { throw code; }
    std::string text;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(text);
    }
};
struct base {
    virtual ~base() = default;
    template <class Archive>
    void serialize(Archive&) {}
};

static_assert(transferable<everything>);
static_assert(transferable<unique_fd> && transferable<std::vector<std::optional<unique_fd>>>);
static_assert(transferable<std::unique_ptr<chain>> && transferable<parcel_slip>);
static_assert(transferable<std::monostate> && transferable<std::tuple<>>);
static_assert(transferable<std::u8string> && transferable<std::chrono::year_month_day>);

static_assert(!transferable<const int> && !transferable<int&> && !transferable<void>);
static_assert(!transferable<int*> && !transferable<const char*> && !transferable<void (*)()>);
static_assert(!transferable<int point::*> && !transferable<std::nullptr_t>);
static_assert(!transferable<std::string_view> && !transferable<std::span<int>>);
static_assert(!transferable<std::reference_wrapper<int>>);
static_assert(!transferable<std::initializer_list<int>>);
static_assert(!transferable<std::vector<int>::iterator>);
static_assert(!transferable<std::map<int, int>::const_iterator>);
static_assert(!transferable<std::ranges::subrange<std::vector<int>::iterator>>);
static_assert(!transferable<std::coroutine_handle<>> && !transferable<std::error_code>);
static_assert(!transferable<std::shared_ptr<int>> && !transferable<std::weak_ptr<int>>);
static_assert(!transferable<std::function<void()>>);
static_assert(!transferable<std::unique_ptr<base>> && !transferable<std::unique_ptr<int[]>>);
static_assert(!transferable<stranger> && !transferable<no_default>);
static_assert(!transferable<holds_reference>);

static_assert(!transferable<std::vector<int*>> && !transferable<std::array<const char*, 2>>);
static_assert(!transferable<std::optional<std::string_view>>);
static_assert(!transferable<std::tuple<int, std::span<char>>>);
static_assert(!transferable<std::tuple<int, int&>> && !transferable<std::pair<int, int*>>);
static_assert(!transferable<std::variant<int, stranger>>);
static_assert(!transferable<std::map<std::string, std::vector<int*>>>);
static_assert(!transferable<std::map<std::string_view, int>>);
static_assert(!transferable<std::unique_ptr<std::string_view>>);

static_assert(!detail::codec<std::vector<unique_fd>>::copies, "it only moves");
static_assert(detail::codec<std::vector<point>>::copies);

template <class T>
bool comes_back(T value) {
    parcel packed = pack(value);
    const auto back = unpack<T>(std::move(packed));
    return std::get<0>(back) == value;
}

/// Both ends of a pipe.
std::pair<unique_fd, unique_fd> make_pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    return {unique_fd(ends[0]), unique_fd(ends[1])};
}

/// Whether what is written into one comes out of the other.
bool connected(const unique_fd& from, const unique_fd& to) {
    char letter = 0;
    return ::write(to.get(), "x", 1) == 1 && ::read(from.get(), &letter, 1) == 1 && letter == 'x';
}

TEST_CASE_FIXTURE(leak_check, "wire: every kind of value comes back as it went") {
    const everything sent = make_everything();
    parcel packed = pack(sent, 77L);
    CHECK(packed.descriptors.empty());
    const auto [back, after] = unpack<everything, long>(std::move(packed));
    CHECK(after == 77);
    CHECK(back == sent);
}

TEST_CASE("wire: values within values within values") {
    using deep = std::map<std::string, std::vector<std::optional<std::variant<int, order>>>>;
    const order box{"box", 1, {{"lid", 1, {}, {}}, {"floor", 1, {}, {}}}, {{"a", {}}}};
    CHECK(comes_back(deep{{"x", {box, 3, std::nullopt}}, {"", {}}}));
    CHECK(comes_back(std::vector<std::vector<std::vector<std::string>>>{{{"a"}, {}}, {}}));
    CHECK(comes_back(std::vector<dog>{dog("a"), dog("b")}));
    CHECK(comes_back(std::tuple<std::tuple<>, std::array<int, 0>, std::monostate>()));
    CHECK(comes_back(std::optional<std::optional<int>>(std::optional<int>())));
}

TEST_CASE("wire: items that are nothing are counted all the same") {
    CHECK(comes_back(std::vector<nothing>(1000)));
    CHECK(comes_back(std::vector<silent>(1000)));
    CHECK(comes_back(std::list<std::tuple<>>(1000)));
    CHECK(comes_back(std::deque<std::array<int, 0>>(10)));
}

TEST_CASE("wire: extremes of size") {
    CHECK(comes_back(std::string()));
    CHECK(comes_back(std::string(1'000'000, 'x')));
    CHECK(comes_back(std::vector<long>(300'000, -1)));
    CHECK(comes_back(std::string("a\0b", 3)));
}

TEST_CASE_FIXTURE(leak_check, "wire: descriptors move, from wherever they lie") {
    auto [from, to] = make_pipe();
    auto [from_more, to_more] = make_pipe();
    parcel_of_files files;
    files.label = "two";
    files.first = std::move(from);
    files.more.push_back(std::move(from_more));
    files.more.emplace_back();
    parcel packed = pack(std::move(files), std::optional<unique_fd>(std::move(to)),
                         std::make_pair(1, std::move(to_more)));
    CHECK(packed.descriptors.size() == 4);
    auto [back, writer, numbered] =
        unpack<parcel_of_files, std::optional<unique_fd>, std::pair<int, unique_fd>>(
            std::move(packed));
    REQUIRE(back.more.size() == 2);
    CHECK(!back.more[1]);
    REQUIRE(writer.has_value());
    CHECK(connected(back.first, *writer));
    CHECK(connected(back.more[0], numbered.second));
}

TEST_CASE_FIXTURE(leak_check, "wire: descriptors that nobody reads are closed with the parcel") {
    auto [from, to] = make_pipe();
    {
        const parcel packed = pack(std::move(from), std::string("x"));
        CHECK(packed.descriptors.size() == 1);
    }
    parcel packed = pack(std::move(to));
    packed.bytes.clear();
    CHECK_THROWS_AS((void)unpack<unique_fd>(std::move(packed)), parcel_error);
}

TEST_CASE("wire: references move") {
    parcel_slip slip(42);
    parcel packed = pack(std::move(slip));
    CHECK(slip.take() == 0);  // NOLINT(bugprone-use-after-move): this is the question
    REQUIRE(packed.references.size() == 1);
    auto [back] = unpack<parcel_slip>(std::move(packed));
    CHECK(back.take() == 42);
}

TEST_CASE("wire: a value sent from an lvalue is left alone") {
    order kept{"box", 1, {{"lid", 1, {}, {}}}, {}};
    const order before = kept;
    const parcel packed = pack(kept);
    CHECK(kept == before);
}

TEST_CASE("wire: chains go a thousand deep and no deeper") {
    const auto chain_of = [](int length) {
        std::unique_ptr<chain> first;
        for (int i = 0; i < length; ++i) {
            auto link = std::make_unique<chain>();
            link->length = i;
            link->next = std::move(first);
            first = std::move(link);
        }
        return first;
    };
    parcel packed = pack(chain_of(400));  // a pointer and a user's type each
    const auto [back] = unpack<std::unique_ptr<chain>>(std::move(packed));
    REQUIRE(back != nullptr);
    CHECK(back->length == 399);
    CHECK(back->next->next->length == 397);
    CHECK_THROWS_WITH_AS((void)pack(chain_of(600)), doctest::Contains("lies more than 1000 deep"),
                         parcel_error);
}

TEST_CASE("wire: a variant that lost its value is not sent") {
    std::variant<order, fragile> lost;
    CHECK_THROWS_AS(lost.emplace<fragile>(1), int);
    REQUIRE(lost.valueless_by_exception());
    CHECK_THROWS_AS((void)pack(lost), std::bad_variant_access);
}

}  // namespace

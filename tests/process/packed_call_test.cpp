#include <lariat/process/packed_call.hpp>

#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using detail::call_result;
using detail::call_signature;
using detail::pack_call;
using detail::packed_call;
using detail::unpack_result;
using lariat::test::leak_check;

long square(long n) { return n * n; }
std::string greet(std::string name, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += "hello " + name + "\n";
    return text;
}
void refuse(const std::string& why) { throw std::invalid_argument(why); }
std::size_t length(const std::vector<int>& numbers, std::string&& text) noexcept {
    return numbers.size() + text.size();
}
const std::string& longer(const std::string& a, const std::string& b) {
    return a.size() < b.size() ? b : a;
}
int open_box(std::unique_ptr<int> box) { return *box; }
std::shared_ptr<int> cannot_return() { return nullptr; }

task<long> nap_then_square(long n) {
    co_await sleep(1ms);
    co_return n* n;
}
task<std::string> twice(const std::string& text) {
    co_await sleep(1ms);
    co_return text + text;
}
task<> fail_later(std::string why) {
    co_await sleep(1ms);
    throw std::out_of_range(why);
}

struct adder {
    int base = 0;
    int operator()(int more) const { return base + more; }
};
struct halver {
    int operator()(int whole) const& noexcept { return whole / 2; }
};
struct counter {
    std::vector<std::string> names;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(names);
    }
    task<std::size_t> operator()(std::string name) {
        names.push_back(std::move(name));
        co_await sleep(1ms);
        co_return names.size();
    }
};

using greeting = call_signature<decltype(&greet)>;
static_assert(std::is_same_v<greeting::arguments, std::tuple<std::string, int>>);
static_assert(std::is_same_v<greeting::result, std::string> && !greeting::is_task);
static_assert(call_signature<decltype(&nap_then_square)>::is_task);
static_assert(std::is_same_v<call_signature<decltype(&nap_then_square)>::result, long>);
static_assert(std::is_same_v<call_signature<decltype(&longer)>::result, std::string>);
static_assert(call_signature<decltype(&length)>::takes_values);
static_assert(std::is_same_v<call_signature<adder>::arguments, std::tuple<int>>);
static_assert(!call_signature<void (*)(std::string&)>::takes_values);

inline constexpr auto generic = [](auto) {};
static_assert(!detail::callable_in_one_way<std::remove_const_t<decltype(generic)>>);
static_assert(!detail::callable_in_one_way<int>);

template <class Result>
Result at_once(packed_call call) {
    REQUIRE(!call.entry->is_task);
    return unpack_result<Result>(call.entry->run(std::move(call.arguments)));
}

template <class Result>
task<Result> on_loop(packed_call call) {
    auto running = call.entry->begin(std::move(call.arguments));
    detail::parcel answer = co_await std::move(running);
    co_return unpack_result<Result>(std::move(answer));
}

TEST_CASE_FIXTURE(leak_check, "packed_call: arguments become the parameters' types") {
    CHECK(at_once<long>(pack_call(square, 12)) == 144);
    CHECK(at_once<long>(pack_call(&square, short{3})) == 9);
    CHECK(at_once<std::string>(pack_call(greet, "li", 2)) == "hello li\nhello li\n");
    const std::string_view name = "view";
    CHECK(at_once<std::string>(pack_call(greet, std::string(name), 1L)) == "hello view\n");
    CHECK(at_once<std::size_t>(pack_call(length, std::vector<int>(3), "four")) == 7);
    CHECK(at_once<std::string>(pack_call(longer, "a", "bcd")) == "bcd");
    CHECK(at_once<int>(pack_call(open_box, std::make_unique<int>(5))) == 5);
}

TEST_CASE("packed_call: an argument that is kept is not moved from") {
    std::vector<int> numbers(5);
    std::string text = "abc";
    CHECK(at_once<std::size_t>(pack_call(length, numbers, text)) == 8);
    CHECK(numbers.size() == 5);
    CHECK(text == "abc");
}

TEST_CASE("packed_call: lambdas without captures, and objects with a state") {
    CHECK(at_once<int>(pack_call([](int a, int b) { return a - b; }, 5, 3)) == 2);
    CHECK(at_once<int>(pack_call(adder{40}, 2)) == 42);
    CHECK(at_once<int>(pack_call(halver(), 8)) == 4);
    const auto noted = [](const std::map<std::string, int>& all) { return all.at("x"); };
    CHECK(at_once<int>(pack_call(noted, std::map<std::string, int>{{"x", 9}})) == 9);
}

TEST_CASE("packed_call: what the function throws comes out; what it returns may be dropped") {
    packed_call call = pack_call(refuse, "no");
    CHECK_THROWS_WITH_AS((void)call.entry->run(std::move(call.arguments)), "no",
                         std::invalid_argument);
    packed_call dropped = pack_call<call_result::dropped>(cannot_return);
    const detail::parcel nothing = dropped.entry->run(std::move(dropped.arguments));
    CHECK(nothing.bytes.empty());
}

TEST_CASE_FIXTURE(leak_check, "packed_call: tasks run on a loop, with what they refer to") {
    run([]() -> task<> {
        const long squared = co_await on_loop<long>(pack_call(nap_then_square, 12));
        CHECK(squared == 144);
        const std::string text = co_await on_loop<std::string>(
            pack_call(twice, "a text that is too long for the string itself"));
        CHECK(text.size() == 90);
        counter names;
        names.names.emplace_back("first");
        const std::size_t count = co_await on_loop<std::size_t>(pack_call(names, "second"));
        CHECK(count == 2);
        CHECK(names.names.size() == 1);
        bool caught = false;
        try {
            co_await on_loop<void>(pack_call(fail_later, "gone"));
        } catch (const std::out_of_range&) {
            caught = true;
        }
        CHECK(caught);
    }());
}

TEST_CASE("packed_call: a damaged call is refused before the function runs") {
    static bool ran = false;
    packed_call call = pack_call([](std::string) { ran = true; }, "text");
    call.arguments.bytes.pop_back();
    CHECK_THROWS_AS((void)call.entry->run(std::move(call.arguments)), parcel_error);
    packed_call longer_call = pack_call([](std::string) { ran = true; }, "text");
    longer_call.arguments.bytes.emplace_back();
    CHECK_THROWS_AS((void)longer_call.entry->run(std::move(longer_call.arguments)), parcel_error);
    CHECK(!ran);
}

TEST_CASE("packed_call: one entry for all calls of a kind") {
    CHECK(pack_call(square, 1).entry == pack_call(square, 2).entry);
    CHECK(pack_call(square, 1).entry != pack_call<call_result::dropped>(square, 1).entry);
    CHECK(pack_call(square, 1).arguments.bytes.size() == 16);
}

}  // namespace

#include <lariat/task/generator.hpp>

#include <lariat/base/frame_allocator.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "death.hpp"

namespace {

using lariat::elements_of;
using lariat::generator;
using lariat::test::stops_with;

generator<int> count(int from, int to) {
    for (int i = from; i < to; ++i) co_yield i;
}

static_assert(std::ranges::input_range<generator<int>>);
static_assert(std::ranges::view<generator<int>>);
static_assert(!std::is_copy_constructible_v<generator<int>>);
static_assert(std::is_nothrow_move_constructible_v<generator<int>>);

/// Counts its live instances, to see that frames let go of what they hold.
struct tracked {
    explicit tracked(int& counter) : live(counter) { ++live; }
    tracked(const tracked&) = delete;
    tracked& operator=(const tracked&) = delete;
    ~tracked() { --live; }
    int& live;
};

TEST_CASE("generator: a range-for sees every item in order") {
    std::vector<int> seen;
    for (int item : count(1, 5)) seen.push_back(item);
    CHECK(seen == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("generator: an empty one yields nothing, and nothing runs before the first item") {
    int runs = 0;
    auto body = [](int& ran) -> generator<int> {
        ++ran;
        co_return;
    };
    auto none = body(runs);
    CHECK(runs == 0);
    CHECK_FALSE(none.done());
    CHECK(none.next() == nullptr);
    CHECK(runs == 1);
    CHECK(none.done());
    CHECK(none.next() == nullptr);
    CHECK(none.begin() == none.end());
    CHECK(runs == 1);
}

TEST_CASE("generator: it is a view, so the standard's adaptors compose it") {
    auto squares = [](int item) { return item * item; };
    auto odd = [](int item) { return item % 2 == 1; };
    std::vector<int> seen;
    for (int item : count(1, 1'000'000'000) | std::views::filter(odd) |
                        std::views::transform(squares) | std::views::take(3))
        seen.push_back(item);
    CHECK(seen == std::vector<int>{1, 9, 25});
    CHECK(std::ranges::count_if(count(0, 10), odd) == 5);
}

TEST_CASE("generator: next() and the range-for share one sequence") {
    auto numbers = count(1, 6);
    int* first = numbers.next();
    REQUIRE(first != nullptr);
    CHECK(*first == 1);
    int rest = 0;
    for (int item : numbers) rest += item;
    CHECK(rest == 2 + 3 + 4 + 5);
    CHECK(numbers.next() == nullptr);
}

TEST_CASE("generator: items are lent, not copied, and may be moved out") {
    auto body = []() -> generator<std::unique_ptr<int>> {
        auto kept = std::make_unique<int>(1);
        co_yield kept;
        CHECK(kept == nullptr);
        co_yield std::make_unique<int>(2);
    };
    std::vector<std::unique_ptr<int>> taken;
    for (auto& item : body()) taken.push_back(std::move(item));
    REQUIRE(taken.size() == 2);
    CHECK(*taken[0] == 1);
    CHECK(*taken[1] == 2);
}

TEST_CASE("generator: a generator of references reaches the elements themselves") {
    auto body = [](std::vector<std::string>& words) -> generator<std::string&> {
        for (auto& word : words) co_yield word;
    };
    std::vector<std::string> words{"a", "b"};
    for (auto& word : body(words)) word += '!';
    CHECK(words == std::vector<std::string>{"a!", "b!"});
}

TEST_CASE("generator: a constant is copied for a writing consumer and lent to a reading one") {
    const std::string word = "one";
    auto writing = [](const std::string& text) -> generator<std::string> {
        co_yield text;
        co_yield "two";
    };
    std::vector<std::string> seen;
    for (auto& item : writing(word)) seen.push_back(std::move(item));
    CHECK(seen == std::vector<std::string>{"one", "two"});
    CHECK(word == "one");

    auto reading = [](const std::string& text) -> generator<const std::string> { co_yield text; };
    auto lent = reading(word);
    CHECK(lent.next() == &word);
}

TEST_CASE("generator: what the body throws comes out where the item was asked for") {
    auto body = []() -> generator<int> {
        co_yield 1;
        throw std::runtime_error("no second item");
    };
    auto numbers = body();
    CHECK(*numbers.next() == 1);
    CHECK_THROWS_WITH(numbers.next(), "no second item");
    CHECK(numbers.done());
    CHECK(numbers.next() == nullptr);

    int seen = 0;
    auto loop = [&] {
        for (int item : body()) seen += item;
    };
    CHECK_THROWS_AS(loop(), std::runtime_error);
    CHECK(seen == 1);
}

TEST_CASE("generator: leaving early destroys what the body holds") {
    int live = 0;
    auto body = [](int& counter) -> generator<int> {
        tracked first(counter);
        co_yield 1;
        tracked second(counter);
        co_yield 2;
    };
    {
        auto numbers = body(live);
        CHECK(live == 0);
        numbers.next();
        CHECK(live == 1);
        auto moved = std::move(numbers);
        moved.next();
        CHECK(live == 2);
    }
    CHECK(live == 0);
}

TEST_CASE("generator: moving one over another destroys neither too early nor never") {
    int live = 0;
    auto body = [](int& counter, int id) -> generator<int> {
        tracked held(counter);
        co_yield id;
    };
    auto one = body(live, 1);
    auto two = body(live, 2);
    one.next();
    two.next();
    CHECK(live == 2);
    one = body(live, 3);
    CHECK(live == 1);
    CHECK(*one.next() == 3);
    one = std::move(two);
    CHECK(one.next() == nullptr);
}

struct node {
    int value;
    std::unique_ptr<node> left;
    std::unique_ptr<node> right;
};
std::unique_ptr<node> tree(int from, int to) {
    if (from >= to) return nullptr;
    const int middle = from + (to - from) / 2;
    return std::make_unique<node>(node{middle, tree(from, middle), tree(middle + 1, to)});
}
generator<int> walk(const node* at) {
    if (!at) co_return;
    co_yield elements_of(walk(at->left.get()));
    co_yield at->value;
    co_yield elements_of(walk(at->right.get()));
}

TEST_CASE("elements_of: a recursive walk yields a tree in order") {
    const auto root = tree(0, 1000);
    int expected = 0;
    for (int item : walk(root.get())) CHECK(item == expected++);
    CHECK(expected == 1000);
}

generator<int> nested(int depth, int& live) {
    tracked held(live);
    if (depth > 0) co_yield elements_of(nested(depth - 1, live));
    co_yield depth;
}

TEST_CASE(
    "elements_of: a nesting of 100,000 needs no deep stack, to run, to end or to be dropped") {
    constexpr int depth = 100'000;
    int live = 0;
    long sum = 0;
    for (int item : nested(depth, live)) sum += item;
    CHECK(sum == long{depth} * (depth + 1) / 2);
    CHECK(live == 0);
    {
        auto dropped = nested(depth, live);
        CHECK(*dropped.next() == 0);
        CHECK(live == depth + 1);
    }
    CHECK(live == 0);
}

generator<int> failing(int depth, int& unwound) {
    try {
        if (depth > 0)
            co_yield elements_of(failing(depth - 1, unwound));
        else
            throw std::runtime_error("from the deep");
    } catch (const std::runtime_error&) {
        ++unwound;
        throw;
    }
}

TEST_CASE("elements_of: an exception unwinds through every level") {
    int unwound = 0;
    auto numbers = failing(1000, unwound);
    CHECK_THROWS_WITH(numbers.next(), "from the deep");
    CHECK(unwound == 1001);
    CHECK(numbers.done());
}

TEST_CASE("elements_of: the outer generator may catch what the inner threw, and go on") {
    auto inner = []() -> generator<int> {
        co_yield 1;
        throw std::runtime_error("inner");
    };
    auto outer = [&]() -> generator<int> {
        int after = 0;
        try {
            co_yield elements_of(inner());
        } catch (const std::runtime_error&) {
            after = 2;
        }
        co_yield after;
        co_yield 3;
    };
    std::vector<int> seen;
    for (int item : outer()) seen.push_back(item);
    CHECK(seen == std::vector<int>{1, 2, 3});
}

TEST_CASE("elements_of: a generator begun elsewhere goes on where it stood, with all below it") {
    auto middle = []() -> generator<int> {
        co_yield elements_of(count(1, 4));
        co_yield 4;
    };
    auto outer = [](generator<int> begun) -> generator<int> {
        co_yield elements_of(std::move(begun));
        co_yield 5;
    };
    auto begun = middle();
    CHECK(*begun.next() == 1);
    std::vector<int> seen;
    for (int item : outer(std::move(begun))) seen.push_back(item);
    CHECK(seen == std::vector<int>{2, 3, 4, 5});

    auto spent = count(0, 0);
    CHECK(spent.next() == nullptr);
    auto after = outer(std::move(spent));
    CHECK(*after.next() == 5);
}

// Not inlined: the compiler may otherwise do without a frame.
[[gnu::noinline]] generator<int> nested_pair() { co_yield elements_of(count(0, 2)); }

TEST_CASE("elements_of: any range can be passed on") {
    auto body = [](const std::vector<int>& given) -> generator<int> {
        co_yield elements_of(given);
        std::array<int, 2> own{3, 4};
        co_yield elements_of(own);
        co_yield elements_of(std::views::iota(5, 7));
    };
    const std::vector<int> given{1, 2};
    std::vector<int> seen;
    for (int item : body(given)) seen.push_back(item);
    CHECK(seen == std::vector<int>{1, 2, 3, 4, 5, 6});
}

generator<double, double> average() {
    double sum = 0;
    for (int n = 1;; ++n) {
        const double got = co_yield (n == 1 ? 0.0 : sum / (n - 1));
        sum += got;
    }
}

TEST_CASE("send: the value of co_yield is what was sent") {
    auto mean = average();
    CHECK(*mean.next() == 0.0);
    CHECK(*mean.send(10) == 10.0);
    CHECK(*mean.send(20) == 15.0);
    CHECK(*mean.send(60) == 30.0);
}

TEST_CASE("send: next() on a started generator sends the empty value, as Python sends None") {
    auto body = []() -> generator<std::string, std::optional<int>> {
        auto got = co_yield "ready";
        while (got) {
            std::string answer = "got " + std::to_string(*got);
            got = co_yield std::move(answer);
        }
        co_yield "nothing came";
    };
    auto talk = body();
    CHECK(*talk.next() == "ready");
    CHECK(*talk.send(7) == "got 7");
    CHECK(*talk.next() == "nothing came");
    CHECK(talk.next() == nullptr);
    CHECK(talk.send(8) == nullptr);
}

TEST_CASE("send: a move-only value is handed over, through every level of delegation") {
    using item = std::unique_ptr<int>;
    auto inner = []() -> generator<int, item> {
        item got = co_yield 1;
        got = co_yield *got;
        CHECK(*got == 20);
    };
    auto outer = [&]() -> generator<int, item> {
        co_yield elements_of(inner());
        item got = co_yield 2;
        co_yield *got;
    };
    auto talk = outer();
    CHECK(*talk.next() == 1);
    CHECK(*talk.send(std::make_unique<int>(10)) == 10);
    CHECK(*talk.send(std::make_unique<int>(20)) == 2);
    CHECK(*talk.send(std::make_unique<int>(30)) == 30);
    CHECK(talk.send(std::make_unique<int>(40)) == nullptr);
}

/// A generator that reaches itself through a pointer.
generator<int> reaching(generator<int>** self, void (*act)(generator<int>&)) {
    co_yield 1;
    act(**self);
    co_yield 2;
}
void reach(void (*act)(generator<int>&)) {
    generator<int>* self = nullptr;
    auto numbers = std::make_unique<generator<int>>(reaching(&self, act));
    self = numbers.get();
    for (int* item = self->next(); item; item = self->next()) continue;
}

TEST_CASE("generator: one that would resume or destroy itself is stopped") {
    CHECK(stops_with("a generator may not be resumed by itself",
                     [] { reach([](generator<int>& self) { self.next(); }); }));
    CHECK(stops_with("a generator may not be destroyed by itself",
                     [] { reach([](generator<int>& self) { self = count(0, 1); }); }));
}

TEST_CASE("generator: one that was moved from is stopped with these words") {
    CHECK(stops_with("this generator was moved from", [] {
        auto from = count(0, 1);
        auto to = std::move(from);
        from.next();
    }));
}

struct no_default {
    explicit no_default(int) {}
};
generator<int, no_default> asking() {
    co_yield 1;
    co_yield 2;
}

TEST_CASE("send: a value is wanted neither before the first item nor dispensable after it") {
    CHECK(stops_with("send() before the first next()", [] { average().send(1.0); }));
    CHECK(stops_with("use send()", [] {
        auto talk = asking();
        talk.next();
        talk.next();
    }));
}

TEST_CASE("generator: its frames come from the recycling allocator, and all go back") {
    const auto before = lariat::live_frames();
    {
        auto numbers = nested_pair();
        numbers.next();
        CHECK(lariat::live_frames() > before);
    }
    CHECK(lariat::live_frames() == before);
    lariat::fail_frame_after(1);
    CHECK_THROWS_AS(static_cast<void>(nested_pair()), std::bad_alloc);
    CHECK(lariat::live_frames() == before);
}

}  // namespace

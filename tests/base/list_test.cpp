#include <lariat/base/list.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <random>
#include <vector>

namespace {

struct item : lariat::list_link {
    explicit item(int own) : number(own) {}
    int number;
};
using list = lariat::list<item>;

std::vector<int> numbers(list& items) {
    std::vector<int> all;
    for (const item& each : items) all.push_back(each.number);
    return all;
}

TEST_CASE("list: items stand as they were put, at both ends") {
    item a(1), b(2), c(3);
    list items;
    CHECK(items.empty());
    CHECK(items.begin() == items.end());
    CHECK_FALSE(a.linked());
    items.push_back(b);
    items.push_back(c);
    items.push_front(a);
    CHECK(a.linked());
    CHECK(numbers(items) == std::vector{1, 2, 3});
    CHECK(items.front().number == 1);
    CHECK(items.back().number == 3);
}

TEST_CASE("list: an item leaves from anywhere, and a second time without harm") {
    item a(1), b(2), c(3), d(4);
    list items;
    for (item* each : {&a, &b, &c, &d}) items.push_back(*each);
    b.unlink();
    CHECK_FALSE(b.linked());
    b.unlink();
    CHECK(numbers(items) == std::vector{1, 3, 4});
    d.unlink();
    a.unlink();
    CHECK(numbers(items) == std::vector{3});
    c.unlink();
    CHECK(items.empty());
    items.push_back(b);
    CHECK(numbers(items) == std::vector{2});
}

TEST_CASE("list: what is popped is free to stand elsewhere") {
    item a(1), b(2);
    list from, to;
    from.push_back(a);
    from.push_back(b);
    to.push_back(from.pop_front());
    CHECK(numbers(from) == std::vector{2});
    CHECK(numbers(to) == std::vector{1});
}

TEST_CASE("list: splicing moves all, in order, and leaves the other usable") {
    item a(1), b(2), c(3), d(4);
    list first, second;
    first.push_back(a);
    second.push_back(b);
    second.push_back(c);
    first.splice_back(second);
    CHECK(numbers(first) == std::vector{1, 2, 3});
    CHECK(second.empty());
    first.splice_back(second);
    CHECK(numbers(first) == std::vector{1, 2, 3});
    second.push_back(d);
    second.splice_back(first);
    CHECK(numbers(second) == std::vector{4, 1, 2, 3});
    second.splice_back(second);
    CHECK(numbers(second) == std::vector{4, 1, 2, 3});
    CHECK(&second.back() == &c);
    c.unlink();
    CHECK(&second.back() == &b);
}

TEST_CASE("list: does what a deque would, whatever is pushed, popped and unlinked") {
    std::mt19937 random(5);
    std::deque<item> storage;
    for (int i = 0; i < 40; ++i) storage.emplace_back(i);
    std::array<list, 2> lists;
    std::array<std::deque<int>, 2> models;
    for (int step = 0; step < 20'000; ++step) {
        item& chosen = storage[random() % storage.size()];
        const std::size_t which = random() % 2;
        list& items = lists[which];
        std::deque<int>& model = models[which];
        switch (random() % 5) {
            case 0:
                if (!chosen.linked()) {
                    items.push_back(chosen);
                    model.push_back(chosen.number);
                }
                break;
            case 1:
                if (!chosen.linked()) {
                    items.push_front(chosen);
                    model.push_front(chosen.number);
                }
                break;
            case 2:
                chosen.unlink();
                for (auto& each : models) std::erase(each, chosen.number);
                break;
            case 3:
                if (!items.empty()) {
                    REQUIRE(items.pop_front().number == model.front());
                    model.pop_front();
                }
                break;
            default:
                if (random() % 20 == 0) {
                    items.splice_back(lists[1 - which]);
                    model.insert(model.end(), models[1 - which].begin(), models[1 - which].end());
                    models[1 - which].clear();
                }
        }
        REQUIRE(std::ranges::equal(numbers(items), model));
    }
}

}  // namespace

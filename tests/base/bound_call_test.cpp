#include <lariat/base/bound_call.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace {

using lariat::detail::bound;
using lariat::detail::bound_result;

std::string twice(const std::string& text) { return text + text; }
int& itself(int& number) { return number; }

struct shelf {
    std::string label(int number) { return name + std::to_string(number); }
    std::string name;
};

TEST_CASE("bound_call: it keeps copies, and moves them into the call") {
    std::string text = "tick";
    bound<decltype(twice), std::string&> call(std::in_place, twice, text);
    text = "tock";
    CHECK(call() == "ticktick");
    auto take = [](std::unique_ptr<int> owned) { return *owned; };
    bound<decltype(take), std::unique_ptr<int>> once(std::in_place, take, std::make_unique<int>(7));
    CHECK(once() == 7);
    CHECK(std::get<0>(once.args) == nullptr);
}

TEST_CASE("bound_call: a reference goes in by std::ref and comes out as it is") {
    int number = 1;
    bound<decltype(itself), std::reference_wrapper<int>> call(std::in_place, itself,
                                                              std::ref(number));
    call() = 2;
    CHECK(number == 2);
    static_assert(
        std::is_same_v<bound_result<decltype(itself), std::reference_wrapper<int>>, int&>);
}

TEST_CASE("bound_call: a method is called on the first argument") {
    const shelf fruit{"fruit "};
    bound<decltype(&shelf::label), const shelf&, int> call(std::in_place, &shelf::label, fruit, 3);
    CHECK(call() == "fruit 3");
}

}  // namespace

#include <lariat/process/shm/array.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::family_check;

struct wide {
    std::array<std::uint64_t, 9> words{};
    static wide of(std::uint64_t number) {
        wide made;
        made.words.fill(number);
        return made;
    }
    [[nodiscard]] bool whole() const { return *this == of(words[0]); }
    bool operator==(const wide&) const = default;
};
struct pair_of_ints {
    int first = 1;
    int second = 2;
    bool operator==(const pair_of_ints&) const = default;
};

static_assert(transferable<shm::array<int>>);
static_assert(detail::atomic_element<double> && !detail::atomic_element<pair_of_ints>);

TEST_CASE_FIXTURE(family_check, "shm::array: made of zeros, of defaults, or of what is given") {
    const shm::array<int> zeros(5);
    CHECK(zeros.size() == 5);
    CHECK(zeros.to_vector() == std::vector<int>(5));
    const shm::array<pair_of_ints> pairs(3);
    CHECK(pairs.to_vector() == std::vector<pair_of_ints>(3));
    const shm::array<double> halves(4, 0.5);
    CHECK(halves.to_vector() == std::vector<double>(4, 0.5));
    const shm::array<wide> wides(3, wide::of(7));
    CHECK(wides.to_vector() == std::vector<wide>(3, wide::of(7)));
    CHECK(shm::array<char>(0).to_vector().empty());
}

TEST_CASE_FIXTURE(family_check, "shm::array: elements are read, written, added to and filled") {
    const shm::array<int> row(4);
    row[1] = 5;
    row.set(2, 6);
    row.at(3) = row[1];
    row[0] = row[3] + row.get(2);
    CHECK(row.to_vector() == std::vector{11, 5, 6, 5});
    CHECK(row.fetch_add(1, 10) == 5);
    CHECK(row[1] == 15);
    const shm::array<int> same = row;
    CHECK(same == row);
    same.fill(3);
    CHECK(row.to_vector() == std::vector(4, 3));
    const shm::array<wide> pages(2);
    pages[1] = wide::of(4);
    pages[0] = pages[1];
    CHECK(pages.get(0) == wide::of(4));
}

TEST_CASE_FIXTURE(family_check, "shm::array: an index beyond its end is refused by name") {
    const shm::array<int> row(4);
    const auto words = [](auto call) -> std::string {
        try {
            call();
        } catch (const std::out_of_range& refused) {
            return refused.what();
        }
        return "no";
    };
    const std::string expected = "shm::array: index 4 of an array of 4";
    CHECK(words([&] { (void)row.get(4); }) == expected);
    CHECK(words([&] { row.set(4, 1); }) == expected);
    CHECK(words([&] { row[4] = 1; }) == expected);
    CHECK(words([&] { (void)row.at(4); }) == expected);
    CHECK(words([&] { (void)row.fetch_add(4, 1); }) == expected);
}

TEST_CASE_FIXTURE(family_check,
                  "shm::array: one that does not fit is refused, and nothing is made") {
    constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
    CHECK_THROWS_AS((void)shm::array<int>(all, 1), std::system_error);
    CHECK_THROWS_AS((void)shm::array<wide>(std::size_t{1} << 60U, wide()), std::system_error);
    const shm::array<int> large(1'000'000);  // 4 MB
    large[999'999] = 1;
    CHECK(large[0] == 0);
    CHECK(large[999'999] == 1);
}

TEST_CASE_FIXTURE(family_check, "shm::array: processes sort their parts, and one all of it") {
    constexpr int count = 1000;
    const shm::array<int> row(count);
    for (int i = 0; i < count; ++i) row[static_cast<std::size_t>(i)] = (i * 7919) % count;
    const auto sort_part = [](shm::array<int> shared, std::size_t from, std::size_t to) {
        std::ranges::sort(shared.elements().subspan(from, to - from));
    };
    process left = process::start(sort_part, row, 0U, 500U);
    process right = process::start(sort_part, row, 500U, 1000U);
    CHECK(left.join_blocking().exit_code() == 0);
    CHECK(right.join_blocking().exit_code() == 0);
    run([](shm::array<int> shared) -> task<> {
        auto guard = co_await shared.lock();
        const auto all = shared.elements();
        CHECK(std::is_sorted(all.begin(), all.begin() + 500));
        std::ranges::sort(all);
    }(row));
    std::vector<int> expected(count);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(row.to_vector() == expected);
}

TEST_CASE_FIXTURE(family_check, "shm::array: processes add to its elements, and none is lost") {
    const shm::array<std::int64_t> counts(3);
    const auto add = [](shm::array<std::int64_t> shared) {
        for (std::size_t i = 0; i < 9'000; ++i) shared.fetch_add(i % 3, 1);
    };
    std::vector<process> others;
    for (int i = 0; i < 3; ++i) others.push_back(process::start(add, counts));
    for (process& each : others) CHECK(each.join_blocking().exit_code() == 0);
    CHECK(counts.to_vector() == std::vector<std::int64_t>(3, 9'000));
}

TEST_CASE_FIXTURE(family_check, "shm::array: nobody ever sees half an element") {
    const shm::array<wide> row(2);
    process writer = process::start(
        [](shm::array<wide> shared) {
            for (std::uint64_t i = 1; i <= 20'000; ++i) shared.set(i % 2, wide::of(i));
        },
        row);
    bool all_whole = true;
    while (writer.is_alive()) all_whole = all_whole && row.get(0).whole() && row.get(1).whole();
    CHECK(all_whole);
    CHECK(row.get(0) == wide::of(20'000));
}

TEST_CASE("shm::array: killed at any step, its writer has written all of an element or nothing") {
    const family_check check;
    const shm::array<wide> row(3);
    std::uint64_t last = 0;
    int written = 0;
    const int killed = test::kill_at_every_step(
        [&](int step) {
            return process::start(
                [](int at, shm::array<wide> shared) {
                    test::die_at(at);
                    shared.set(1, wide::of(shared.get(1).words[0] + 1));
                },
                step, row);
        },
        [&] {
            const wide seen = row.get(1);
            CHECK(seen.whole());
            CHECK(seen.words[0] - last <= 1);
            if (seen.words[0] != last) ++written;
            last = seen.words[0];
            CHECK(row.get(0) == wide::of(0));
            CHECK(row.get(2) == wide::of(0));
        });
    CHECK(killed >= 5);
    CHECK(written >= 3);
}

}  // namespace

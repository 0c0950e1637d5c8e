#include <lariat/process/shm/value.hpp>

#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::family_check;

/// Larger than any atomic, and whole or not: all of it is one number.
struct report {
    std::array<std::uint64_t, 40> words{};
    static report of(std::uint64_t number) {
        report made;
        made.words.fill(number);
        return made;
    }
    [[nodiscard]] bool whole() const { return *this == of(words[0]); }
    bool operator==(const report&) const = default;
};
/// Without a default, and with a gap.
struct reading {
    explicit reading(double its_degrees) : degrees(its_degrees) {}
    char sensor = 'a';
    double degrees;
};

static_assert(shareable<report> && shareable<reading> && shareable<bool>);
static_assert(!shareable<int*> && !shareable<std::string> && !shareable<const int>);
static_assert(!detail::lock_free<report> && detail::lock_free<double>);
static_assert(transferable<shm::value<int>> && transferable<shm::value<report>>);
template <class T>
concept comparable = requires(shm::value<T> v, T x) { v.compare_exchange(x, x); };
static_assert(comparable<report> && comparable<double> && !comparable<reading>);

TEST_CASE_FIXTURE(family_check, "shm::value: get, set, exchange, compare, add") {
    const shm::value<int> number(3);
    CHECK(number.get() == 3);
    number.set(4);
    CHECK(number.exchange(5) == 4);
    CHECK(number.fetch_add(-2) == 5);
    int expected = 7;
    CHECK_FALSE(number.compare_exchange(expected, 8));
    CHECK(expected == 3);
    CHECK(number.compare_exchange(expected, 8));
    CHECK(number.get() == 8);
    const shm::value<int> same = number;
    CHECK(same == number);
    CHECK(same.get() == 8);
    CHECK(shm::value<std::uint64_t>().get() == 0);
    const shm::value<double> real(0.5);
    CHECK(real.fetch_add(0.25) == 0.5);
    CHECK(real.get() == 0.75);
    const shm::value<long double> wide(1);
    CHECK(wide.fetch_add(2) == 1);
    CHECK(wide.get() == 3);
    const shm::value<std::array<int, 2>> two({1, 2});
    two.set({3, 4});
    CHECK(two.get()[1] == 4);
    CHECK(shm::value<reading>(reading(21.5)).get().degrees == 21.5);
}

TEST_CASE_FIXTURE(family_check, "shm::value: a large one has the same verbs") {
    const shm::value<report> page(report::of(1));
    CHECK(page.get() == report::of(1));
    page.set(report::of(2));
    CHECK(page.exchange(report::of(3)) == report::of(2));
    report expected = report::of(9);
    CHECK_FALSE(page.compare_exchange(expected, report::of(4)));
    CHECK(expected == report::of(3));
    CHECK(page.compare_exchange(expected, report::of(4)));
    CHECK(page.get() == report::of(4));
}

TEST_CASE_FIXTURE(family_check, "shm::value: processes add to one number, and none is lost") {
    const shm::value<int> plain(0);
    const shm::value<long double> guarded(0);
    const shm::value<int> locked(0);
    constexpr int times = 2'000;
    const auto add = [](shm::value<int> one, shm::value<long double> two, shm::value<int> three,
                        int count) -> task<> {
        for (int i = 0; i < count; ++i) {
            one.fetch_add(1);
            two.fetch_add(1);
            auto guard = co_await three.lock();
            three.set(three.get() + 1);
        }
    };
    std::vector<process> others;
    for (int i = 0; i < 3; ++i)
        others.push_back(process::start(add, plain, guarded, locked, times));
    run(add(plain, guarded, locked, times));
    for (process& each : others) CHECK(each.join_blocking().exit_code() == 0);
    CHECK(plain.get() == 4 * times);
    CHECK(guarded.get() == 4 * times);
    CHECK(locked.get() == 4 * times);
}

TEST_CASE_FIXTURE(family_check, "shm::value: nobody ever sees half of one") {
    const shm::value<report> page(report::of(0));
    process writer = process::start(
        [](shm::value<report> shared) {
            for (std::uint64_t i = 1; i <= 20'000; ++i) shared.set(report::of(i));
        },
        page);
    bool all_whole = true;
    std::uint64_t last = 0;
    while (last < 20'000 && writer.is_alive()) {
        const report seen = page.get();
        all_whole = all_whole && seen.whole() && seen.words[0] >= last;
        last = seen.words[0];
    }
    CHECK(all_whole);
    CHECK(writer.join_blocking().exit_code() == 0);
    CHECK(page.get() == report::of(20'000));
}

TEST_CASE("shm::value: killed at any step, its writer has written all of it or nothing") {
    const family_check check;
    const shm::value<report> page(report::of(0));
    std::uint64_t last = 0;
    int written = 0;
    const int killed = test::kill_at_every_step(
        [&](int step) {
            return process::start(
                [](int at, shm::value<report> shared) {
                    const report next = report::of(shared.get().words[0] + 1);
                    test::die_at(at);
                    shared.set(next);
                    const report after = report::of(shared.get().words[0] + 1);
                    (void)shared.exchange(after);
                },
                step, page);
        },
        [&] {
            const report seen = page.get();
            CHECK(seen.whole());
            CHECK(seen.words[0] - last <= 2);
            if (seen.words[0] != last) ++written;
            last = seen.words[0];
        });
    CHECK(killed >= 4);
    CHECK(written >= 2);
}

TEST_CASE("shm::value: a kill within its lock is reported to who takes that, not to who looks") {
    const family_check check;
    const shm::value<int> number(1);
    process holder = process::start(
        [](shm::value<int> shared) {
            auto guard = shared.lock_blocking();
            shared.set(2);
            (void)::raise(SIGKILL);
        },
        number);
    CHECK(holder.join_blocking().signal() == SIGKILL);
    CHECK(number.get() == 2);
    CHECK_THROWS_AS((void)number.lock_blocking(), owner_died);
    auto held = number.lock_to_repair_blocking();
    CHECK(held.pid() == holder.pid());
    held.make_consistent();
    held.unlock();
    CHECK(number.try_lock());
}

}  // namespace

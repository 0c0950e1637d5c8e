#include <lariat/cores/cores.hpp>

#include "cores_support.hpp"
#include "death.hpp"
#include "leak_check.hpp"
#include "waits.hpp"

#include <lariat/base/error.hpp>
#include <lariat/cores/loop_thread.hpp>
#include <lariat/loop/call_on.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sched.h>

namespace {

using namespace lariat;
using lariat::test::leak_check;
using lariat::test::run_on_cores;
using lariat::test::some_cores;
using lariat::test::stops_with;
using lariat::test::until_cancelled;

long square(long n) { return n * n; }
task<long> square_later(long n) {
    co_await yield_now();
    co_return n* n;
}
std::string with_end(std::string text, const std::string& end) { return text + end; }
int fail(const std::string& why) { throw std::out_of_range(why); }

/// Says that it runs, waits until it is cancelled, and says so.
task<> linger(std::atomic<int>& begun, std::atomic<int>& ended) {
    struct leaver {
        std::atomic<int>& count;
        ~leaver() { ++count; }
    } const leave{ended};
    ++begun;
    co_await until_cancelled();
}

task<> until_equal(const std::atomic<int>& count, int value) {
    while (count.load() != value) co_await yield_now();
}

TEST_CASE_FIXTURE(leak_check, "cores: the calling loop is the first, the others have threads") {
    run_on_cores(3, [](cores& all) -> task<> {
        CHECK(all.core_count() == 3);
        CHECK(all.this_core() == 0);
        CHECK(all.on_a_core());
        CHECK(active_loop_threads() == 2);
        auto where = [&all] { return std::pair(all.this_core(), std::this_thread::get_id()); };
        std::set<std::thread::id> threads;
        for (std::size_t core = 0; core < 3; ++core) {
            const auto [number, thread] = co_await all.call_on(core, where);
            CHECK(number == core);
            CHECK((thread == std::this_thread::get_id()) == (core == 0));
            threads.insert(thread);
        }
        CHECK(threads.size() == 3);
    });
    CHECK(loop_threads().empty());
}

TEST_CASE_FIXTURE(leak_check, "cores: each may be a new thread, and the caller none of them") {
    auto options = some_cores(2);
    options.caller_is_core = false;
    options.name = "shard";
    run(with_cores(options, [](cores& all) -> task<> {
        CHECK_FALSE(all.on_a_core());
        CHECK(active_loop_threads() == 2);
        auto name = [] {
            std::array<char, 16> text{};
            ::pthread_getname_np(::pthread_self(), text.data(), text.size());
            return std::string(text.data());
        };
        const std::vector<std::string> names = co_await all.on_all(name);
        CHECK(names == std::vector<std::string>{"shard-0", "shard-1"});
        const bool there = co_await all.call_on(1, [&all] { return all.on_a_core(); });
        CHECK(there);
    }));
}

TEST_CASE_FIXTURE(leak_check, "cores: there is one for each processor, pinned to it") {
    run(with_cores([](cores& all) -> task<> {
        cpu_set_t mine;
        ::sched_getaffinity(0, sizeof mine, &mine);
        const auto count = static_cast<std::size_t>(CPU_COUNT(&mine));
        CHECK(all.core_count() == count);
        auto look = [] {
            cpu_set_t set;
            ::sched_getaffinity(0, sizeof set, &set);
            return set;
        };
        const std::vector<cpu_set_t> sets = co_await all.on_all(look);
        CHECK(CPU_EQUAL(&sets[0], &mine));
        cpu_set_t others;
        CPU_ZERO(&others);
        for (std::size_t core = 1; core < count; ++core) {
            CHECK(CPU_COUNT(&sets[core]) == 1);
            CPU_OR(&others, &others, &sets[core]);
        }
        CHECK(static_cast<std::size_t>(CPU_COUNT(&others)) == count - 1);
    }));
}

TEST_CASE_FIXTURE(leak_check, "cores: a call carries arguments there, and its result back") {
    run_on_cores(2, [](cores& all) -> task<> {
        const long plain = co_await all.call_on(1, square, 7);
        CHECK(plain == 49);
        const long later = co_await all.call_on(1, square_later, 8);
        CHECK(later == 64);
        const std::string text = co_await all.call_on(1, with_end, "lari", "at");
        CHECK(text == "lariat");
        auto moved = std::make_unique<int>(5);
        auto add = [](std::unique_ptr<int> given) {
            ++*given;
            return given;
        };
        const std::unique_ptr<int> back = co_await all.call_on(1, add, std::move(moved));
        CHECK(*back == 6);
        int seen = 0;
        co_await all.call_on(1, [](int& into) { into = 3; }, std::ref(seen));
        CHECK(seen == 3);
        CHECK_THROWS_WITH_AS(co_await all.call_on(1, fail, "there"), "there", std::out_of_range);
        const std::string greeting = "hello";
        const std::size_t length = co_await all.call_on(1, &std::string::size, greeting);
        CHECK(length == 5);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: one that is not there is named, with their number") {
    run_on_cores(2, [](cores& all) -> task<> {
        CHECK_THROWS_WITH_AS((void)all.call_on(7, square, 1),
                             "cores: there is no core 7 among 2; they are numbered from 0",
                             std::out_of_range);
        CHECK_THROWS_AS((void)all.ref(2), std::out_of_range);
        co_return;
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: a cancelled caller's task is cancelled there, and awaited") {
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    run_on_cores(2, [&](cores& all) -> task<> {
        auto calls = [&]() -> task<> {
            co_await all.call_on(1, linger, std::ref(begun), std::ref(ended));
        };
        auto caller = spawn(calls);
        co_await until_equal(begun, 1);
        caller.cancel();
        CHECK_THROWS_AS(co_await caller, task_cancelled);
        CHECK(ended.load() == 1);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: on_all gives the results in the order of the cores") {
    run_on_cores(3, [](cores& all) -> task<> {
        auto number = [&all](std::size_t times) { return all.this_core() * times; };
        const auto numbers = co_await all.on_all(number, 10U);
        CHECK(numbers == std::vector<std::size_t>{0, 10, 20});
        std::atomic<int> count = 0;
        auto later = [](std::atomic<int>& into) -> task<> {
            co_await yield_now();
            ++into;
        };
        co_await all.on_all(later, std::ref(count));
        CHECK(count.load() == 3);
        auto counts = [calls = 0]() mutable { return ++calls; };  // each core has its own copy
        const auto each = co_await all.on_all(counts);
        CHECK(each == std::vector<int>{1, 1, 1});
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: of on_all the first failure ends the others") {
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    run_on_cores(3, [&](cores& all) -> task<> {
        auto work = [&]() -> task<> {
            if (all.this_core() == 1) {
                co_await until_equal(begun, 2);
                throw std::runtime_error("core 1");
            }
            co_await linger(begun, ended);
        };
        CHECK_THROWS_WITH_AS(co_await all.on_all(work), "core 1", std::runtime_error);
        CHECK(ended.load() == 2);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: map_reduce folds what each core gives, in their order") {
    run_on_cores(3, [](cores& all) -> task<> {
        auto name = [&all] { return std::to_string(all.this_core()); };
        const std::string names = co_await all.map_reduce(name, std::string("-"), std::plus<>());
        CHECK(names == "-012");
        auto later = [&all]() -> task<std::size_t> {
            co_await yield_now();
            co_return all.this_core();
        };
        const std::size_t sum = co_await all.map_reduce(later, std::size_t(10), std::plus<>());
        CHECK(sum == 13);
        auto fails = [&all] { return all.this_core() == 1 ? fail("core 1") : 0; };
        CHECK_THROWS_WITH_AS(co_await all.map_reduce(fails, 0, std::plus<>()), "core 1",
                             std::out_of_range);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: map_reduce shares a range out, and folds it in its order") {
    run_on_cores(3, [](cores& all) -> task<> {
        auto digits = [](int n) { return std::to_string(n); };
        std::string expected;
        for (int i = 0; i < 2000; ++i) expected += std::to_string(i);
        const std::string joined = co_await all.map_reduce(std::views::iota(0, 2000), digits,
                                                           std::string(), std::plus<>());
        CHECK(joined == expected);
        std::vector<long> numbers(1000);
        std::iota(numbers.begin(), numbers.end(), 1L);
        const long squares = co_await all.map_reduce(std::span<const long>(numbers), square_later,
                                                     0L, std::plus<>());
        CHECK(squares == 333'833'500L);
        const long none = co_await all.map_reduce(std::vector<long>(), square, 4L, std::plus<>());
        CHECK(none == 4);
        auto odd = [](long n) {
            if (n == 500) throw std::runtime_error("500 is even");
            return true;
        };
        CHECK_THROWS_WITH_AS(co_await all.map_reduce(numbers, odd, 0L, std::plus<>()),
                             "500 is even", std::runtime_error);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: every core takes its share of a range") {
    run_on_cores(2, [](cores& all) -> task<> {
        std::atomic<int> came = 0;
        auto meet = [&](int) -> task<std::size_t> {
            ++came;
            while (came.load() < 2) co_await yield_now();  // so neither can do both
            co_return all.this_core();
        };
        const std::vector<int> two{0, 0};
        const std::size_t sum = co_await all.map_reduce(two, meet, std::size_t(0), std::plus<>());
        CHECK(sum == 1);
    });
}

TEST_CASE_FIXTURE(leak_check, "cores: calls run in all directions at once") {
    constexpr long rounds = 300;
    std::array<long, 3> counts{};  // each its own core's
    run_on_cores(3, [&](cores& all) -> task<> {
        auto raise = [&] { ++counts[all.this_core()]; };
        auto raise_later = [&]() -> task<> {
            co_await yield_now();
            ++counts[all.this_core()];
        };
        auto calls = [&]() -> task<> {
            for (long i = 0; i < rounds; ++i) {
                for (std::size_t to = 0; to < 3; ++to) {
                    co_await gather(all.call_on(to, raise), all.call_on(to, raise_later));
                }
            }
        };
        co_await all.on_all(calls);
    });
    for (const long each : counts) CHECK(each == 6 * rounds);
}

TEST_CASE_FIXTURE(leak_check, "cores: the body's result and its failure come through") {
    const long result = run_on_cores(2, [](cores& all) -> task<long> {
        const long got = co_await all.call_on(1, square, 3);
        co_return got;
    });
    CHECK(result == 9);
    auto fails = [](cores&) -> task<> {
        throw std::runtime_error("the body");
        co_return;
    };
    CHECK_THROWS_WITH_AS(run_on_cores(2, fails), "the body", std::runtime_error);
    CHECK(loop_threads().empty());
}

TEST_CASE_FIXTURE(leak_check, "cores: the body's end cancels what runs on them, and awaits it") {
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    run_on_cores(3, [&](cores& all) -> task<> {
        co_await all.on_all([&] { (void)spawn(linger, std::ref(begun), std::ref(ended)); });
        co_await until_equal(begun, 3);
    });
    CHECK(ended.load() == 3);
}

TEST_CASE_FIXTURE(leak_check, "cores: they end while they call each other and the first") {
    for (int round = 0; round < 20; ++round) {
        std::atomic<long> calls = 0;
        run_on_cores(3, [&](cores& all) -> task<> {
            auto call_all = [&]() -> task<> {
                for (std::size_t to = 0;; to = (to + 1) % 3) {
                    co_await all.call_on(to, [&] { ++calls; });
                }
            };
            for (std::size_t core = 1; core < 3; ++core) {
                CHECK(all.ref(core).post([call_all] { (void)spawn(call_all); }));
            }
            if (round % 2 == 0) co_return;
            while (calls.load() < 10) co_await yield_now();
        });
    }
    CHECK(loop_threads().empty());
}

TEST_CASE_FIXTURE(leak_check, "cores: cancelled from outside, body and cores end") {
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    run([&]() -> task<> {
        auto body = [&](cores& all) -> task<> {
            co_await all.on_all(linger, std::ref(begun), std::ref(ended));
        };
        auto whole = spawn(with_cores(some_cores(3), body));
        co_await until_equal(begun, 3);
        whole.cancel();
        CHECK_THROWS_AS(co_await whole, task_cancelled);
        CHECK(ended.load() == 3);
        CHECK(loop_threads().empty());
        auto at_once = spawn(with_cores(some_cores(2), body));
        co_await yield_now();
        at_once.cancel();
        CHECK_THROWS_AS(co_await at_once, task_cancelled);
        CHECK(loop_threads().empty());
    }());
}

TEST_CASE_FIXTURE(leak_check, "cores: a failure that nobody takes on one of them ends them all") {
    auto options = some_cores(3);
    std::atomic<int> reports = 0;
    options.run.report = [&](const failure_report&) { ++reports; };
    bool body_cut = false;
    auto body = [&](cores& all) -> task<> {
        auto fails = []() -> task<> {
            throw std::runtime_error("lonely");
            co_return;
        };
        CHECK(all.ref(1).post([fails] { (void)spawn(fails); }));
        try {
            co_await until_cancelled();
        } catch (const cancelled&) {
            body_cut = true;
            throw;
        }
    };
    CHECK_THROWS_WITH_AS(run(with_cores(options, body)), "lonely", std::runtime_error);
    CHECK(body_cut);
    CHECK(reports.load() == 1);
    CHECK(loop_threads().empty());
}

TEST_CASE_FIXTURE(leak_check, "cores: a call to one that has ended says so") {
    run([]() -> task<> {
        std::optional<loop_ref> kept;
        auto keep = [&](cores& all) -> task<> {
            kept = all.ref(1);
            co_return;
        };
        co_await with_cores(some_cores(2), keep);
        CHECK_THROWS_AS(co_await call_on(*kept, [] {}), closed_error);
    }());
}

TEST_CASE_FIXTURE(leak_check, "cores: a loop may be the first of several, that end in any order") {
    run([]() -> task<> {
        std::atomic<int> inside = 0;
        bool first_may_end = false;
        auto first = [&](cores& all) -> task<> {
            ++inside;
            while (!first_may_end) co_await yield_now();
            CHECK(all.this_core() == 0);
        };
        auto second = [&](cores& all) -> task<> {
            ++inside;
            while (inside.load() != 3) co_await yield_now();
            CHECK(all.this_core() == 0);
            const std::size_t there = co_await all.call_on(1, [&all] { return all.this_core(); });
            CHECK(there == 1);
        };
        auto one = spawn(with_cores(some_cores(2), first));
        auto other = spawn(with_cores(some_cores(2), second));
        co_await until_equal(inside, 2);
        first_may_end = true;
        co_await one;
        ++inside;
        co_await other;
        auto outer = [](cores& all) -> task<> {
            auto nest = [&all]() -> task<std::size_t> {
                auto inner = [&all](cores& others) -> task<std::size_t> {
                    CHECK(others.this_core() == 0);
                    co_return all.this_core();
                };
                const std::size_t got = co_await with_cores(some_cores(2), inner);
                co_return got;
            };
            const std::size_t got = co_await all.call_on(1, nest);
            CHECK(got == 1);
        };
        co_await with_cores(some_cores(2), outer);
    }());
}

TEST_CASE("cores: who is none of them has no number") {
    CHECK(stops_with("this_core() and sharded::local() are asked on one of the cores", [] {
        run_on_cores(1, [](cores& all) -> task<> {
            std::thread other([&all] { (void)all.this_core(); });
            other.join();
            co_return;
        });
    }));
}

}  // namespace

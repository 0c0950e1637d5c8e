// Maps over a pool of processes.
#include <lariat/process/pool_map.hpp>

#include "pool_support.hpp"

#include <lariat/process/pool.hpp>

#include <list>
#include <ranges>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include <sys/resource.h>

namespace {

using namespace lariat;
using namespace lariat::test;

struct ticket {
    explicit ticket(int its_number) : number(its_number) {}
    int number;
};

bool is_even(int n) { return n % 2 == 0; }
ticket make_ticket(int n) { return ticket(n); }
std::string doubled(std::string text) { return text + text; }
long add(long a, int b) { return a + b; }
int close_it(unique_fd one) { return one ? 1 : 0; }
unique_fd open_one(int) { return unique_fd(::dup(STDIN_FILENO)); }
long refuse_seven(long n) {
    if (n == 7) throw std::invalid_argument("seven");
    return n;
}
task<long> square_below_four(std::pair<long, shm::event> item) {
    if (item.first >= 4) co_await item.second.wait();
    co_return item.first* item.first;
}
task<long> nap_then_square(long n) {
    co_await sleep(20ms);
    co_return n* n;
}
task<std::string> nap_then_double(const std::string& text) {
    co_await sleep(1ms);
    co_return text + text;
}

TEST_CASE_FIXTURE(pool_check, "pool map: results come in the order of the items") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<long> inputs = numbers_up_to(10'000);
        const std::vector<long> expected = squares_of(inputs);
        const auto automatic = co_await pool.map(square, inputs);
        CHECK(automatic == expected);
        const auto single = co_await pool.map(square, inputs, 1);
        CHECK(single == expected);
        const auto by_seven = co_await pool.map(square, inputs, 7);
        CHECK(by_seven == expected);
        const auto all_at_once = co_await pool.map(square, inputs, 1'000'000);
        CHECK(all_at_once == expected);
        const auto none = co_await pool.map(square, std::vector<long>());
        CHECK(none.empty());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: items and results of many kinds") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<std::string> names{"a", "", "ccc"};
        const auto twice = co_await pool.map(doubled, names);
        CHECK(twice == std::vector<std::string>{"aa", "", "cccccc"});
        const std::list<const char*> literals{"x", "y"};
        const auto converted = co_await pool.map(doubled, literals);
        CHECK(converted == std::vector<std::string>{"xx", "yy"});
        const auto even = co_await pool.map(is_even, std::views::iota(0, 5));
        CHECK(even == std::vector<bool>{true, false, true, false, true});
        const std::vector<ticket> tickets = co_await pool.map(make_ticket, std::views::iota(0, 50));
        CHECK(tickets.at(49).number == 49);
        co_await pool.map([](int) {}, std::views::iota(0, 50));
        const std::vector<std::tuple<long, int>> pairs{{1, 2}, {30, 4}};
        const auto sums = co_await pool.starmap(add, pairs);
        CHECK(sums == std::vector<long>{3, 34});
        std::vector<unique_fd> descriptors;
        for (int i = 0; i < 50; ++i) descriptors.emplace_back(::dup(STDIN_FILENO));
        const auto closed = co_await pool.map(close_it, std::move(descriptors));
        CHECK(closed == std::vector<int>(50, 1));
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: a chunk has no more descriptors than a call may have") {
    rlimit open_files{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &open_files) == 0);
    if (open_files.rlim_cur < 16'384) {
        MESSAGE("skipped: too few files may be open");
        return;
    }
    with_pool(1, [](process_pool& pool) -> task<> {
        constexpr int many = 4200;  // more than 250 in a sixteenth
        std::vector<unique_fd> given;
        for (int i = 0; i < many; ++i) given.emplace_back(::dup(STDIN_FILENO));
        const auto closed = co_await pool.map(close_it, std::move(given));
        CHECK(closed == std::vector<int>(many, 1));
        const auto opened = co_await pool.map(open_one, std::views::iota(0, many));
        CHECK(opened.size() == std::size_t{many});
        CHECK(opened.back());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: tasks run at once") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<long> inputs = numbers_up_to(500);
        const time_point begun = clock::now();
        const auto chunked = co_await pool.map(nap_then_square, inputs);
        CHECK(chunked == squares_of(inputs));
        const auto single = co_await pool.map(nap_then_square, inputs, 1);
        CHECK(single == squares_of(inputs));
        CHECK(clock::now() - begun < 5s);  // one after the other: 10 s
        const std::vector<std::string> names{"a", "b"};
        const auto twice = co_await pool.map(nap_then_double, names);
        CHECK(twice == std::vector<std::string>{"aa", "bb"});
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: the first failure ends it, and the pool lives on") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<long> inputs = numbers_up_to(1'000'000);
        CHECK_THROWS_WITH_AS(co_await pool.map(refuse_seven, inputs, 1), "seven",
                             std::invalid_argument);
        // One worker may go on for long while the other, with the seven, is kept from its core.
        CHECK(pool.stats().submitted < inputs.size());
        CHECK_THROWS_AS(co_await pool.map(refuse_seven, inputs), std::invalid_argument);
        const long after = co_await pool.run(square, 3);
        CHECK(after == 9);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: one whose range throws while it begins is over") {
    with_pool(2, [](process_pool& pool) -> task<> {
        bool thrown = false;
        const auto once = [&thrown](long n) {
            if (n == 300 && !std::exchange(thrown, true)) throw std::range_error("once");
            return n;
        };
        auto map = pool.map(square, std::views::iota(0L, 5000L) | std::views::transform(once), 1);
        CHECK_THROWS_WITH_AS(co_await std::move(map), "once", std::range_error);
        co_await timeout(10s, pool.close());
        CHECK(pool.stats().submitted == 300);
        CHECK(pool.stats().done == 300);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: a worker's death fails it") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<int> signals(8, SIGKILL);
        CHECK_THROWS_AS(co_await pool.map(kill_self, signals), worker_died);
        const long after = co_await pool.run(square, 3);
        CHECK(after == 9);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: progress can be watched") {
    with_pool(1, [](process_pool& pool) -> task<> {
        map_progress progress;
        map_options options;
        options.progress = &progress;
        options.chunk = 10;
        const std::vector<long> inputs = numbers_up_to(95);
        const auto all = co_await pool.map(square, inputs, options);
        CHECK(all.size() == 95);
        CHECK(progress.done() == 95);
        CHECK(progress.total() == 95);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool map: the last chunks are smaller, unless a size was asked for") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const std::vector<long> inputs = numbers_up_to(160);
        (void)co_await pool.map(square, inputs, 10);
        const auto of_ten = pool.stats().submitted;
        CHECK(of_ten == 16);
        const std::vector<long> squares = co_await pool.map(square, inputs);
        CHECK(pool.stats().submitted - of_ten == 20);  // 15 of 10 items, then 5, 2, 1, 1, 1
        CHECK(squares.size() == 160);
        CHECK(squares.back() == square(inputs.back()));
    });
}

TEST_CASE_FIXTURE(pool_check, "pool map: a time limit ends it, and takes back what had not begun") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        const std::vector<std::tuple<shm::event, shm::event>> many(
            50, std::tuple<shm::event, shm::event>(begun, go));
        CHECK_THROWS_AS(co_await timeout(50ms, pool.starmap(stay, many, 1)), timeout_error);
        CHECK(pool.stats().running <= 1);
        go.set();
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool imap: results come in order, as many calls ahead as asked for") {
    with_pool(2, [](process_pool& pool) -> task<> {
        map_options options;
        options.ahead = 10;
        auto squares = pool.imap(square, std::views::iota(0L), options);
        for (long i = 0; i < 300; ++i) {
            const std::optional<long> next = co_await squares.next();
            CHECK(next == i * i);
            CHECK(pool.stats().submitted <= static_cast<std::uint64_t>(i) + 11);
        }
        options.chunk = 16;
        auto chunked = pool.imap(square, numbers_up_to(1000), options);
        long count = 0;
        std::optional<long> one = co_await chunked.next();
        while (one) {
            CHECK(one == count * count);
            ++count;
            one = co_await chunked.next();
        }
        CHECK(count == 1000);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool imap: progress, where the size is known and where it is not") {
    with_pool(2, [](process_pool& pool) -> task<> {
        map_progress progress;
        map_options options;
        options.progress = &progress;
        options.chunk = 8;
        options.ahead = 3;
        for (int again = 0; again < 2; ++again) {
            auto squares = pool.imap(square, numbers_up_to(100), options);
            for (std::size_t taken = 1; taken <= 100; ++taken) {
                const std::optional<long> next = co_await squares.next();
                CHECK(next.has_value());
                CHECK(progress.done() == taken);
                CHECK(progress.total() == 100);
                CHECK(progress.total_known());
            }
        }
        const auto below_100 = [](long n) { return n < 100; };
        auto unsized = pool.imap_unordered(
            square, std::views::iota(0L) | std::views::take_while(below_100), options);
        std::optional<long> next = co_await unsized.next();
        CHECK(progress.done() == 1);
        CHECK(progress.total() == 24);
        CHECK(!progress.total_known());
        std::size_t taken = 0;
        while (next) {
            CHECK(progress.done() == ++taken);
            next = co_await unsized.next();
        }
        CHECK(taken == 100);
        CHECK(progress.done() == 100);
        CHECK(progress.total() == 100);
        CHECK(progress.total_known());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool imap: of large arguments fewer lie ahead") {
    with_pool(2, [](process_pool& pool) -> task<> {
        constexpr std::size_t size = std::size_t{1} << 20;
        const auto large = [](int) { return std::string(size, 'x'); };
        const auto length = [](const std::string& text) { return text.size(); };
        auto lengths = pool.imap(length, std::views::iota(0, 60) | std::views::transform(large));
        for (std::uint64_t taken = 1; taken <= 60; ++taken) {
            const std::optional<std::size_t> next = co_await lengths.next();
            CHECK(next == size);
            CHECK(pool.stats().submitted <= taken + 16);
        }
    });
}

TEST_CASE_FIXTURE(pool_check, "pool imap_unordered: what ends first comes first") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::vector<std::chrono::milliseconds> naps{10'000ms, 1ms, 2ms, 3ms};
        const auto sleep_for = [](std::chrono::milliseconds length) -> task<long> {
            co_await sleep(length);
            co_return length.count();
        };
        auto ended = pool.imap_unordered(sleep_for, naps);
        std::set<long> first;
        for (int i = 0; i < 3; ++i) {
            const std::optional<long> next = co_await ended.next();
            first.insert(next.value());
        }
        CHECK(first == std::set<long>{1, 2, 3});
    });
}

TEST_CASE_FIXTURE(pool_check, "pool imap: a failure is thrown where its result would have come") {
    with_pool(2, [](process_pool& pool) -> task<> {
        auto items = pool.imap(refuse_seven, numbers_up_to(20));
        for (long i = 0; i < 7; ++i) {
            const std::optional<long> next = co_await items.next();
            CHECK(next == i);
        }
        CHECK_THROWS_AS(co_await items.next(), std::invalid_argument);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool imap: closed in the middle, it gives what was submitted and then says so") {
    run([]() -> task<> {
        process_pool pool(2);
        map_options options;
        options.ahead = 8;
        map_progress progress;
        options.progress = &progress;
        auto squares = pool.imap(square, std::views::iota(0L), options);
        options.progress = nullptr;
        auto unordered = pool.imap_unordered(square, std::views::iota(0L), options);
        std::optional<long> next = co_await squares.next();
        CHECK(next == 0);
        next = co_await unordered.next();
        std::set<long> taken{next.value()};
        co_await pool.close();
        for (long i = 1; i < 8; ++i) {
            next = co_await squares.next();
            CHECK(next == i * i);
            next = co_await unordered.next();
            taken.insert(next.value());
        }
        CHECK_THROWS_AS(co_await squares.next(), closed_error);
        CHECK_THROWS_AS(co_await unordered.next(), closed_error);
        CHECK(taken == std::set<long>{0, 1, 4, 9, 16, 25, 36, 49});
        CHECK(progress.done() == 8);
        CHECK(progress.total() == 8);
        CHECK(!progress.total_known());
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool imap: closed after the range's last item it gives all") {
    run([]() -> task<> {
        process_pool pool(1);
        auto squares = pool.imap(square, numbers_up_to(5));
        std::optional<long> next = co_await squares.next();
        co_await pool.close();
        for (long i = 0; i < 5; ++i) {
            CHECK(next == i * i);
            next = co_await squares.next();
        }
        CHECK(!next);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool imap: terminated in the middle, it gives the results it has") {
    for (const bool ordered : {true, false}) {
        run([](bool in_order) -> task<> {
            process_pool pool(1);
            const shm::event never;
            const auto with_gate = [never](long n) { return std::pair(n, never); };
            auto items = std::views::iota(0L) | std::views::transform(with_gate);
            map_options options;
            options.ahead = 8;
            auto results = in_order ? pool.imap(square_below_four, items, options)
                                    : pool.imap_unordered(square_below_four, items, options);
            std::optional<long> next = co_await results.next();
            std::set<long> taken{next.value()};
            co_await until([&] { return pool.stats().done == 4; });
            pool.terminate();
            for (int i = 1; i < 4; ++i) {
                next = co_await results.next();
                taken.insert(next.value());
            }
            CHECK(taken == std::set<long>{0, 1, 4, 9});
            CHECK_THROWS_AS(co_await results.next(), closed_error);
            co_await pool.join();
        }(ordered));
    }
}

TEST_CASE_FIXTURE(pool_check, "pool imap: what the range throws comes after what it gave before") {
    with_pool(2, [](process_pool& pool) -> task<> {
        auto items = pool.imap(square, std::views::iota(0L) | std::views::transform(refuse_seven));
        for (long i = 0; i < 7; ++i) {
            const std::optional<long> next = co_await items.next();
            CHECK(next == i * i);
        }
        CHECK_THROWS_WITH_AS(co_await items.next(), "seven", std::invalid_argument);
        const long after = co_await pool.run(square, 3);
        CHECK(after == 9);
    });
}

}  // namespace

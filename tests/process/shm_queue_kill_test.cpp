// Processes that are killed while they use a queue.
#include <lariat/process/shm/queue.hpp>

#include "killed.hpp"
#include "leak_check.hpp"

#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sched.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::die_at;
using lariat::test::family_check;
using lariat::test::kill_at_every_step;

std::string boxed(int number) { return std::to_string(number) + std::string(1'000, '.'); }

void use_numbers(shm::queue<int> line, int step) {
    die_at(step);
    line.put_nowait(1);
    line.put_nowait(2);
    (void)line.get_nowait();
    line.task_done();
    (void)line.get_nowait();
}
void use_texts(shm::queue<std::string> line, int step) {
    die_at(step);
    line.put_nowait(boxed(1));
    line.put_nowait("2");
    (void)line.get_nowait();
    line.put_nowait(boxed(3));
    line.task_done();
}
void use_handles(shm::queue<shm::event> line, int step) {
    die_at(step);
    line.put_nowait(shm::event());
    line.put_nowait(shm::event());
    line.get_nowait().set();
}
void wait_for_two(shm::queue<int> line, int step) {
    die_at(step);
    (void)line.get_blocking();
    (void)line.get_blocking();
}
void put_two(shm::queue<int> line, int step) {
    die_at(step);
    line.put_blocking(1);
    line.put_blocking(2);
}
void close_it(shm::queue<int> line, int step) {
    die_at(step);
    line.close();
}

/// Whatever the dead has left: it is taken, done with, and the queue goes on.
template <class T, class Whole>
void drain(shm::queue<T>& line, T next, Whole whole) {
    const shm::queue_stats left = line.stats();
    CHECK(left.size == left.put - left.taken);
    for (std::size_t i = 0; i < left.size; ++i) {
        auto item = line.get_blocking(10s);
        REQUIRE(item);
        CHECK(whole(*item));
        line.task_done();
    }
    CHECK(line.empty());
    CHECK(line.join_blocking(10s));
    CHECK(line.put_blocking(std::move(next), 10s));
    CHECK(line.get_blocking(10s));
    line.task_done();
    CHECK(line.join_blocking(10s));
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, a process leaves whole numbers") {
    shm::queue<int> line(4);
    const int killed = kill_at_every_step(
        [&](int step) { return process::start(use_numbers, line, step); },
        [&] { drain(line, 9, [](int item) { return item == 1 || item == 2; }); });
    CHECK(killed > 40);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, a process leaves whole texts") {
    shm::queue<std::string> line(4, 64);
    const arena_stats before = shared_memory_stats();
    const int killed =
        kill_at_every_step([&](int step) { return process::start(use_texts, line, step); },
                           [&] {
                               drain(line, std::string("next"), [](const std::string& item) {
                                   return item == boxed(1) || item == "2" || item == boxed(3);
                               });
                               CHECK(shared_memory_stats().cells == before.cells);
                               CHECK(shared_memory_stats().references == before.references);
                           });
    CHECK(killed > 150);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, a process leaves whole handles") {
    shm::queue<shm::event> line(4);
    const arena_stats before = shared_memory_stats();
    const int killed = kill_at_every_step(
        [&](int step) { return process::start(use_handles, line, step); },
        [&] {
            drain(line, shm::event(), [](const shm::event& item) { return !item.is_set(); });
            CHECK(shared_memory_stats().cells == before.cells);
            CHECK(shared_memory_stats().references == before.references);
        });
    CHECK(killed > 150);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, a getter lets others get") {
    shm::queue<int> line(4);
    const int killed = kill_at_every_step(
        [&](int step) {
            process victim = process::start(wait_for_two, line, step);
            line.put_nowait(1);
            line.put_nowait(2);
            return victim;
        },
        [&] { drain(line, 9, [](int item) { return item == 1 || item == 2; }); });
    CHECK(killed > 20);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, a putter that waits lets others") {
    shm::queue<int> line(1);
    const int killed = kill_at_every_step(
        [&](int step) {
            process victim = process::start(put_two, line, step);
            while (victim.is_alive()) {
                if (line.try_get()) line.task_done();
                ::sched_yield();
            }
            return victim;
        },
        [&] { drain(line, 9, [](int item) { return item == 1 || item == 2; }); });
    CHECK(killed > 10);
}

TEST_CASE_FIXTURE(family_check,
                  "shm::queue: a thread asleep in get hears of every put, killed or not") {
    for (int step = 1;; ++step) {
        shm::queue<int> line(4);
        std::atomic<int> got{0};
        std::jthread getter([&] {
            while (line.get_blocking()) ++got;
        });
        process putter = process::start(put_two, line, step);
        const bool done = putter.join_blocking().exit_code() == 0;
        const std::uint64_t put = line.stats().put;
        const time_point end = clock::now() + 10s;
        while (static_cast<std::uint64_t>(got.load()) != put && clock::now() < end) ::sched_yield();
        CHECK(static_cast<std::uint64_t>(got.load()) == put);
        line.close();
        getter.join();
        if (done) break;
    }
}

TEST_CASE_FIXTURE(family_check, "shm::queue: killed at any step, close has happened or not") {
    for (int step = 1;; ++step) {
        shm::queue<int> line(1);
        std::jthread getter([&] { CHECK_FALSE(line.get_blocking()); });
        process closer = process::start(close_it, line, step);
        const bool done = closer.join_blocking().exit_code() == 0;
        if (!line.closed()) line.close();
        getter.join();
        if (done) break;
    }
}

// Under load: every item that was acknowledged is seen exactly once.

constexpr std::size_t putters = 4;
constexpr std::uint32_t each_puts = 1'000'000;  // at most

struct ledger_body {
    std::array<std::atomic<std::uint32_t>, putters> next{};
    std::array<std::atomic<std::uint8_t>, putters * each_puts> acknowledged{};
    std::array<std::atomic<std::uint8_t>, putters * each_puts> seen{};
    std::atomic<std::uint32_t> progress{0};
    std::atomic<bool> enough{false};
};
constexpr detail::cell_kind ledger_kind{"ledger of a test"};

class ledger {
 public:
    ledger() : body_(detail::make_cell<ledger_body>(ledger_kind)) {}
    [[nodiscard]] ledger_body* operator->() const { return body_.get(); }
    void pack_into(detail::parcel_writer& to) const { body_.pack_into(to); }
    static ledger unpack_from(detail::parcel_reader& from) {
        return ledger(
            detail::shared_handle<ledger_body>::unpack(from, ledger_kind, typeid(ledger)));
    }

 private:
    explicit ledger(detail::shared_handle<ledger_body> body) : body_(std::move(body)) {}
    detail::shared_handle<ledger_body> body_;
};

std::uint32_t number_in(std::uint32_t item) { return item; }
std::uint32_t number_in(const std::string& item) {
    return static_cast<std::uint32_t>(std::stoul(item));
}
template <class T>
T item_of(std::uint32_t number) {
    if constexpr (std::is_same_v<T, std::string>) {
        return number % 2 == 0 ? std::to_string(number)
                               : std::to_string(number) + std::string(300, ' ');
    } else {
        return number;
    }
}

template <class T>
void produce(shm::queue<T> line, ledger book, std::uint32_t who) {
    while (!book->enough) {
        const std::uint32_t number = book->next[who].fetch_add(1);
        if (number >= each_puts) return;
        line.put_blocking(item_of<T>(who * each_puts + number));
        book->acknowledged[who * each_puts + number] = 1;
    }
}
template <class T>
void consume(shm::queue<T> line, ledger book) {
    while (auto item = line.get_blocking()) {
        ++book->seen[number_in(*item)];
        ++book->progress;
        line.task_done();
    }
}

template <class T>
void lose_nothing_under_kills(std::uint32_t seed, int kills) {
    shm::queue<T> line(64, 128);
    const ledger book;
    std::mt19937 random(seed);
    const auto start = [&](std::size_t who) {
        return who < putters
                   ? process::start(produce<T>, line, book, static_cast<std::uint32_t>(who))
                   : process::start(consume<T>, line, book);
    };
    std::vector<process> all;
    for (std::size_t i = 0; i < 2 * putters; ++i) all.push_back(start(i));
    std::array<std::uint32_t, 2> killed{};
    // For as long as each putter has something to put.
    const auto goes_on = [&] {
        return std::all_of(book->next.begin(), book->next.end(),
                           [](const auto& next) { return next < each_puts; });
    };
    for (int i = 0; i < kills && goes_on(); ++i) {
        const std::uint32_t until = book->progress + static_cast<std::uint32_t>(random() % 500);
        const time_point end = clock::now() + 10s;
        while (book->progress < until && goes_on() && clock::now() < end) ::sched_yield();
        REQUIRE(clock::now() < end);
        const std::size_t who = random() % all.size();
        all[who].kill();
        if (all[who].join_blocking().signal() == SIGKILL) ++killed[who < putters ? 0 : 1];
        all[who] = start(who);
    }
    book->enough = true;
    for (std::size_t i = 0; i < putters; ++i) CHECK(all[i].join_blocking().exit_code() == 0);
    CHECK(line.join_blocking(10s));
    line.close();
    for (std::size_t i = putters; i < all.size(); ++i)
        CHECK(all[i].join_blocking().exit_code() == 0);

    std::uint32_t twice = 0;
    std::uint32_t lost = 0;
    std::uint32_t unacknowledged = 0;
    for (std::size_t i = 0; i < putters * each_puts; ++i) {
        if (book->seen[i] > 1) ++twice;
        if (book->acknowledged[i] != 0 && book->seen[i] == 0) ++lost;
        if (book->acknowledged[i] == 0 && book->seen[i] != 0) ++unacknowledged;
    }
    CHECK(twice == 0);
    CHECK(lost <= killed[1]);
    CHECK(unacknowledged <= killed[0]);
    CHECK(line.stats().lost <= killed[1]);
    CHECK(line.stats().unfinished == 0);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: under random kills all acknowledged items come once") {
    const std::uint32_t rounds = test::long_tests() ? 20 : 1;
    for (std::uint32_t seed = 1; seed <= rounds; ++seed) {
        CAPTURE(seed);
        lose_nothing_under_kills<std::uint32_t>(seed, 60);
        lose_nothing_under_kills<std::string>(seed, 60);
    }
}

}  // namespace

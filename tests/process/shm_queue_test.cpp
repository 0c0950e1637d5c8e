#include <lariat/process/shm/queue.hpp>

#include "killed.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;
using lariat::test::until;

struct point {
    double x = 0;
    std::int32_t y = 0;
    bool operator==(const point&) const = default;
};
/// Its bytes, and no default.
struct ticket {
    explicit ticket(int its_number) : number(its_number) {}
    int number;
};

static_assert(transferable<shm::queue<int>>);
static_assert(detail::is_bare_item<point> && detail::is_bare_item<ticket>);
static_assert(!detail::is_bare_item<std::string> && !detail::is_bare_item<shm::event>);
static_assert(!detail::is_bare_item<std::array<int, 300>>);

std::string large(std::size_t bytes) {
    std::string text(bytes, ' ');
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i % 26);
    return text;
}

task<> get_all(shm::queue<int> from, std::vector<int>& got) {
    while (auto item = co_await from.get()) got.push_back(*item);
}
task<> get_one(shm::queue<int> from, std::optional<int>& got) { got = co_await from.get(); }
task<> put_one(shm::queue<int> to, int item, int& put) {
    co_await to.put(item);
    ++put;
}

// What children run.
task<> echo_in_tasks(shm::queue<std::string> from, shm::queue<std::string> to) {
    while (auto item = co_await from.get()) {
        co_await to.put(*item + "!");
        from.task_done();
    }
    to.close();
}
void put_numbers(shm::queue<int> to, int first, int count) {
    for (int i = 0; i < count; ++i) to.put_blocking(first + i);
}
void take_and_leave(shm::queue<int> from, int count) {
    for (int i = 0; i < count; ++i) (void)from.get_blocking();
}
void set_what_comes(shm::queue<shm::event> from) {
    while (auto item = from.get_blocking()) item->set();
}

TEST_CASE_FIXTURE(family_check, "shm::queue: items come as they were put, and end with close") {
    shm::queue<int> line(3);
    std::vector<int> got;
    run([&]() -> task<> {
        auto getter = spawn(get_all(line, got));
        for (int i = 0; i < 100; ++i) co_await line.put(i);
        line.close();
        co_await getter;
    }());
    REQUIRE(got.size() == 100);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<int>(i));
}

TEST_CASE_FIXTURE(family_check, "shm::queue: items of all kinds come whole") {
    shm::queue<point> points(2);
    points.put_nowait(point{1.5, -7});
    CHECK(points.get_nowait() == point{1.5, -7});
    shm::queue<ticket> tickets(1);
    tickets.put_nowait(ticket(9));
    CHECK(tickets.get_nowait().number == 9);
    shm::queue<bool> truths(1);
    truths.put_nowait(true);
    CHECK(truths.get_nowait());
    shm::queue<std::array<int, 300>> blocks(1);
    std::array<int, 300> block{};
    block[299] = 5;
    blocks.put_nowait(block);
    CHECK(blocks.get_nowait() == block);
    shm::queue<std::map<std::string, std::vector<int>>> maps(1);
    const std::map<std::string, std::vector<int>> map{{"a", {1, 2}}, {"b", {}}};
    maps.put_nowait(map);
    CHECK(maps.get_nowait() == map);
    shm::queue<std::unique_ptr<int>> owners(1);
    owners.put_nowait(std::make_unique<int>(4));
    CHECK(*owners.get_nowait() == 4);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: what is larger than a slot comes whole") {
    shm::queue<std::string> line(8, 64);
    for (const std::size_t bytes : {0UL, 1UL, 55UL, 56UL, 57UL, 64UL, 65UL, 5'000UL, 3'000'000UL}) {
        line.put_nowait(large(bytes));
        CHECK(line.get_nowait() == large(bytes));
    }
    line.put_nowait(large(1'000));  // and goes with the queue
}

TEST_CASE_FIXTURE(family_check, "shm::queue: too large an item is refused by name, and not put") {
    shm::queue<std::string> line(2);
    CHECK_THROWS_AS(line.put_nowait(std::string(65 << 20, 'x')), limit_error);
    CHECK(line.empty());
    line.put_nowait("small");
    CHECK(line.get_nowait() == "small");
}

TEST_CASE_FIXTURE(family_check, "shm::queue: descriptors are refused, and sent to a pipe") {
    shm::queue<unique_fd> line(2);
    CHECK_THROWS_AS(line.put_nowait(unique_fd(::dup(0))), std::invalid_argument);
    CHECK(line.empty());
}

TEST_CASE_FIXTURE(family_check, "shm::queue: its limits are told when it is made") {
    CHECK_THROWS_AS(shm::queue<int>(0), std::invalid_argument);
    CHECK_THROWS_AS(shm::queue<int>((std::size_t{1} << 24) + 1), std::invalid_argument);
    CHECK_THROWS_AS(shm::queue<std::string>(1, 4), std::invalid_argument);
    CHECK_THROWS_AS(shm::queue<std::string>(1, 1 << 20), std::invalid_argument);
    CHECK_THROWS_AS((shm::queue<std::string>(1 << 24, 16'384)), std::system_error);
    CHECK(shm::queue<int>(5).capacity() == 5);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: full and empty are told, and change nothing") {
    shm::queue<std::string> line(2);
    std::string first = "first";
    CHECK(line.try_put(first));
    CHECK(line.try_put("second"));
    CHECK(line.full());
    CHECK_FALSE(line.try_put(std::move(first)));
    CHECK(first == "first");  // NOLINT(bugprone-use-after-move): that is the promise
    CHECK_THROWS_AS(line.put_nowait("third"), queue_full);
    CHECK(line.get_nowait() == "first");
    CHECK(line.try_get() == "second");
    CHECK_FALSE(line.try_get());
    CHECK_THROWS_AS((void)line.get_nowait(), queue_empty);
    line.close();
    CHECK_THROWS_AS((void)line.get_nowait(), closed_error);
    CHECK_THROWS_AS(line.put_nowait("fourth"), closed_error);
    CHECK_FALSE(line.try_put("fifth"));
}

TEST_CASE_FIXTURE(family_check, "shm::queue: a cancelled getter has taken nothing") {
    shm::queue<int> line(2);
    std::optional<int> first;
    std::optional<int> second;
    run([&]() -> task<> {
        auto one = spawn(get_one(line, first));
        auto two = spawn(get_one(line, second));
        co_await yield_now();
        one.cancel();
        const auto ended = co_await settled(std::move(one));
        CHECK(ended.is_cancelled());
        co_await line.put(1);
        co_await two;
        co_await line.put(2);
    }());
    CHECK_FALSE(first);
    CHECK(second == 1);
    CHECK(line.get_nowait() == 2);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: a getter cancelled after its wake passes it on") {
    shm::queue<int> line(2);
    std::optional<int> first;
    std::optional<int> second;
    run([&]() -> task<> {
        auto one = spawn(get_one(line, first));
        auto two = spawn(get_one(line, second));
        co_await yield_now();

        line.put_nowait(1);
        one.cancel();
        co_await settled(std::move(one));
        co_await until([&] { return first.has_value() || second.has_value(); });
        if (!second) line.put_nowait(2);
        co_await two;
    }());
    CHECK((first == 1 || second == 1));
}

TEST_CASE_FIXTURE(family_check, "shm::queue: a cancelled putter has put nothing") {
    shm::queue<int> line(1);
    int put = 0;
    run([&]() -> task<> {
        co_await line.put(0);
        auto one = spawn(put_one(line, 1, put));
        auto two = spawn(put_one(line, 2, put));
        co_await yield_now();
        one.cancel();
        co_await settled(std::move(one));
        CHECK(line.get_nowait() == 0);
        co_await two;
    }());
    CHECK(put == 1);
    CHECK(line.get_nowait() == 2);
    CHECK(line.empty());
}

TEST_CASE_FIXTURE(family_check, "shm::queue: a wait may run out of time, and took nothing") {
    shm::queue<int> line(1);
    run([&]() -> task<> {
        const auto got = co_await nothrow(timeout(2ms, line.get()));
        CHECK(got.error() == errc::timed_out);
        co_await line.put(1);
        const auto put = co_await nothrow(timeout(2ms, line.put(2)));
        CHECK(put.error() == errc::timed_out);
        const auto joined = co_await nothrow(timeout(2ms, line.join()));
        CHECK(joined.error() == errc::timed_out);
    }());
    CHECK(line.get_blocking(0ms).value() == 1);
    CHECK(line.get_blocking(2ms).error() == errc::timed_out);
    CHECK(line.put_blocking(3, 2ms));
    CHECK_FALSE(line.put_blocking(4, 2ms));
    CHECK_FALSE(line.join_blocking(2ms));
}

TEST_CASE_FIXTURE(family_check, "shm::queue: close ends putters, and getters when it is drained") {
    shm::queue<int> line(1);
    std::vector<int> got;
    run([&]() -> task<> {
        co_await line.put(1);
        int put = 0;
        auto waits = spawn(put_one(line, 2, put));
        co_await yield_now();
        line.close();
        auto ended = co_await settled(std::move(waits));
        CHECK_THROWS_AS(std::move(ended).value(), closed_error);
        co_await get_all(line, got);
        const auto refused = co_await nothrow(line.put(3));
        CHECK(refused.error() == errc::closed);
    }());
    CHECK(got == std::vector<int>{1});
    CHECK_THROWS_AS(line.put_blocking(4), closed_error);
    CHECK_FALSE(line.get_blocking());
    CHECK(line.get_blocking(1ms).error() == errc::closed);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: join waits until all are done with") {
    shm::queue<int> line(4);
    CHECK_THROWS_AS(line.task_done(), std::logic_error);
    run([&]() -> task<> {
        co_await line.join();
        co_await line.put(1);
        co_await line.put(2);
        CHECK_THROWS_AS(line.task_done(), std::logic_error);  // it has taken none
        bool joined = false;
        auto join = [](shm::queue<int> which, bool& done) -> task<> {
            co_await which.join();
            done = true;
        };
        auto waits = spawn(join(line, joined));
        for (int i = 0; i < 2; ++i) {
            co_await yield_now();
            CHECK_FALSE(joined);
            (void)line.get_nowait();
            line.task_done();
        }
        co_await waits;
        CHECK(joined);
        CHECK_THROWS_AS(line.task_done(), std::logic_error);
    }());
    const shm::queue_stats stats = line.stats();
    CHECK(stats.put == 2);
    CHECK(stats.taken == 2);
    CHECK(stats.unfinished == 0);
    CHECK(stats.lost == 0);
    CHECK(stats.capacity == 4);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: to another process's tasks, and back") {
    shm::queue<std::string> there(4);
    shm::queue<std::string> back(4);
    run([&]() -> task<> {
        process child = process::start(echo_in_tasks, there, back);
        auto send = [](shm::queue<std::string> to) -> task<> {
            for (int i = 0; i < 300; ++i) {
                std::string next = i % 10 == 0 ? large(2'000) : std::to_string(i);
                co_await to.put(std::move(next));
            }
            co_await to.join();
            to.close();
        };
        auto sender = spawn(send(there));
        int next = 0;
        while (auto item = co_await back.get()) {
            const std::string sent = next % 10 == 0 ? large(2'000) : std::to_string(next);
            if (*item == sent + "!") ++next;
        }
        CHECK(next == 300);
        co_await sender;
        const process_status ended = co_await child.join();
        CHECK(ended.exit_code() == 0);
    }());
}

TEST_CASE_FIXTURE(family_check, "shm::queue: several processes put, and their orders are kept") {
    shm::queue<int> line(3);
    std::vector<process> putters;
    for (int i = 0; i < 3; ++i)
        putters.push_back(process::start(put_numbers, line, i * 10'000, 2'000));
    std::array<int, 3> next{};
    for (int i = 0; i < 6'000; ++i) {
        const auto item = line.get_blocking(10s);
        REQUIRE(item);
        const auto from = static_cast<std::size_t>(*item / 10'000);
        CHECK(*item % 10'000 == next[from]++);
    }
    for (process& each : putters) CHECK(each.join_blocking().exit_code() == 0);
    CHECK(line.empty());
}

TEST_CASE_FIXTURE(family_check, "shm::queue: handles go through it, and with it") {
    shm::queue<shm::event> line(4);
    process setter = process::start(set_what_comes, line);
    {
        shm::event told;
        line.put_nowait(told);
        CHECK(told.wait_blocking(10s));
    }
    line.put_nowait(shm::event());
    line.close();
    CHECK(setter.join_blocking().exit_code() == 0);
    shm::queue<shm::event> unread(4);
    unread.put_nowait(shm::event());
    shm::queue<std::vector<shm::queue<int>>> nested(1);
    nested.put_nowait(std::vector<shm::queue<int>>{shm::queue<int>(1), shm::queue<int>(2)});
    auto queues = nested.get_nowait();
    CHECK(queues.at(1).capacity() == 2);
}

TEST_CASE_FIXTURE(family_check,
                  "shm::queue: a handle that is read as one of other items is refused") {
    const shm::queue<int> line(1);
    detail::parcel message = detail::pack(line);
    CHECK_THROWS_AS((void)detail::unpack<shm::queue<long>>(std::move(message)), parcel_error);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: join does not wait for what ended with its taker") {
    shm::queue<int> line(8);
    for (int i = 0; i < 5; ++i) line.put_nowait(i);
    process taker = process::start(take_and_leave, line, 3);
    CHECK(taker.join_blocking().exit_code() == 0);
    CHECK_FALSE(line.join_blocking(0ms));
    for (int i = 3; i < 5; ++i) {
        CHECK(line.get_nowait() == i);
        line.task_done();
    }
    CHECK(line.join_blocking(10s));
    CHECK(line.stats().lost == 3);
    CHECK(line.stats().unfinished == 0);
}

/// One random run against a model.
void compare_with_deque(std::uint32_t seed) {
    std::mt19937 random(seed);
    const std::size_t max = 1 + random() % 6;
    shm::queue<std::string> line(max, 16);
    std::deque<std::string> model;
    std::size_t undone = 0;
    bool closed = false;
    for (int step = 0; step < 40; ++step) {
        switch (random() % 8) {
            case 0:
            case 1:
            case 2: {
                const std::string item = large(random() % 30);
                const bool put = line.try_put(item);
                REQUIRE(put == (!closed && model.size() < max));
                if (put) model.push_back(item);
                break;
            }
            case 3:
            case 4:
            case 5: {
                const std::optional<std::string> got = line.try_get();
                REQUIRE(got.has_value() == !model.empty());
                if (!got) break;
                REQUIRE(*got == model.front());
                model.pop_front();
                ++undone;
                break;
            }
            case 6:
                if (undone == 0) {
                    CHECK_THROWS_AS(line.task_done(), std::logic_error);
                } else {
                    line.task_done();
                    --undone;
                }
                break;
            default:
                if (random() % 20 == 0) {
                    line.close();
                    closed = true;
                }
        }
        REQUIRE(line.size() == model.size());
        REQUIRE(line.stats().unfinished == model.size() + undone);
        REQUIRE(line.closed() == closed);
    }
}

TEST_CASE_FIXTURE(family_check, "shm::queue: ten thousand random runs do what a deque does") {
    for (std::uint32_t seed = 1; seed <= 10'000; ++seed) {
        CAPTURE(seed);
        compare_with_deque(seed);
    }
}

/// Tasks that put and get, some of which are cancelled: nothing is lost, nothing comes twice.
task<> put_and_get_with_cuts(std::uint32_t seed) {
    std::mt19937 random(seed);
    shm::queue<int> line(1 + random() % 3);
    std::vector<join_handle<>> tasks;
    int put = 0;
    std::vector<std::optional<int>> got(12);
    for (std::size_t i = 0; i < got.size(); ++i) {
        tasks.push_back(spawn(put_one(line, static_cast<int>(i), put)));
        tasks.push_back(spawn(get_one(line, got[i])));
        if (random() % 2 == 0) co_await yield_now();
        if (random() % 3 == 0) tasks[random() % tasks.size()].cancel();
    }
    for (std::size_t i = 0; i < 3; ++i) co_await yield_now();
    for (auto& each : tasks) each.cancel();
    for (auto& each : tasks) co_await settled(std::move(each));
    std::vector<bool> seen(got.size());
    int taken = 0;
    const auto note = [&](int item) {
        CHECK_FALSE(seen[static_cast<std::size_t>(item)]);
        seen[static_cast<std::size_t>(item)] = true;
        ++taken;
    };
    for (const auto& each : got)
        if (each) note(*each);
    while (auto left = line.try_get()) note(*left);
    CHECK(taken == put);
}

TEST_CASE_FIXTURE(family_check, "shm::queue: cancelled at random, its tasks lose nothing") {
    for (std::uint32_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        run(put_and_get_with_cuts(seed));
    }
}

}  // namespace

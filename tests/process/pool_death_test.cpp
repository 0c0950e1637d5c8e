// Workers that die: whose calls fail, and what goes on.
#include <lariat/process/pool.hpp>

#include "pool_support.hpp"

#include <lariat/process/shm/value.hpp>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <ranges>

#include <fcntl.h>

namespace {

using namespace lariat;
using namespace lariat::test;

int stay_then_die(shm::event begun, shm::event go) {
    begun.set();
    go.wait_blocking();
    ::raise(SIGKILL);
    return 0;
}
void count(shm::value<int> calls) {
    int seen = calls.get();
    while (!calls.compare_exchange(seen, seen + 1)) {
    }
}
void refuse_to_start(std::string why) { throw std::runtime_error(why); }
void leave_at_start() { std::exit(3); }
task<> fail_unheard() {
    throw std::runtime_error("lost in the background");
    co_return;
}
task<> fall_in_the_background() {
    spawn(fail_unheard());
    co_await sleep(1h);
}
/// What an initializer spawns runs when the worker is ready: no call is needed to know it.
task<> add_one(shm::value<int> to) {
    count(std::move(to));
    co_return;
}
task<> count_when_ready(shm::value<int> ready) {
    spawn(add_one(std::move(ready)));
    co_return;
}
task<> fall_over() {
    ::raise(SIGKILL);
    co_return;
}
task<> fall_over_when_ready() {
    spawn(fall_over());
    co_return;
}
task<> leave_unless(bool stays) {
    if (!stays) ::raise(SIGKILL);
    co_return;
}
task<> fall_over_seven_times(shm::value<int> comers) {
    count(comers);
    spawn(leave_unless(comers.get() > 7));
    co_return;
}
void let_the_first_in(shm::value<int> comers) {
    int before = comers.get();
    while (!comers.compare_exchange(before, before + 1)) {
    }
    if (before != 0) throw std::runtime_error("no room");
}
void close_all() {
    for (int fd = 3; fd < 1024; ++fd) ::close(fd);
}
long square_slowly(long n) {
    long sum = 0;
    for (long i = 0; i < n; ++i) {
        sum += n;
        asm volatile("" : : "g"(&sum) : "memory");
    }
    return sum;
}
task<long> square_later(long n) {
    co_await sleep(std::chrono::microseconds(200));
    co_return n* n;
}

TEST_CASE_FIXTURE(pool_check, "pool: who died, and of what") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int pid = co_await pool.run(own_pid);
        std::optional<worker_died> by_signal;
        try {
            co_await pool.run(kill_self, SIGSEGV);
        } catch (const worker_died& error) {
            by_signal = error;
        }
        REQUIRE(by_signal);
        CHECK(by_signal->pid() == pid);
        CHECK(by_signal->signal() == SIGSEGV);
        CHECK(std::string(by_signal->what()).find("std::exit") == std::string::npos);
        std::optional<worker_died> by_exit;
        try {
            co_await pool.run(leave_with, 7);
        } catch (const worker_died& error) {
            by_exit = error;
        }
        REQUIRE(by_exit);
        CHECK(by_exit->signal() == 0);
        CHECK(by_exit->exit_code() == 7);
        const std::string advice = by_exit->what();
        CHECK_MESSAGE(advice.find("a call must not end its process") != std::string::npos, advice);
        CHECK_MESSAGE(advice.find("wrong: std::exit(7)") != std::string::npos, advice);
        CHECK_MESSAGE(advice.find("right: return") != std::string::npos, advice);
        const long after = co_await pool.run(square, 5);
        CHECK(after == 25);
        CHECK(pool.stats().died == 2);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: an exception that ended a worker is told to its calls") {
    with_pool(1, [](process_pool& pool) -> task<> {
        std::string text;
        try {
            co_await pool.run(fall_in_the_background);
        } catch (const worker_died& error) {
            text = error.what();
        }
        CHECK_MESSAGE(text.find("lost in the background") != std::string::npos, text);
        CHECK_MESSAGE(text.find("std::exit") == std::string::npos, text);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: exactly what had begun fails, the rest goes elsewhere") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event waits;
        const shm::event go;
        const shm::event never;
        const shm::value<int> counted(0);
        auto task_under_way = pool.submit(stay_waiting, waits, never);
        co_await waits.wait();
        auto dies = pool.submit(stay_then_die, begun, go);
        std::vector<pool_call<>> behind;
        for (int i = 0; i < 100; ++i) behind.push_back(pool.submit(count, counted));
        co_await begun.wait();
        auto task_behind = pool.submit(nap, 1ms);
        go.set();
        CHECK_THROWS_AS(co_await dies, worker_died);
        CHECK_THROWS_AS(co_await task_under_way, worker_died);
        for (auto& each : behind) co_await each;
        co_await task_behind;
        CHECK(counted.get() == 100);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: results that were given before are kept") {
    with_pool(1, [](process_pool& pool) -> task<> {
        std::vector<pool_call<long>> before;
        for (long i = 0; i < 200; ++i) before.push_back(pool.submit(square, i));
        auto dies = pool.submit(kill_self, SIGKILL);
        for (long i = 0; i < 200; ++i) {
            const long squared = co_await before[static_cast<std::size_t>(i)];
            CHECK(squared == i * i);
        }
        CHECK_THROWS_AS(co_await dies, worker_died);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: descriptors and shared objects survive the worker that was lost") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto dies = pool.submit(stay_then_die, begun, go);
        const auto is_open = [](unique_fd one, shm::event which) {
            return which.is_set() && ::fcntl(one.get(), F_GETFD) >= 0;
        };
        std::vector<pool_call<bool>> behind;
        for (int i = 0; i < 20; ++i)
            behind.push_back(pool.submit(is_open, unique_fd(::dup(STDIN_FILENO)), begun));
        co_await begun.wait();
        go.set();
        CHECK_THROWS_AS(co_await dies, worker_died);
        for (auto& each : behind) {
            const bool open = co_await each;
            CHECK(open);
        }
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: workers that do not come up are reported, not started for ever") {
    run([]() -> task<> {
        process_pool_options options(2);
        options.set_initializer(refuse_to_start, std::string("no database"));
        process_pool pool(options);
        std::string text;
        auto waiting = pool.submit(square, 2);
        try {
            co_await pool.run(square, 1);
        } catch (const pool_start_error& error) {
            text = error.what();
        }
        CHECK_MESSAGE(text.find("no database") != std::string::npos, text);
        CHECK_MESSAGE(text.find("5 workers") != std::string::npos, text);
        CHECK_THROWS_AS(co_await waiting, pool_start_error);
        CHECK_THROWS_AS(co_await pool.run(square, 1), pool_start_error);
        co_await pool.join();
        CHECK(pool.stats().started <= 7);
    }());
    run([]() -> task<> {
        process_pool_options options(1);
        options.set_initializer(leave_at_start);
        options.most_start_failures = 2;
        process_pool pool(options);
        CHECK_THROWS_AS(co_await pool.run(square, 1), pool_start_error);
        co_await pool.close();
        CHECK(pool.stats().started == 2);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: what ended it is said of all its calls alike") {
    run([]() -> task<> {
        process_pool_options options(4);
        options.set_initializer(refuse_to_start, std::string("no database"));
        options.most_start_failures = 2;  // the others are on their way down too
        process_pool pool(options);
        std::vector<pool_call<long>> calls;
        for (long i = 0; i < 8; ++i) calls.push_back(pool.submit(square, i));
        for (auto& each : calls) {
            std::string text;
            try {
                co_await each;
            } catch (const pool_start_error& error) {
                text = error.what();
            }
            CHECK_MESSAGE(text.starts_with("2 workers of"), text);
        }
        co_await pool.join();
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: maps end, and say why, if no worker comes up") {
    run([]() -> task<> {
        process_pool_options options(2);
        options.set_initializer(refuse_to_start, std::string("no database"));
        process_pool mapped(options);
        CHECK_THROWS_AS(co_await timeout(20s, mapped.map(square, numbers_up_to(50'000), 1)),
                        pool_start_error);
        process_pool lined(options);
        auto squares = lined.imap(square, std::views::iota(0L));
        auto first = squares.next();
        CHECK_THROWS_AS(co_await timeout(20s, std::move(first)), pool_start_error);
        process_pool ended(options);
        auto waits = ended.submit(square, 1);
        ended.terminate();
        co_await timeout(20s, ended.join());
        CHECK_THROWS_AS(co_await waits, closed_error);
        co_await timeout(20s, mapped.join());
        co_await timeout(20s, lined.close());
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: close ends, and the calls say why, if no worker comes up") {
    run([]() -> task<> {
        process_pool_options options(2);
        options.set_initializer(refuse_to_start, std::string("no database"));
        process_pool pool(options);
        auto plain = pool.submit(square, 2);
        auto waits = pool.submit(nap, 1ms);
        co_await timeout(20s, pool.close());
        std::string text;
        try {
            co_await plain;
        } catch (const pool_start_error& error) {
            text = error.what();
        }
        CHECK_MESSAGE(text.find("no database") != std::string::npos, text);
        CHECK_THROWS_AS(co_await waits, pool_start_error);
        CHECK(pool.stats().started <= 7);
        CHECK(pool.stats().workers == 0);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: idle workers that are killed are replaced, however many") {
    const shm::value<int> ready(0);
    process_pool_options options(6);
    options.set_initializer(count_when_ready, ready);
    with_pool(options, [ready](process_pool& pool) -> task<> {
        co_await until([&] { return ready.get() == 6; });
        for (const process_info& each : active_children()) (void)::kill(each.pid, SIGKILL);
        const long squared = co_await pool.run(square, 4);
        CHECK(squared == 16);
        co_await until([&] { return ready.get() == 12; });
        CHECK(pool.stats().died == 6);
        CHECK(pool.stats().workers == 6);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: workers that end again and again, idle, are not started in a rush") {
    process_pool_options options(1);
    options.set_initializer(fall_over_when_ready);
    with_pool(options, [](process_pool& pool) -> task<> {
        const time_point begun = clock::now();
        co_await until([&] { return pool.stats().died >= 6; });
        CHECK(clock::now() - begun >= 150ms);  // 10, 20, 40 and 80 between the last five
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: the pause before a start is forgotten once a worker is of use") {
    const shm::value<int> comers(0);
    process_pool_options options(1);
    options.max_tasks_per_child = 1;
    options.set_initializer(fall_over_seven_times, comers);
    with_pool(options, [](process_pool& pool) -> task<> {
        co_await until([&] { return pool.stats().died == 7; });
        const time_point begun = clock::now();
        for (int i = 0; i < 21; ++i) co_await pool.run(nothing);
        CHECK(clock::now() - begun < 5s);  // 21 pauses: 6.7 s; one: 320 ms
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: nor those that do not come up while another one answers") {
    const shm::value<int> comers(0);
    process_pool_options options(2);
    options.most_start_failures = 1000;
    options.set_initializer(let_the_first_in, comers);
    with_pool(options, [](process_pool& pool) -> task<> {
        const time_point begun = clock::now();
        while (pool.stats().started < 8) co_await pool.run(nothing);
        CHECK(clock::now() - begun >= 150ms);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: what a stopped worker has not begun goes to another") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const shm::event first;
        const shm::event second;
        const shm::event go;
        for (int i = 0; i < 3; ++i) {  // neither is forgotten when it goes on
            auto one = pool.submit(stay, first, go);
            auto other = pool.submit(stay, second, go);
            co_await timeout(10s, first.wait());
            co_await timeout(10s, second.wait());
            for (const shm::event* each : {&first, &second}) each->clear();
            go.set();
            const int pid_of_one = co_await one;
            const int pid_of_other = co_await other;
            go.clear();
            const int stopped = i % 2 == 0 ? pid_of_one : pid_of_other;
            (void)::kill(stopped, SIGSTOP);
            for (long n = 0; n < 3; ++n) {
                const long squared = co_await timeout(10s, pool.run(square, n));
                CHECK(squared == n * n);
                const int pid = co_await timeout(10s, pool.run(nap, 0ms));
                CHECK(pid != stopped);
            }
            (void)::kill(stopped, SIGCONT);
        }
        CHECK(pool.stats().died == 0);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a worker that loses its way to the pool is replaced") {
    with_pool(1, [](process_pool& pool) -> task<> {
        try {
            co_await pool.run(close_all);
        } catch (const worker_died& error) {
            CHECK(error.signal() == SIGKILL);
        }
        const long after = co_await pool.run(square, 3);
        CHECK(after == 9);
    });
}

/// Counts how a call ended; anything but a right result or a dead worker fails the test.
struct tally {
    int right = 0;
    int died = 0;

    task<> settle(pool_call<long> call, long expected) {
        try {
            const long got = co_await call;
            CHECK(got == expected);
            ++right;
        } catch (const worker_died& error) {
            CHECK(error.signal() == SIGKILL);
            ++died;
        }
    }
};

task<> kill_at_random(process_pool& pool, int kills, std::uint64_t seed) {
    std::mt19937_64 dice(seed);
    tally ends;
    for (int i = 0; i < kills; ++i) {
        std::vector<task<>> calls;
        for (int k = 0; k < 60; ++k) {
            const auto n = static_cast<long>(dice() % 3000);
            auto call =
                dice() % 3 == 0 ? pool.submit(square_later, n) : pool.submit(square_slowly, n);
            calls.push_back(ends.settle(std::move(call), n * n));
        }
        auto all = gather(std::move(calls));
        auto killing = [](std::uint64_t wait, std::uint64_t which) -> task<> {
            co_await sleep(std::chrono::microseconds(wait));
            const std::vector<process_info> alive = active_children();
            if (!alive.empty()) (void)::kill(alive[which % alive.size()].pid, SIGKILL);
        }(dice() % 1500, dice());
        co_await gather(std::move(all), std::move(killing));
    }
    CHECK(ends.right + ends.died == kills * 60);
    CHECK(ends.right > kills * 30);
}

TEST_CASE_FIXTURE(pool_check, "pool: workers are killed at random under load") {
    const int kills = long_tests() ? 2000 : 60;
    process_pool_options options(3);
    options.most_start_failures = 1000;
    with_pool(options, [kills](process_pool& pool) -> task<> {
        auto killing = kill_at_random(pool, kills, 20260101);
        co_await timeout(std::chrono::seconds(30 + kills / 10), std::move(killing));
    });
}

}  // namespace

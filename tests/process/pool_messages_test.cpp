// What goes between a pool and its workers beside the board: orders and answers in messages.
#include <lariat/process/pool.hpp>

#include "message_support.hpp"
#include "pool_support.hpp"

#include <cstddef>
#include <random>
#include <thread>
#include <tuple>

#include <fcntl.h>
#include <malloc.h>

namespace {

using namespace lariat;
using namespace lariat::test;

constexpr std::size_t on_board = 4096;           // of an answer's bytes, at most
constexpr std::size_t in_order = 16 * 1024;      // of a call's arguments
constexpr std::size_t in_buffer = 64 * 1024;     // of a stream's small messages
constexpr std::size_t large_size = 4 << 20;      // more than a socket takes
constexpr std::size_t board_bytes = 128 * 1024;  // of all answers

std::string letters(std::size_t size, char first) {
    std::string all(size, first);
    for (std::size_t i = 0; i < size; ++i)
        all[i] = static_cast<char>('a' + (static_cast<std::size_t>(first) + i) % 26);
    return all;
}
/// Of a text and a size: that many letters, which depend on the text.
std::string answer_to(const std::string& text, std::size_t size) {
    return letters(size, text.empty() ? 'a' : text.back());
}
task<std::string> answer_later(std::string text, std::size_t size) {
    co_await yield_now();
    co_return answer_to(text, size);
}
task<std::string> answer_when(shm::event go, std::size_t size, char first) {
    co_await go.wait();
    co_return letters(size, first);
}
std::vector<unique_fd> open_many(std::size_t count) {
    std::vector<unique_fd> all;
    for (std::size_t i = 0; i < count; ++i) all.emplace_back(::dup(STDIN_FILENO));
    return all;
}
task<std::vector<unique_fd>> open_when(shm::event go, std::size_t count) {
    co_await go.wait();
    co_return open_many(count);
}
std::string say_and_answer(shm::event begun, std::size_t size) {
    begun.set();
    return letters(size, 'a');
}

/// What malloc has given out; it is not asked under a sanitizer that brings its own.
std::size_t heap_bytes() {
    const struct mallinfo2 now = ::mallinfo2();
    return now.uordblks + now.hblkhd;
}

/// Holds this loop, so that its pools look at nothing.
void hold_until(const shm::event& set) {
    const time_point end = clock::now() + 20s;
    while (!set.is_set() && clock::now() < end) std::this_thread::yield();
    CHECK(set.is_set());
}

TEST_CASE_FIXTURE(pool_check, "pool messages: arguments and results of all sizes, mixed") {
    std::vector<std::size_t> sizes{0, 1};
    for (const std::size_t edge : {on_board, in_order, in_buffer})
        for (std::size_t size = edge - 40; size <= edge + 8; size += 8) sizes.push_back(size);
    sizes.push_back(1'000'000);
    with_pool(2, [sizes](process_pool& pool) -> task<> {
        std::mt19937 dice(4);
        const auto any_size = [&] { return sizes[dice() % sizes.size()]; };
        std::vector<pool_call<std::string>> calls;
        std::vector<std::string> expected;
        for (std::size_t i = 0; i < 400; ++i) {
            std::string text = letters(any_size(), static_cast<char>('a' + i % 26));
            const std::size_t size = any_size();
            expected.push_back(answer_to(text, size));
            if (i % 3 == 0) {
                calls.push_back(pool.submit(answer_later, std::move(text), size));
            } else {
                calls.push_back(pool.submit(answer_to, std::move(text), size));
            }
        }
        for (std::size_t i = 0; i < calls.size(); ++i) {
            const std::string got = co_await calls[i];
            CHECK((got == expected[i]));
        }
        CHECK(pool.stats().died == 0);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: tasks that end together answer more than the board holds") {
    with_pool(1, [](process_pool& pool) -> task<> {
        constexpr std::size_t count = 3 * board_bytes / on_board;
        const shm::event go;
        std::vector<pool_call<std::string>> calls;
        for (std::size_t i = 0; i < count; ++i)
            calls.push_back(
                pool.submit(answer_when, go, on_board, static_cast<char>('a' + i % 26)));
        co_await pool.run(nothing);  // they wait
        go.set();
        for (std::size_t i = 0; i < count; ++i) {
            const std::string got = co_await calls[i];
            CHECK((got == letters(on_board, static_cast<char>('a' + i % 26))));
        }
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: results beyond the board do not wait for the long call behind") {
    with_pool(1, [](process_pool& pool) -> task<> {
        constexpr std::size_t beyond = 5;
        constexpr std::size_t count = board_bytes / on_board + beyond;
        const shm::event first_begun;
        const shm::event first_go;
        const shm::event last_begun;
        const shm::event last_go;
        auto first = pool.submit(stay, first_begun, first_go);
        std::vector<pool_call<std::string>> calls;
        for (std::size_t i = 0; i < count; ++i)
            calls.push_back(pool.submit(answer_to, std::string(), on_board));
        auto last = pool.submit(stay, last_begun, last_go);
        co_await first_begun.wait();
        first_go.set();
        hold_until(last_begun);
        for (auto& each : calls) {
            const std::string got = co_await timeout(20s, each);
            CHECK((got == answer_to("", on_board)));
        }
        CHECK(!last.done());
        last_go.set();
        co_await first;
        co_await last;
    });
}

TEST_CASE_FIXTURE(pool_check, "pool messages: functions wait until a full socket takes more") {
    with_pool(1, [](process_pool& pool) -> task<> {
        constexpr std::size_t size = 300'000;  // a socket does not hold one
        std::vector<pool_call<std::string>> calls;
        for (std::size_t i = 0; i < 30; ++i)
            calls.push_back(pool.submit(answer_to, std::string(1, 'a'), size + i));
        for (std::size_t i = 0; i < calls.size(); ++i) {
            const std::string got = co_await calls[i];
            CHECK((got == answer_to("a", size + i)));
        }
        CHECK(pool.stats().died == 0);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: 253 descriptors come back, more are an error of the call") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int pid = co_await pool.run(own_pid);
        const std::vector<unique_fd> most = co_await pool.run(open_many, 253U);
        CHECK(most.size() == 253);
        CHECK(::fcntl(most.back().get(), F_GETFD) == FD_CLOEXEC);
        std::string text;
        try {
            (void)co_await pool.run(open_many, 254U);
        } catch (const limit_error& error) {
            text = error.what();
        }
        CHECK_MESSAGE(text.find("254") != std::string::npos, text);
        const int after = co_await pool.run(own_pid);
        CHECK(after == pid);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: without room for a result's descriptors one call fails") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int pid = co_await pool.run(own_pid);
        const shm::event go;
        auto fails = pool.submit(open_when, go, 3U);
        auto beside = pool.submit(answer_when, go, in_buffer, 'a');
        co_await pool.run(nothing);
        {
            const few_descriptors full(1);
            go.set();
            CHECK_THROWS_AS(co_await fails, std::system_error);
        }
        const std::string got = co_await beside;
        CHECK((got == letters(in_buffer, 'a')));
        const int after = co_await pool.run(own_pid);
        CHECK(after == pid);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: a worker killed inside of its answer fails that call") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int pid = co_await pool.run(own_pid);
        const shm::event begun;
        auto dies = pool.submit(say_and_answer, begun, std::size_t{16'000'000});
        auto behind = pool.submit(square, 5L);
        while (!begun.is_set())
            co_await yield_now();  // it is told late, and much is read meanwhile
        CHECK(::kill(pid, SIGKILL) == 0);
        CHECK_THROWS_AS(co_await dies, worker_died);
        const long squared = co_await behind;
        CHECK(squared == 25);
    });
}

using both_kinds = std::tuple<unique_fd, shm::event, std::string>;

/// Its answer's header and the rest, with a descriptor, go in two calls; steps lie in between.
both_kinds give_both(int step) {
    if (step != 0) die_at(step);
    return {unique_fd(::dup(STDIN_FILENO)), shm::event(), letters(5'000, 'a')};
}

TEST_CASE_FIXTURE(pool_check, "pool messages: a worker killed at any step of an answer's way") {
    process_pool_options options(1);
    options.most_start_failures = 1000;
    with_pool(options, [](process_pool& pool) -> task<> {
        bool killed = true;
        int step = 0;
        while (killed && step < 1000) {
            killed = false;
            ++step;
            auto call = pool.submit(give_both, step);
            auto behind = pool.submit(answer_to, std::string("x"), std::size_t{5'000});
            try {
                const both_kinds got = co_await call;
                CHECK(::fcntl(std::get<0>(got).get(), F_GETFD) >= 0);
                CHECK(!std::get<1>(got).is_set());
                CHECK((std::get<2>(got) == letters(5'000, 'a')));
            } catch (const worker_died& error) {
                CHECK(error.signal() == SIGKILL);
                killed = true;
            }
            try {
                const std::string text = co_await behind;
                CHECK((text == answer_to("x", 5'000)));
            } catch (const worker_died& error) {  // the step was behind that answer's call
                CHECK(error.signal() == SIGKILL);
                killed = true;
            }
        }
        CHECK(step > 5);
        CHECK(!killed);
        CHECK_THROWS_AS(co_await pool.run(kill_self, SIGKILL), worker_died);  // ends die_at
    });
}

TEST_CASE_FIXTURE(pool_check, "pool messages: large arguments that wait lie in memory once") {
    with_pool(1, [](process_pool& pool) -> task<> {
        constexpr std::size_t size = std::size_t{16} << 20;
        const shm::event begun;
        const shm::event go;
        auto busy = pool.submit(stay, begun, go);
        co_await begun.wait();
        const std::size_t before = heap_bytes();
        auto large = pool.submit(answer_later, std::string(size, 'x'), 10);
        co_await until([&] { return pool.stats().running == 2; });
        co_await yield_now();  // what was sent is with the kernel, or waits for it
        CHECK(heap_bytes() - before < size + size / 2);
        go.set();
        co_await busy;
        const std::string answer = co_await large;
        CHECK(answer == letters(10, 'x'));
    });
}

TEST_CASE_FIXTURE(pool_check, "pool messages: calls that are done keep no arguments") {
    with_pool(2, [](process_pool& pool) -> task<> {
        constexpr int many = 8;
        const auto size_of = [](std::string text, unique_fd one) {
            return one ? text.size() : std::size_t{0};
        };
        const std::size_t open_before = open_descriptors().size();
        const std::size_t heap_before = heap_bytes();
        std::vector<pool_call<std::size_t>> done;
        for (int i = 0; i < many; ++i)
            done.push_back(
                pool.submit(size_of, std::string(large_size, 'x'), unique_fd(::dup(STDIN_FILENO))));
        for (auto& each : done) co_await each.wait();
        // What was sent to one worker and done by the other is still on its way.
        co_await until([&] { return open_descriptors().size() == open_before; });
        co_await until([&] { return heap_bytes() < heap_before + large_size; });
        for (auto& each : done) CHECK(each.take() == large_size);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: large arguments on their way go there though the call is gone") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto busy = pool.submit(stay, begun, go);
        co_await begun.wait();
        {
            std::vector<pool_call<std::string>> dropped;
            for (int i = 0; i < 3; ++i)
                dropped.push_back(pool.submit(answer_later, letters(large_size, 'b'), large_size));
            co_await until([&] { return pool.stats().running == 4; });
            co_await yield_now();  // the first has begun to go out, the others wait
            for (auto& each : dropped) CHECK(each.cancel());
        }
        auto kept = pool.submit(answer_later, letters(large_size, 'c'), large_size);
        go.set();
        co_await busy;
        const std::string answer = co_await kept;
        CHECK(answer == answer_to(letters(large_size, 'c'), large_size));
        CHECK(pool.stats().died == 0);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool messages: large arguments that a worker dies with go to the next") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        const int pid = co_await pool.run(own_pid);
        auto busy = pool.submit(stay, begun, go);
        co_await begun.wait();
        std::vector<pool_call<std::string>> behind;
        for (const char first : {'a', 'b', 'c'})
            behind.push_back(pool.submit(answer_later, letters(large_size, first), large_size));
        co_await until([&] { return pool.stats().running == 4; });
        co_await yield_now();
        (void)::kill(pid, SIGKILL);
        CHECK_THROWS_AS(co_await busy, worker_died);
        for (std::size_t i = 0; i < behind.size(); ++i) {
            const std::string answer = co_await behind[i];
            const std::string text = letters(large_size, static_cast<char>('a' + i));
            CHECK(answer == answer_to(text, large_size));
        }
        CHECK(pool.stats().died == 1);
    });
}

}  // namespace

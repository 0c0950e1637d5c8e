// Loops and threads that really run beside each other, with cancellations at random moments: what
// went in comes out, once, and in the order of who put it.
#include "leak_check.hpp"

#include <lariat/loop/call_on.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/sync/shared/channel.hpp>
#include <lariat/sync/shared/event.hpp>
#include <lariat/sync/shared/mutex.hpp>
#include <lariat/sync/shared/queue.hpp>
#include <lariat/sync/shared/semaphore.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/sleep.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;

int rounds() noexcept { return lariat::test::long_tests() ? 50'000 : 4'000; }

/// Runs body(random) as the main task of a loop in a thread of its own, once all have come.
template <class Body>
std::jthread in_loop(std::latch& start, std::uint64_t seed, Body body) {
    return std::jthread([&start, seed, body] {
        loop own;
        detail::random_source random(seed);
        start.arrive_and_wait();
        own.run(body(random));
    });
}
/// The same without a loop.
template <class Body>
std::jthread in_thread(std::latch& start, Body body) {
    return std::jthread([&start, body] {
        start.arrive_and_wait();
        body();
    });
}

/// Awaits verb() in a scope that another task cancels after some legs, or a timer after some
/// microseconds, or nobody. Returns what scope.run does: whether it ended, or an optional.
template <class Verb>
auto cut_at_random(detail::random_source& random, Verb verb)
    -> task<decltype(std::declval<cancel_scope&>().run(verb()).await_resume())> {
    cancel_scope scope;
    const std::size_t how = random.below(4);
    const std::size_t legs = random.below(4);
    auto cut_soon = [&scope, legs]() -> task<> {
        for (std::size_t left = legs; left > 0; --left) co_await yield_now();
        scope.cancel();
    };
    join_handle<> cutter;
    if (how == 0) cutter = spawn(cut_soon());
    if (how == 1) scope.expires_after(std::chrono::microseconds(random.below(60)));
    auto got = co_await scope.run(verb());
    if (cutter) co_await cutter;
    co_return got;
}

/// For as long as others may lose patience.
task<> linger(detail::random_source& random) {
    co_await sleep(std::chrono::microseconds(random.below(80)));
}

/// An item: who put it, and as which of its own.
struct parcel {
    parcel(std::size_t who, int which) noexcept : from(who), number(which) {}
    std::size_t from;
    int number;
};

/// What one taker saw: of each giver the numbers must rise.
struct takings {
    std::array<int, 4> last{-1, -1, -1, -1};
    std::array<std::int64_t, 4> sum{};
    std::int64_t count = 0;
    bool in_order = true;

    void add(const parcel& item) {
        if (item.number <= last[item.from]) in_order = false;
        last[item.from] = item.number;
        sum[item.from] += item.number;
        ++count;
    }
};

task<> give_all(shared::queue<std::unique_ptr<parcel>>& to, detail::random_source& random,
                std::size_t from) {
    for (int i = 0; i < rounds(); ++i) {
        auto verb = [&to, from, i] { return to.put(std::make_unique<parcel>(from, i)); };
        bool put = false;
        while (!put) put = co_await cut_at_random(random, verb);
    }
}

task<> take_all(shared::queue<std::unique_ptr<parcel>>& from, detail::random_source& random,
                takings& seen) {
    bool open = true;
    auto verb = [&] { return from.get(); };
    while (open) {
        auto got = co_await cut_at_random(random, verb);
        if (!got) continue;
        open = got->has_value();
        if (open) seen.add(***got);
        if (open) from.task_done();
    }
}

TEST_CASE("shared, threads: a queue under cancellation loses no item and doubles none") {
    for (const std::size_t max : {0U, 1U, 5U}) {
        const leak_check leaks;
        shared::queue<std::unique_ptr<parcel>> q(max);
        std::array<takings, 3> seen;
        std::latch start(5);
        {
            std::jthread one_taker = in_loop(start, 11, [&](detail::random_source& random) {
                return take_all(q, random, seen[0]);
            });
            std::jthread both = in_loop(start, 12, [&](detail::random_source& random) -> task<> {
                auto giving = spawn(give_all(q, random, 0));
                auto taking = spawn(take_all(q, random, seen[1]));
                co_await giving;
                co_await taking;
            });
            std::jthread thread_taker = in_thread(start, [&] {
                for (bool open = true; open;) {
                    auto got = q.get_blocking(20us);
                    open = got.error() != errc::closed;
                    if (!got) continue;
                    seen[2].add(**got);
                    q.task_done();
                }
            });
            std::jthread thread_giver = in_thread(start, [&] {
                for (int i = 0; i < rounds(); ++i) {
                    auto item = std::make_unique<parcel>(std::size_t{1}, i);
                    while (!q.put_blocking(std::move(item), 20us)) {
                    }
                }
            });
            std::jthread loop_giver = in_loop(
                start, 13, [&](detail::random_source& random) { return give_all(q, random, 2); });
            thread_giver.join();
            loop_giver.join();
            std::jthread closer([&] {
                while (q.stats().put != 3U * static_cast<std::uint64_t>(rounds()))
                    std::this_thread::yield();
                q.join_blocking();
                q.close();
            });
        }
        const std::int64_t n = rounds();
        for (std::size_t from = 0; from < 3; ++from) {
            std::int64_t sum = 0;
            for (const takings& some : seen) sum += some.sum[from];
            CHECK(sum == n * (n - 1) / 2);
        }
        CHECK(seen[0].count + seen[1].count + seen[2].count == 3 * n);
        for (const takings& some : seen) CHECK(some.in_order);
        CHECK(q.empty());
    }
}

TEST_CASE("shared, threads: a channel without capacity gives each value to one receiver") {
    const leak_check leaks;
    shared::channel<parcel> c;
    std::array<takings, 2> seen;
    std::atomic<int> senders{2};
    std::latch start(4);
    {
        std::jthread receiver = in_loop(start, 21, [&](detail::random_source& random) -> task<> {
            bool open = true;
            auto verb = [&] { return c.receive(); };
            while (open) {
                const auto got = co_await cut_at_random(random, verb);
                if (!got) continue;
                open = got->has_value();
                if (open) seen[0].add(**got);
            }
        });
        std::jthread thread_receiver = in_thread(start, [&] {
            for (bool open = true; open;) {
                const auto got = c.receive_blocking(20us);
                open = got.error() != errc::closed;
                if (got) seen[1].add(*got);
            }
        });
        std::jthread sender = in_loop(start, 22, [&](detail::random_source& random) -> task<> {
            for (int i = 0; i < rounds(); ++i) {
                auto verb = [&] { return c.send(parcel(0, i)); };
                bool sent = false;
                while (!sent) sent = co_await cut_at_random(random, verb);
            }
            if (--senders == 0) c.close();
        });
        std::jthread thread_sender = in_thread(start, [&] {
            for (int i = 0; i < rounds(); ++i) {
                while (!c.send_blocking(parcel(1, i), 20us)) {
                }
            }
            if (--senders == 0) c.close();
        });
    }
    const std::int64_t n = rounds();
    for (std::size_t from = 0; from < 2; ++from)
        CHECK(seen[0].sum[from] + seen[1].sum[from] == n * (n - 1) / 2);
    CHECK(seen[0].count + seen[1].count == 2 * n);
    for (const takings& some : seen) CHECK(some.in_order);
}

TEST_CASE("shared, threads: a mutex lets one in at a time, whoever gives up the wait") {
    const leak_check leaks;
    shared::mutex m;
    std::int64_t guarded = 0;  // no atomic: the mutex is what keeps it whole
    std::atomic<std::int64_t> entered{0};
    std::atomic<int> given_up{0};
    std::latch start(4);
    const auto visits = [&](detail::random_source& random) -> task<> {
        for (int i = 0; i < rounds(); ++i) {
            auto verb = [&] { return m.lock(); };
            auto guard = co_await cut_at_random(random, verb);
            if (!guard) {
                given_up.fetch_add(1);
                continue;
            }
            const std::int64_t before = guarded;
            if (random.below(8) == 0) co_await linger(random);
            guarded = before + 1;
            entered.fetch_add(1);
        }
    };
    {
        std::jthread one = in_loop(start, 31, visits);
        std::jthread two = in_loop(start, 32, visits);
        std::jthread three = in_thread(start, [&] {
            for (int i = 0; i < rounds(); ++i) {
                auto guard = m.lock_blocking(std::chrono::microseconds(i % 30));
                if (!guard) continue;
                ++guarded;
                entered.fetch_add(1);
            }
        });
        std::jthread four = in_thread(start, [&] {
            for (int i = 0; i < rounds(); ++i) {
                auto guard = m.lock_blocking();
                ++guarded;
                entered.fetch_add(1);
            }
        });
    }
    CHECK(guarded == entered.load());
    CHECK(guarded >= rounds());
    CHECK(given_up.load() > 0);
    CHECK_FALSE(m.locked());
}

TEST_CASE("shared, threads: a semaphore's permits add up, whoever gives up the wait") {
    const leak_check leaks;
    constexpr std::size_t permits = 2;
    shared::semaphore s(permits);
    std::atomic<int> given_up{0};
    std::latch start(4);
    const auto visits = [&](detail::random_source& random) -> task<> {
        for (int i = 0; i < rounds(); ++i) {
            auto verb = [&] { return s.scoped_acquire(); };
            auto permit = co_await cut_at_random(random, verb);
            if (!permit) given_up.fetch_add(1);
            if (permit && random.below(4) == 0) co_await linger(random);
        }
    };
    {
        std::jthread one = in_loop(start, 41, visits);
        std::jthread two = in_loop(start, 42, visits);
        std::jthread three = in_loop(start, 43, visits);
        std::jthread four = in_thread(start, [&] {
            for (int i = 0; i < rounds(); ++i) {
                auto permit = s.scoped_acquire_blocking(std::chrono::microseconds(i % 30));
                if (permit) permit.unlock();
            }
        });
    }
    CHECK(given_up.load() > 0);
    CHECK(s.available() == permits);
    for (std::size_t i = 0; i < permits; ++i) CHECK(s.try_acquire());
    CHECK_FALSE(s.try_acquire());
}

TEST_CASE("shared, threads: events bring each round to its end, on loops and threads") {
    const leak_check leaks;
    const int last = rounds();
    std::array<shared::event, 2> go;
    std::atomic<int> round{0};
    std::latch start(2);
    {
        std::jthread loop_side = in_loop(start, 51, [&](detail::random_source& random) -> task<> {
            auto verb = [&] { return go[0].wait(); };
            while (round.load() < last) {
                bool woken = false;
                while (!woken) woken = co_await cut_at_random(random, verb);
                go[0].clear();
                ++round;
                go[1].set();
            }
        });
        std::jthread thread_side = in_thread(start, [&] {
            while (round.load() < last) {
                go[0].set();
                while (!go[1].wait_blocking(30us)) {
                }
                go[1].clear();
            }
            go[0].set();
        });
    }
    CHECK(round.load() >= last);
}

TEST_CASE("shared, threads: loops that call each other, cancelled at random, all come home") {
    const leak_check leaks;
    constexpr std::size_t count = 3;
    std::array<std::atomic<loop*>, count> all{};
    std::latch start(count);
    std::atomic<std::size_t> ready{0};
    std::atomic<std::size_t> done{0};
    shared::event may_call;
    shared::event may_end;
    std::atomic<int> wrong{0};
    std::atomic<int> returned{0};
    const auto callers = [&](std::size_t own) {
        return [&, own](detail::random_source& random) -> task<> {
            all[own] = &loop::current();
            if (ready.fetch_add(1) + 1 == count) may_call.set();
            co_await may_call.wait();
            for (int i = 0; i < rounds() / 4; ++i) {
                loop& there = *all[random.below(count)].load();
                const bool long_way = random.coin();
                auto work = [i, long_way]() -> task<int> {
                    if (long_way) co_await yield_now();
                    co_return i;
                };
                auto verb = [&] { return call_on(there, work); };
                const std::optional<int> got = co_await cut_at_random(random, verb);
                if (!got) continue;
                returned.fetch_add(1);
                if (*got != i) wrong.fetch_add(1);
            }
            if (done.fetch_add(1) + 1 == count) may_end.set();
            co_await may_end.wait();
        };
    };
    {
        std::jthread one = in_loop(start, 61, callers(0));
        std::jthread two = in_loop(start, 62, callers(1));
        std::jthread three = in_loop(start, 63, callers(2));
    }
    CHECK(wrong.load() == 0);
    CHECK(returned.load() > 0);
}

}  // namespace

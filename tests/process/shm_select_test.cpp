#include "killed.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/owner_died.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/shm/queue.hpp>
#include <lariat/process/shm/rw_mutex.hpp>
#include <lariat/process/shm/semaphore.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/sync/select.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;

static_assert(detail::late_arm<shm::queue<int>::get_wait>);
static_assert(detail::late_arm<shm::queue<std::string>::put_wait>);
static_assert(detail::late_arm<shm::event::awaiter>);
static_assert(!detail::late_arm<queue<int>::get_wait>);
using mixed = std::variant<std::optional<int>, std::monostate, guard<detail::mutex_body>>;
static_assert(std::is_same_v<
              await_result<decltype(select(
                  std::declval<shm::queue<int>::get_wait>(), std::declval<shm::event::awaiter>(),
                  std::declval<decltype(std::declval<shm::mutex>().lock())>()))>,
              select_result<mixed>>);

// What children run.
void put_one(shm::queue<int> to, int item) { to.put_blocking(item); }
task<> take_from_either(shm::queue<int> a, shm::queue<int> b, shm::queue<int> taken,
                        shm::event stop) {
    for (;;) {
        const auto got = co_await select(a.get(), b.get(), stop.wait());
        if (got.index == 2) co_return;
        const auto item = got.index == 0 ? std::get<0>(got.value) : std::get<1>(got.value);
        co_await taken.put(item.value());
    }
}
void die_with(shm::mutex lock, shm::event held) {
    const auto guard = lock.lock_blocking();
    held.set();
    for (;;) ::pause();
}
void hold_until(shm::mutex lock, shm::event held, shm::event let_go) {
    const auto guard = lock.lock_blocking();
    held.set();
    let_go.wait_blocking();
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: what is there fires without a turn") {
    shm::queue<int> a(4);
    shm::queue<int> b(4);
    const shm::event stop;
    b.put_nowait(5);
    run([&]() -> task<> {
        const std::uint64_t legs = loop::current().stats().legs;
        const auto got = co_await select(a.get(), b.get(), stop.wait());
        CHECK(got.index == 1);
        CHECK(std::get<1>(got.value) == 5);
        a.put_nowait(6);
        stop.set();
        const auto also = try_select(a.get(), b.get());
        REQUIRE(also);
        CHECK(also->index == 0);
        CHECK(also->value == 6);
        CHECK_FALSE(try_select(a.get(), b.get()));
        const auto stopped = co_await select(a.get(), b.get(), stop.wait());
        CHECK(stopped.index == 2);
        CHECK(loop::current().stats().legs == legs);
    }());
}

TEST_CASE_FIXTURE(family_check,
                  "select, shared memory: another process ends it, and nothing else is taken") {
    shm::queue<int> a(4);
    shm::queue<int> b(4);
    const shm::event stop;
    process putter;
    run([&]() -> task<> {
        putter = process::start(put_one, b, 7);
        const auto got = co_await timeout(10s, select(a.get(), b.get(), stop.wait(), after(1h)));
        CHECK(got.index == 1);
        CHECK(std::get<1>(got.value) == 7);
        CHECK((co_await putter.join()).exit_code() == 0);
        CHECK(a.try_put(8));
        CHECK(b.try_put(9));
        co_await sleep(2ms);  // were an arm left in the kernel, it would take one now
        CHECK(a.size() == 1);
        CHECK(b.size() == 1);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: with queues and times of this loop") {
    shm::queue<int> far(4);
    queue<int> near;
    run([&]() -> task<> {
        auto selecting = [&](duration at_most) -> task<std::size_t> {
            const auto got = co_await select(far.get(), near.get(), after(at_most));
            co_return got.index;
        };
        CHECK(co_await selecting(1ms) == 2);
        auto first = spawn(selecting(1h));
        co_await yield_now();
        near.put_nowait(1);
        far.put_nowait(2);  // too late for that select: its other arms may only leave now
        CHECK(co_await timeout(10s, std::move(first)) == 1);
        CHECK(near.empty());
        CHECK(far.size() == 1);
        CHECK(co_await selecting(1h) == 0);
        auto second = spawn(selecting(1h));
        co_await sleep(1ms);
        far.put_nowait(3);
        CHECK(co_await timeout(10s, std::move(second)) == 0);
        near.put_nowait(4);
        CHECK(near.size() == 1);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: of several waiters each wake wakes one") {
    shm::queue<int> a(4);
    shm::queue<int> b(4);
    int taken = 0;
    run([&]() -> task<> {
        auto take_one = [&]() -> task<> {
            const auto got = co_await select(a.get(), b.get());
            CHECK(got.value.has_value());
            ++taken;
        };
        std::vector<join_handle<>> takers;
        for (int i = 0; i < 8; ++i) takers.push_back(spawn(take_one()));
        co_await sleep(1ms);
        for (int i = 0; i < 4; ++i) {
            CHECK(a.try_put(i));
            CHECK(b.try_put(i));
        }
        for (auto& each : takers) co_await timeout(10s, std::move(each));
        CHECK(taken == 8);
        CHECK(a.empty());
        CHECK(b.empty());
    }());
}

TEST_CASE_FIXTURE(family_check,
                  "select, shared memory: cancelled it took nothing, also of a wake") {
    shm::queue<int> line(4);
    const shm::event never;
    run([&]() -> task<> {
        auto take = [&]() -> task<std::size_t> {
            co_return (co_await select(never.wait(), line.get())).index;
        };
        for (int i = 0; i < 100; ++i) {
            auto first = spawn(take());
            auto second = spawn(take());
            co_await sleep(50us);
            CHECK(line.try_put(i));  // wakes one of the two
            first.cancel();
            auto ended = co_await timeout(10s, settled(std::move(first)));
            if (ended.is_cancelled()) {
                CHECK(co_await timeout(10s, std::move(second)) == 1);
            } else {
                CHECK(std::move(ended).value() == 1);
                second.cancel();
                CHECK((co_await timeout(10s, settled(std::move(second)))).is_cancelled());
            }
            CHECK(line.empty());
        }
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: out of time it is out of every line") {
    shm::queue<int> full(1);
    full.put_nowait(0);
    shm::semaphore none(0);
    shm::rw_mutex table;
    run([&]() -> task<> {
        auto reading = co_await table.lock_shared();
        const auto late =
            co_await nothrow(timeout(1ms, select(full.put(1), none.acquire(), table.lock())));
        CHECK(late.error() == errc::timed_out);
        // Nor does its writer hold readers up.
        CHECK(table.try_lock_shared());
        CHECK(full.get_nowait() == 0);
        CHECK(full.empty());
        none.release();
        CHECK(none.available() == 1);
    }());
}

TEST_CASE_FIXTURE(family_check, "try_select, shared memory: a cut before it is not its own") {
    shm::queue<int> line(1);
    const shm::event never;
    run([&]() -> task<> {
        const auto late = co_await nothrow(timeout(1ms, never.wait()));
        CHECK(late.error() == errc::timed_out);
        line.put_nowait(3);
        const auto got = try_select(line.get());
        REQUIRE(got);
        CHECK(got->value == 3);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: a lock that another process held") {
    const shm::mutex lock;
    const shm::event held;
    const shm::event let_go;
    process holder = process::start(hold_until, lock, held, let_go);
    held.wait_blocking();
    run([&]() -> task<> {
        CHECK_FALSE(try_select(lock.lock()));
        const auto not_yet = co_await select(lock.lock(), after(1ms));
        CHECK(not_yet.index == 1);
        let_go.set();
        {
            const auto got = co_await timeout(10s, select(lock.lock(), after(1h)));
            CHECK(got.index == 0);
            CHECK_FALSE(lock.try_lock());
        }
        CHECK(lock.try_lock());
        CHECK((co_await holder.join()).exit_code() == 0);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: an arm that was told of a death, again") {
    const shm::mutex lock;
    const shm::event held;
    process holder = process::start(die_with, lock, held);
    held.wait_blocking();
    run([&]() -> task<> {
        auto locking = lock.lock();
        auto waiting = spawn([&]() -> task<> { (void)co_await select(locking, after(1h)); });
        co_await yield_now();
        holder.kill();
        CHECK_THROWS_AS(co_await timeout(10s, std::move(waiting)), owner_died);
        {
            auto repair = co_await lock.lock_to_repair();
            repair.make_consistent();
        }
        const auto got = co_await timeout(10s, select(locking, after(1h)));
        CHECK(got.index == 0);
        CHECK((co_await holder.join()).exit_code() == -SIGKILL);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: its error is that of the arm that fired") {
    shm::queue<int> closing(1);
    closing.put_nowait(1);
    shm::semaphore none(0);
    run([&]() -> task<> {
        auto putting =
            spawn([&]() -> task<> { (void)co_await select(none.acquire(), closing.put(2)); });
        co_await sleep(1ms);
        closing.close();
        CHECK_THROWS_AS(co_await timeout(10s, std::move(putting)), closed_error);
    }());
}

TEST_CASE_FIXTURE(family_check, "select, shared memory: arms that are named are used again") {
    shm::queue<int> from(1);
    shm::queue<int> to(1);
    to.put_nowait(0);
    run([&]() -> task<> {
        auto sending = to.put(1);
        const auto timed_out = co_await select(sending, after(1ms));
        CHECK(timed_out.index == 1);
        const auto again = co_await select(sending, after(1ms));
        CHECK(again.index == 1);
        CHECK(to.get_nowait() == 0);
        const auto sent = co_await select(sending, after(1h));
        CHECK(sent.index == 0);
        CHECK(to.get_nowait() == 1);

        std::vector<shm::queue<int>::get_wait> arms;
        arms.push_back(from.get());
        arms.push_back(to.get());
        for (int i = 0; i < 10; ++i) {
            auto taking = spawn([&]() -> task<select_result<std::optional<int>>> {
                co_return co_await select(std::span(arms));
            });
            co_await yield_now();
            CHECK((i % 2 == 0 ? from : to).try_put(i));
            const auto got = co_await timeout(10s, std::move(taking));
            CHECK(got.index == static_cast<std::size_t>(i % 2));
            CHECK(got.value == i);
        }
    }());
}

TEST_CASE_FIXTURE(family_check,
                  "select, shared memory: over processes every item comes once, whoever is cut") {
    constexpr int items = 400;
    shm::queue<int> a(3);
    shm::queue<int> b(3);
    shm::queue<int> taken(items);
    const shm::event stop;
    std::vector<process> others;
    for (int i = 0; i < 2; ++i)
        others.push_back(process::start(take_from_either, a, b, taken, stop));
    std::vector<int> seen(items, 0);
    run([&]() -> task<> {
        std::mt19937 random(7);
        auto put_all = [&]() -> task<> {
            for (int i = 0; i < items; ++i) {
                auto one = a.put(i);
                auto other = b.put(i);
                if (random() % 2 == 0)
                    co_await timeout(10s, select(one, other));
                else
                    co_await timeout(10s, select(other, one));
            }
        };
        // Others here, which are cut all the time, and hand in what they got.
        auto take_and_be_cut = [&]() -> task<> {
            while (!stop.is_set()) {
                auto got = co_await nothrow(
                    timeout(std::chrono::microseconds(random() % 200), select(a.get(), b.get())));
                if (got && got->value) co_await taken.put(*got->value);
            }
        };
        auto count_all = [&]() -> task<> {
            for (int i = 0; i < items; ++i) {
                const auto item = co_await timeout(20s, taken.get());
                ++seen.at(static_cast<std::size_t>(item.value()));
            }
            stop.set();
        };
        co_await gather(put_all(), take_and_be_cut(), take_and_be_cut(), count_all());
        for (process& each : others) CHECK((co_await timeout(10s, each.join())).exit_code() == 0);
    }());
    for (const int times : seen) CHECK(times == 1);
    CHECK(a.empty());
    CHECK(b.empty());
    CHECK(taken.empty());
}

}  // namespace

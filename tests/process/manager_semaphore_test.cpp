// A manager's semaphores that have a bound.
#include <lariat/process/managed_bounded_semaphore.hpp>

#include "manager_support.hpp"

#include <lariat/task/spawn.hpp>

#include <csignal>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;

/// Whether a release is refused, by a semaphore of so many.
task<bool> is_refused(managed_bounded_semaphore permits, std::size_t limit) {
    std::string text;
    try {
        co_await permits.release();
    } catch (const released_too_often& error) {
        text = error.what();
    }
    if (text.empty()) co_return false;
    CHECK(text == released_too_often(1, 0, limit).what());
    co_return true;
}

TEST_CASE_FIXTURE(manager_check, "manager bounded_semaphore: a release too many is refused") {
    with_manager([](manager& m) -> task<> {
        auto permits = co_await m.make<managed_bounded_semaphore>(2);
        bool refused = co_await is_refused(permits, 2);
        CHECK(refused);
        co_await permits.acquire();
        {
            auto one = co_await permits.scoped_acquire();
            CHECK(one);
            const bool taken = co_await permits.try_acquire();
            CHECK(!taken);
            CHECK_THROWS_AS(co_await timeout(2ms, permits.acquire()), timeout_error);
        }
        co_await permits.release();
        refused = co_await is_refused(permits, 2);
        CHECK(refused);
        std::size_t number = co_await permits.available();
        CHECK(number == 2);
        number = co_await permits.limit();
        CHECK(number == 2);
        auto guard = co_await permits.scoped_acquire();
        co_await permits.release();
        guard.unlock();  // refused, and nobody waits to hear it
        number = co_await permits.available();
        CHECK(number == 2);
        CHECK_THROWS_AS((void)co_await m.make<managed_bounded_semaphore>(-1),
                        std::invalid_argument);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager bounded_semaphore: first come, first served, whoever is cut meanwhile") {
    with_manager([](manager& m) -> task<> {
        auto permits = co_await m.make<managed_bounded_semaphore>(1);
        std::vector<int> order;
        auto use = [](managed_bounded_semaphore which, std::vector<int>& into, int i) -> task<> {
            auto permit = co_await which.scoped_acquire();
            into.push_back(i);
        };
        auto held = co_await permits.scoped_acquire();
        auto first = spawn(use(permits, order, 1));
        auto second = spawn(use(permits, order, 2));
        auto third = spawn(use(permits, order, 3));
        (void)co_await permits.available();
        second.cancel();
        CHECK_THROWS_AS(co_await second, task_cancelled);
        held.unlock();
        co_await first;
        co_await third;
        CHECK(order == std::vector{1, 3});
        for (int i = 0; i < 50; ++i) {
            auto now = co_await permits.scoped_acquire();
            auto cut = spawn(use(permits, order, -1));
            auto next = spawn(use(permits, order, i));
            (void)co_await permits.available();
            now.unlock();
            cut.cancel();
            (void)co_await settled(std::move(cut));
            co_await next;
            CHECK(order.back() == i);
        }
        const std::size_t free = co_await permits.available();
        CHECK(free == 1);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager bounded_semaphore: what a hanging manager gives too late comes back") {
    with_manager([](manager& m) -> task<> {
        auto permits = co_await m.make<managed_bounded_semaphore>(2);
        auto acquire = [](managed_bounded_semaphore from) -> task<> {
            CHECK_THROWS_AS(co_await timeout(5ms, from.acquire()), timeout_error);
        };
        auto try_acquire = [](managed_bounded_semaphore from) -> task<> {
            CHECK_THROWS_AS((void)co_await timeout(5ms, from.try_acquire()), timeout_error);
        };
        ::kill(m.pid(), SIGSTOP);
        co_await gather(acquire(permits), try_acquire(permits));
        ::kill(m.pid(), SIGCONT);
        auto one = co_await timeout(10s, permits.scoped_acquire());
        auto two = co_await timeout(10s, permits.scoped_acquire());
        const std::size_t free = co_await permits.available();
        CHECK(free == 0);
    });
}

task<> keep_permits_until_killed(managed_bounded_semaphore permits, shm::event taken, int count) {
    for (int i = 0; i < count; ++i) co_await permits.acquire();
    taken.set();
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(manager_check,
                  "manager bounded_semaphore: what a killed process took comes back") {
    with_manager([](manager& m) -> task<> {
        auto permits = co_await m.make<managed_bounded_semaphore>(3);
        const shm::event taken;
        process child = process::start(keep_permits_until_killed, permits, taken, 2);
        co_await taken.wait();
        auto third = co_await permits.scoped_acquire();
        bool there = co_await permits.try_acquire();
        CHECK(!there);
        child.kill();
        auto first = co_await timeout(10s, permits.scoped_acquire());
        auto second = co_await timeout(10s, permits.scoped_acquire());
        there = co_await permits.try_acquire();
        CHECK(!there);
        (void)co_await child.join();
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager bounded_semaphore: what others released comes back once") {
    with_manager([](manager& m) -> task<> {
        auto permits = co_await m.make<managed_bounded_semaphore>(2);
        auto marker = co_await m.make<managed_mutex>();
        const shm::event taken;
        auto keep = [](managed_bounded_semaphore from, managed_mutex mark,
                       shm::event told) -> task<> {
            auto guard = co_await mark.lock();
            co_await keep_permits_until_killed(from, told, 2);
        };
        process child = process::start(keep, permits, marker, taken);
        co_await taken.wait();
        co_await permits.release();
        auto mine = co_await permits.scoped_acquire();  // while the child has one of two
        child.kill();
        auto guard = co_await timeout(10s, marker.lock());  // the manager is about to see its end
        (void)co_await child.join();
        auto other = co_await timeout(10s, permits.scoped_acquire());
        const bool there = co_await permits.try_acquire();
        CHECK(!there);
        mine.unlock();
        other.unlock();
        const bool refused = co_await is_refused(permits, 2);
        CHECK(refused);
        const std::size_t free = co_await permits.available();
        CHECK(free == 2);
    });
}

}  // namespace

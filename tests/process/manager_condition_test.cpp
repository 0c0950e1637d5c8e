#include <lariat/process/managed_condition.hpp>

#include "manager_support.hpp"

#include <lariat/task/spawn.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;

/// A manager's lock and condition.
struct place {
    place(managed_mutex its_lock, managed_condition its_change) noexcept
        : lock(std::move(its_lock)), changed(std::move(its_change)) {}

    managed_mutex lock;
    managed_condition changed;
};

task<place> make_place(manager& m) {
    auto lock = co_await m.make<managed_mutex>();
    auto changed = co_await m.make<managed_condition>();
    co_return place(std::move(lock), std::move(changed));
}

/// Says when it has the lock for the first time, and its number when it was notified.
task<> wait_once(place at, event& has_lock, std::vector<int>& order, int number) {
    auto guard = co_await at.lock.lock();
    has_lock.set();
    co_await at.changed.wait(guard);
    CHECK(guard);
    order.push_back(number);
}

/// Spawns it, and returns when it waits: who holds its lock gives that up by waiting only.
task<join_handle<>> spawn_waiter(place at, std::vector<int>& order, int number) {
    event has_lock;
    auto handle = spawn(wait_once(at, has_lock, order, number));
    co_await has_lock.wait();
    auto guard = co_await at.lock.lock();
    co_return handle;
}

TEST_CASE_FIXTURE(manager_check, "manager condition: who is notified holds the lock again") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        std::vector<int> order;
        auto waiting = co_await spawn_waiter(at, order, 1);
        {
            auto guard = co_await at.lock.lock();
            co_await at.changed.notify();
            (void)co_await at.lock.locked();
            CHECK(!waiting.done());  // the lock is this task's
        }
        co_await waiting;
        CHECK(order == std::vector<int>{1});
        auto guard = co_await at.lock.try_lock();
        CHECK(guard);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: so many as are asked for, in their order") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        std::vector<int> order;
        std::vector<join_handle<>> all;
        for (int i = 0; i < 5; ++i) {
            auto one = co_await spawn_waiter(at, order, i);
            all.push_back(std::move(one));
        }
        co_await at.changed.notify();
        co_await all[0];
        CHECK(order == std::vector<int>{0});
        co_await at.changed.notify(2);
        co_await all[1];
        co_await all[2];
        CHECK(order == std::vector<int>{0, 1, 2});
        co_await at.changed.notify(0);
        CHECK(!all[3].done());
        co_await at.changed.notify_all();
        co_await all[3];
        co_await all[4];
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
        co_await at.changed.notify();  // nobody waits, nothing is kept
        auto guard = co_await at.lock.lock();
        CHECK_THROWS_AS(co_await timeout(2ms, at.changed.wait(guard)), timeout_error);
        CHECK_THROWS_AS(co_await at.changed.notify(-1), std::invalid_argument);
    });
}

using shelf = managed_list<int>;

task<> take_ten(place at, shelf from, shelf into) {
    for (int i = 0; i < 10; ++i) {
        auto guard = co_await at.lock.lock();
        std::optional<int> item;
        // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): the wait keeps it
        co_await at.changed.wait(guard, [&]() -> task<bool> {
            item = co_await from.pop_front();
            co_return item.has_value();
        });
        co_await into.push_back(*item);
    }
}

task<> put_ten(place at, shelf into, int first) {
    for (int i = 0; i < 10; ++i) {
        auto guard = co_await at.lock.lock();
        co_await into.push_back(first + i);
        co_await at.changed.notify();
    }
}

TEST_CASE_FIXTURE(manager_check, "manager condition: makers and takers of several processes") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        auto there = co_await m.make<shelf>();
        auto taken = co_await m.make<shelf>();
        const auto take = [](managed_mutex lock, managed_condition changed, shelf from,
                             shelf into) -> task<> {
            co_await take_ten(place(lock, changed), from, into);
        };
        const auto put = [](managed_mutex lock, managed_condition changed, shelf into,
                            int first) -> task<> {
            co_await put_ten(place(lock, changed), into, first);
        };
        auto one = joined(process::start(take, at.lock, at.changed, there, taken));
        auto two = joined(process::start(take, at.lock, at.changed, there, taken));
        auto three = joined(process::start(put, at.lock, at.changed, there, 100));
        auto four = joined(process::start(put, at.lock, at.changed, there, 200));
        co_await gather(std::move(one), std::move(two), std::move(three), std::move(four));
        const std::size_t left = co_await there.size();
        CHECK(left == 0);
        const std::vector<int> all = co_await taken.items();
        int sum = 0;
        for (const int each : all) sum += each;
        CHECK(all.size() == 20);
        CHECK(sum == 3090);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: a predicate is asked under the lock") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        bool ready = false;
        int asked = 0;
        auto guard = co_await at.lock.lock();
        auto tell = [](place where, bool& what) -> task<> {
            {
                auto its_guard = co_await where.lock.lock();
                co_await where.changed.notify();  // there is nothing new
            }
            auto its_guard = co_await where.lock.lock();
            what = true;
            co_await where.changed.notify();
        };
        auto telling = spawn(tell(at, ready));
        co_await at.changed.wait(guard, [&] {
            ++asked;
            return ready;
        });
        CHECK(guard);
        CHECK(asked >= 2);
        co_await telling;
        co_await at.changed.wait(guard, [] { return true; });
        CHECK_THROWS_AS(
            co_await at.changed.wait(guard, []() -> bool { throw std::out_of_range("none"); }),
            std::out_of_range);
        auto other = co_await at.lock.try_lock();
        CHECK(!other);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: one who is cut holds the lock again") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        auto guard = co_await at.lock.lock();
        CHECK_THROWS_AS(co_await timeout(2ms, at.changed.wait(guard)), timeout_error);
        CHECK(guard);
        auto other = co_await at.lock.try_lock();
        CHECK(!other);
        guard.unlock();
        std::vector<int> order;  // who was cut is in nobody's way
        auto waiting = co_await spawn_waiter(at, order, 1);
        co_await at.changed.notify();
        co_await waiting;
        CHECK(order == std::vector<int>{1});
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: one who is cut waits for the lock's holder") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        bool waited = false;
        for (int tries = 0; tries < 10 && !waited; ++tries) {
            std::vector<int> order;
            auto waiting = co_await spawn_waiter(at, order, 1);
            auto guard = co_await at.lock.lock();
            waiting.cancel();
            co_await sleep(1100ms);  // longer than others wait for the manager's word
            waited = !waiting.done();
            guard.unlock();
            try {
                co_await waiting;
                FAIL_CHECK("it was not cut");
            } catch (const task_cancelled&) {
                CHECK(waited);
            } catch (const manager_silent&) {  // the manager's core stood still for so long
                CHECK(!waited);
            }
            CHECK(order.empty());
            guard = co_await at.lock.lock();
            CHECK(guard);
        }
        CHECK(waited);
    });
}

/// So that a test that fails ends.
task<> go_on_at_last(int pid) {
    co_await sleep(3s);
    ::kill(pid, SIGCONT);
}

TEST_CASE_FIXTURE(manager_check, "manager condition: one who is cut while the manager hangs") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        auto guard = co_await at.lock.lock();
        ::kill(m.pid(), SIGSTOP);
        auto in_any_case = spawn(go_on_at_last(m.pid()));
        tick_count time;
        int silent = 0;
        try {
            co_await timeout(5ms, at.changed.wait(guard));
        } catch (const manager_silent& error) {
            silent = error.pid();
        }
        CHECK(silent == m.pid());
        CHECK(time.ticks() < 90);
        co_await time.stop();
        CHECK(!guard);
        in_any_case.cancel();
        (void)co_await settled(std::move(in_any_case));
        ::kill(m.pid(), SIGCONT);
        guard = co_await at.lock.lock();  // it was given back
        CHECK(guard);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: cut, and then the manager is killed") {
    run([]() -> task<> {
        bool died = false;
        for (int tries = 0; tries < 10 && !died; ++tries) {
            manager m = manager::start();
            place at = co_await make_place(m);
            auto guard = co_await at.lock.lock();
            ::kill(m.pid(), SIGSTOP);
            auto kill_it = [](int pid) -> task<> {
                co_await sleep(50ms);  // so that the wait was cut before, unless all is very slow
                ::kill(pid, SIGKILL);
            };
            auto killing = spawn(kill_it(m.pid()));
            try {
                co_await timeout(5ms, at.changed.wait(guard));
                FAIL_CHECK("it was not cut");
            } catch (const manager_died&) {
                died = true;
            } catch (const manager_silent&) {  // its core stood still, and it was not gone in time
                died = false;
            }
            CHECK(!guard);
            co_await killing;
        }
        CHECK(died);
    }());
}

TEST_CASE_FIXTURE(manager_check, "manager condition: a notify that comes too late is given on") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        std::vector<int> order;
        auto first = co_await spawn_waiter(at, order, 1);
        auto second = co_await spawn_waiter(at, order, 2);
        ::kill(m.pid(), SIGSTOP);
        auto notify = [](managed_condition which) -> task<> { co_await which.notify(); };
        auto notifying = spawn(notify(at.changed));
        co_await yield_now();
        first.cancel();
        CHECK_THROWS_AS(co_await first, manager_silent);
        ::kill(m.pid(), SIGCONT);
        co_await notifying;
        co_await timeout(10s, std::move(second));
        CHECK(order == std::vector<int>{2});
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: it goes with one mutex") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        auto guard = co_await at.lock.lock();
        CHECK_THROWS_AS(co_await timeout(2ms, at.changed.wait(guard)), timeout_error);

        auto second = co_await m.make<managed_mutex>();
        auto of_second = co_await second.lock();
        CHECK_THROWS_AS(co_await at.changed.wait(of_second), std::invalid_argument);
        CHECK(of_second);
        bool locked = co_await second.locked();
        CHECK(locked);

        auto permits = co_await m.make<managed_semaphore>(1);
        auto permit = co_await permits.scoped_acquire();
        CHECK_THROWS_AS(co_await at.changed.wait(permit), std::invalid_argument);

        manager other = manager::start();
        auto elsewhere = co_await other.make<managed_condition>();
        CHECK_THROWS_AS(co_await elsewhere.wait(guard), std::invalid_argument);
        co_await other.shutdown();
        locked = co_await at.lock.locked();
        CHECK(locked);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: reached by an address") {
    const manager_options options(manager_address(endpoint("127.0.0.1", 0)), "open sesame");
    with_manager(options, [](manager& m) -> task<> {
        auto near_lock = co_await m.make_named<managed_mutex>("lock");
        auto near_change = co_await m.make_named<managed_condition>("changed");
        manager far = co_await manager::connect(*m.address(), "open sesame");
        auto far_lock = co_await far.get<managed_mutex>("lock");
        auto far_change = co_await far.get<managed_condition>("changed");
        std::vector<int> order;
        auto waiting = co_await spawn_waiter(place(far_lock, far_change), order, 1);
        auto guard = co_await near_lock.lock();
        CHECK_THROWS_AS(co_await far_change.wait(guard), std::invalid_argument);
        co_await near_change.notify();
        guard.unlock();
        co_await waiting;
        CHECK(order == std::vector<int>{1});
    });
}

// Those who die

task<> wait_until_killed(managed_mutex lock, managed_condition changed, shm::event has_lock,
                         shm::event goes_on) {
    auto guard = co_await lock.lock();
    has_lock.set();
    co_await changed.wait(guard);
    guard.unlock();
    goes_on.set();
    co_await sleep(1h);
}

/// Returns when the process waits.
task<process> start_waiter(place at, shm::event goes_on) {
    const shm::event has_lock;
    process child = process::start(wait_until_killed, at.lock, at.changed, has_lock, goes_on);
    co_await has_lock.wait();
    auto guard = co_await at.lock.lock();
    co_return child;
}

TEST_CASE_FIXTURE(manager_check, "manager condition: a notify is not spent on a killed process") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        for (int i = 0; i < 10; ++i) {
            process first = co_await start_waiter(at, shm::event());
            process second = co_await start_waiter(at, shm::event());
            std::vector<int> order;
            auto waiting = co_await spawn_waiter(at, order, i);
            first.kill();
            second.kill();
            if (i % 2 != 0) (void)co_await first.join();
            co_await at.changed.notify();
            co_await waiting;
            CHECK(order == std::vector<int>{i});
            (void)co_await first.join();
            (void)co_await second.join();
        }
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: killed when notified, before it could run") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        process child = co_await start_waiter(at, shm::event());
        std::vector<int> order;
        auto waiting = co_await spawn_waiter(at, order, 1);
        child.send_signal(SIGSTOP);
        co_await at.changed.notify();
        for (bool given = false; !given;) given = co_await at.lock.locked();
        CHECK(!waiting.done());
        child.kill();
        co_await waiting;
        CHECK(order == std::vector<int>{1});
        (void)co_await child.join();
        auto guard = co_await at.lock.lock();
        CHECK(guard);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: killed in the line for the lock") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        process child = co_await start_waiter(at, shm::event());
        std::vector<int> order;
        auto waiting = co_await spawn_waiter(at, order, 1);
        auto guard = co_await at.lock.lock();
        co_await at.changed.notify();
        child.kill();
        (void)co_await child.join();
        guard.unlock();
        co_await waiting;
        CHECK(order == std::vector<int>{1});
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: a notify that was answered is not given on") {
    with_manager([](manager& m) -> task<> {
        place at = co_await make_place(m);
        const shm::event goes_on;
        process child = co_await start_waiter(at, goes_on);
        auto held_there = co_await m.make<managed_mutex>();
        std::vector<int> order;
        auto waiting = co_await spawn_waiter(at, order, 1);
        co_await at.changed.notify();
        co_await goes_on.wait();
        auto keep = [](managed_mutex lock, shm::event held) -> task<> {
            auto guard = co_await lock.lock();
            held.set();
            co_await sleep(1h);
        };
        const shm::event held;
        process keeper = process::start(keep, held_there, held);
        co_await held.wait();
        child.kill();
        (void)co_await child.join();
        keeper.kill();
        {
            auto guard = co_await held_there.lock();  // so the manager has seen ends since
            auto again = co_await at.lock.lock();
        }
        CHECK(!waiting.done());
        co_await at.changed.notify();
        co_await waiting;
        (void)co_await keeper.join();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager condition: the manager is killed under those who wait") {
    run([]() -> task<> {
        manager m = manager::start();
        place at = co_await make_place(m);
        auto guard = co_await at.lock.lock();
        auto kill_it = [](manager& which, managed_mutex lock) -> task<> {
            {
                auto its_guard = co_await lock.lock();
            }  // the other waits
            ::kill(which.pid(), SIGKILL);
        };
        auto killing = spawn(kill_it(m, at.lock));
        CHECK_THROWS_AS(co_await at.changed.wait(guard), manager_died);
        CHECK(!guard);
        co_await killing;
    }());
}

TEST_CASE_FIXTURE(manager_check, "manager condition: shut down under those who wait") {
    run([]() -> task<> {
        manager m = manager::start();
        place at = co_await make_place(m);
        std::vector<int> order;
        auto first = co_await spawn_waiter(at, order, 1);
        auto second = co_await spawn_waiter(at, order, 2);
        auto guard = co_await at.lock.lock();
        co_await m.shutdown();
        CHECK_THROWS_AS(co_await first, closed_error);
        CHECK_THROWS_AS(co_await second, closed_error);
        CHECK(order.empty());
    }());
}

}  // namespace

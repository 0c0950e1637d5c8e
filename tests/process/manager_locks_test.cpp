// A manager's locks that belong to tasks.
#include <lariat/process/managed_recursive_mutex.hpp>

#include "manager_support.hpp"
#include "program.hpp"

#include <lariat/task/race.hpp>
#include <lariat/task/spawn.hpp>

#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;

template <class Guard>
concept waits_under =
    requires(const managed_condition& changed, Guard& held) { changed.wait(held); };
static_assert(waits_under<managed_guard>);
static_assert(!waits_under<managed_recursive_guard>);

/// Takes it once more at every level.
task<> descend(managed_recursive_mutex door, int depth, std::vector<int>& order) {
    auto level = co_await door.lock();
    co_await yield_now();
    if (depth > 0) co_await descend(door, depth - 1, order);
    order.push_back(depth);
}

/// Takes it twice.
task<> pass(managed_recursive_mutex door, std::vector<int>& order, int number) {
    auto outer = co_await door.lock();
    auto inner = co_await door.lock();
    order.push_back(number);
}

/// Whether a task of its own gets it.
task<bool> is_free(managed_recursive_mutex door) {
    auto try_it = [](managed_recursive_mutex which) -> task<bool> {
        auto guard = co_await which.try_lock();
        co_return static_cast<bool>(guard);
    };
    const bool got = co_await spawn(try_it(door));
    co_return got;
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: its holder takes it again, in tasks it awaits too") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        std::vector<int> order;
        auto others = [](managed_recursive_mutex which, std::vector<int>& into) -> task<> {
            co_await yield_now();
            co_await pass(which, into, 9);
        };
        co_await gather(descend(door, 3, order), others(door, order));
        CHECK(order == std::vector{0, 1, 2, 3, 9});
        const bool locked = co_await door.locked();
        CHECK(!locked);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: it is free when it was given back as often as taken") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        auto first = co_await door.lock();
        auto second = co_await door.try_lock();
        auto third = co_await door.lock();
        CHECK(second);
        first.unlock();
        CHECK(!first);
        bool free = co_await is_free(door);
        CHECK(!free);
        second = std::move(third);  // which gives the second back
        CHECK(second);
        free = co_await is_free(door);
        CHECK(!free);
        second.unlock();
        free = co_await is_free(door);
        CHECK(free);
        const bool locked = co_await door.locked();
        CHECK(!locked);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: first come, first served, whoever is cut meanwhile") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        std::vector<int> order;
        auto held = co_await door.lock();
        std::vector<join_handle<>> all;
        all.reserve(4);
        for (int i = 0; i < 4; ++i) all.push_back(spawn(pass(door, order, i)));
        auto late = [](managed_recursive_mutex which) -> task<> {
            CHECK_THROWS_AS((void)co_await timeout(2ms, which.lock()), timeout_error);
        };
        co_await spawn(late(door));
        all[1].cancel();
        CHECK_THROWS_AS(co_await all[1], task_cancelled);
        auto again = co_await timeout(10s, door.lock());  // before those who wait
        again.unlock();
        CHECK(order.empty());
        held.unlock();
        co_await all[0];
        co_await all[2];
        co_await all[3];
        CHECK(order == std::vector{0, 2, 3});
        const bool locked = co_await door.locked();
        CHECK(!locked);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: handed over and then cancelled, it comes back whole") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        std::vector<int> order;
        for (int i = 0; i < 50; ++i) {
            auto held = co_await door.lock();
            auto cut = spawn(pass(door, order, -1));
            auto next = spawn(pass(door, order, i));
            (void)co_await door.locked();
            held.unlock();
            if (i % 2 != 0) co_await yield_now();
            cut.cancel();
            (void)co_await settled(std::move(cut));
            co_await next;
            CHECK(order.back() == i);
            const bool free = co_await is_free(door);
            CHECK(free);
        }
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: what a hanging manager grants too late is undone") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        auto outer = co_await door.lock();
        ::kill(m.pid(), SIGSTOP);
        auto ask = [](managed_recursive_mutex which) -> task<> { (void)co_await which.locked(); };
        std::vector<join_handle<>> asked;  // so many that it grants before it reads the withdrawal
        asked.reserve(1000);
        for (int i = 0; i < 1000; ++i) asked.push_back(spawn(ask(door)));
        CHECK_THROWS_AS((void)co_await timeout(5ms, door.lock()), timeout_error);
        CHECK_THROWS_AS((void)co_await timeout(5ms, door.try_lock()), timeout_error);
        ::kill(m.pid(), SIGCONT);
        for (auto& each : asked) co_await each;
        bool free = co_await is_free(door);
        CHECK(!free);
        outer.unlock();
        free = co_await is_free(door);
        CHECK(free);
    });
}

task<> add_twice_locked(managed_recursive_mutex door, managed_value<int> sum) {
    for (int i = 0; i < 10; ++i) {
        auto outer = co_await door.lock();
        auto inner = co_await door.lock();
        const int before = co_await sum.get();
        inner.unlock();
        co_await sum.set(before + 1);
    }
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: one task at a time, of all tasks of all processes") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        auto sum = co_await m.make<managed_value<int>>(0);
        const auto by_two = [](managed_recursive_mutex lock, managed_value<int> into) -> task<> {
            co_await gather(add_twice_locked(lock, into), add_twice_locked(lock, into));
        };
        auto one = joined(process::start(by_two, door, sum));
        auto two = joined(process::start(by_two, door, sum));
        co_await gather(std::move(one), std::move(two), by_two(door, sum));
        const int all = co_await sum.get();
        CHECK(all == 60);
    });
}

task<> hold_twice_until_killed(managed_recursive_mutex door, shm::event held) {
    auto outer = co_await door.lock();
    auto inner = co_await door.lock();
    auto waits = [](managed_recursive_mutex which) -> task<> {
        auto never = co_await which.lock();
    };
    auto waiting = spawn(waits(door));
    (void)co_await door.locked();
    held.set();
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: a killed process gives it back, taken twice or not") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        const shm::event held;
        process child = process::start(hold_twice_until_killed, door, held);
        co_await held.wait();
        auto perhaps = co_await door.try_lock();
        CHECK(!perhaps);
        child.kill();
        auto outer = co_await timeout(10s, door.lock());
        auto inner = co_await door.lock();
        outer.unlock();
        bool free = co_await is_free(door);
        CHECK(!free);
        inner.unlock();
        free = co_await is_free(door);
        CHECK(free);
        (void)co_await child.join();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager recursive_mutex: a process is killed in the line") {
    with_manager([](manager& m) -> task<> {
        auto door = co_await m.make<managed_recursive_mutex>();
        auto held = co_await door.lock();
        const shm::event asked;
        auto wait_there = [](managed_recursive_mutex which, shm::event asks) -> task<> {
            auto take = [](managed_recursive_mutex its) -> task<> {
                auto guard = co_await its.lock();
            };
            auto taking = spawn(take(which));
            (void)co_await which.locked();
            asks.set();
            co_await taking;
        };
        process child = process::start(wait_there, door, asked);
        co_await asked.wait();
        std::vector<int> order;
        auto waiting = spawn(pass(door, order, 1));
        child.kill();
        (void)co_await child.join();
        held.unlock();
        co_await timeout(10s, std::move(waiting));
        CHECK(order == std::vector{1});
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager recursive_mutex: the manager is killed under its holder") {
    run([]() -> task<> {
        manager m = manager::start();
        auto door = co_await m.make<managed_recursive_mutex>();
        auto hold = [](managed_recursive_mutex which, int pid) -> task<> {
            auto outer = co_await which.lock();
            auto inner = co_await which.lock();
            ::kill(pid, SIGKILL);
            CHECK_THROWS_AS((void)co_await which.lock(), manager_died);
        };  // which may end: its guards are gone
        co_await spawn(hold(door, m.pid()));
    }());
}

TEST_CASE_FIXTURE(manager_check, "manager recursive_mutex: reached by an address") {
    const manager_options options(manager_address(endpoint("127.0.0.1", 0)), "open sesame");
    with_manager(options, [](manager& m) -> task<> {
        auto near_door = co_await m.make_named<managed_recursive_mutex>("door");
        manager far = co_await manager::connect(*m.address(), "open sesame");
        auto far_door = co_await far.get<managed_recursive_mutex>("door");
        auto outer = co_await far_door.lock();
        auto inner = co_await far_door.lock();
        auto other = co_await near_door.try_lock();  // by another way it is another holder
        CHECK(!other);
        outer.unlock();
        inner.unlock();
        bool locked = true;
        while (locked) locked = co_await near_door.locked();  // they come by another connection
        other = co_await near_door.try_lock();
        CHECK(other);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager recursive_mutex: only its task's name gives it back") {
    with_manager([](manager& m) -> task<> {
        using body = detail::served_recursive_mutex;
        auto door = co_await m.make<proxy<body>>();
        const char* const rule =
            "managed_recursive_mutex: given up by a task that does not hold it";
        CHECK_THROWS_WITH_AS(co_await door.call<&body::unlock>(7U), rule, std::logic_error);
        std::uint64_t by = co_await door.call<&body::lock>(7U);
        CHECK(by == 7);
        by = co_await door.call<&body::try_lock>(7U);
        CHECK(by == 7);
        by = co_await door.call<&body::try_lock>(8U);
        CHECK(by == 0);
        CHECK_THROWS_WITH_AS(co_await door.call<&body::unlock>(8U), rule, std::logic_error);
        co_await door.call<&body::unlock_if>(0U);
        co_await door.call<&body::unlock_if>(7U);
        bool locked = co_await door.call<&body::locked>();
        CHECK(locked);
        co_await door.call<&body::unlock>(7U);
        locked = co_await door.call<&body::locked>();
        CHECK(!locked);
        CHECK_THROWS_WITH_AS(co_await door.call<&body::unlock>(7U), rule, std::logic_error);
    });
}

// What stops a program

/// Runs body(lock) in a manager's user.
template <class Body>
int with_door(Body body) {
    start_fork_server();
    run([](Body its_body) -> task<> {
        manager m = manager::start();
        auto door = co_await m.make<managed_recursive_mutex>();
        auto work = its_body(door);
        co_await std::move(work);
    }(body));
    return 0;
}

const role gives_away("managed-recursive-given-away", [] {
    return with_door([](managed_recursive_mutex door) -> task<> {
        auto ends = [](managed_recursive_guard mine) -> task<> {
            mine.unlock();
            co_return;
        };
        auto held = co_await door.lock();
        co_await spawn(ends(std::move(held)));
    });
});

const role ends_as_holder("managed-recursive-kept", [] {
    return with_door([](managed_recursive_mutex door) -> task<> {
        managed_recursive_guard outlives;
        auto leaves = [](managed_recursive_mutex which, managed_recursive_guard& kept) -> task<> {
            kept = co_await which.lock();
        };
        co_await spawn(leaves(door, outlives));
    });
});

const role races("managed-recursive-raced", [] {
    return with_door([](managed_recursive_mutex door) -> task<> {
        (void)co_await race(door.lock(), sleep(1h));
    });
});

void check_stops(const char* name, const char* rule) {
    program broken(name);
    const std::string words = broken.rest();
    CAPTURE(words);
    CHECK(words.find(rule) != std::string::npos);
    CHECK(broken.wait() == -SIGABRT);
}

TEST_CASE("manager recursive_mutex: what is not its task's stops the program") {
    check_stops("managed-recursive-given-away",
                "a managed_recursive_mutex is released by the task that took it");
    check_stops("managed-recursive-kept", "a task ended and still holds a recursive_mutex");
    check_stops("managed-recursive-raced",
                "a managed_recursive_mutex is taken by the task that awaits it");
}

}  // namespace

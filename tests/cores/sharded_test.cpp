#include <lariat/cores/sharded.hpp>

#include "cores_support.hpp"
#include "death.hpp"
#include "leak_check.hpp"
#include "waits.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/future.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using lariat::test::leak_check;
using lariat::test::run_on_cores;
using lariat::test::stops_with;
using lariat::test::until_cancelled;

/// A plain count, without a lock: only its own core touches it.
struct counter {
    explicit counter(long from = 0) : value(from) {}
    long add(long more) { return value += more; }
    task<long> add_later(long more) {
        co_await yield_now();
        co_return value += more;
    }
    [[nodiscard]] long get() const { return value; }
    long value;
};

/// Notes where it was made and destroyed.
struct resident {
    struct register_of {
        std::array<std::atomic<int>, 3> made{};
        std::array<std::atomic<int>, 3> gone{};
        [[nodiscard]] int all_gone() const { return gone[0] + gone[1] + gone[2]; }
    };
    resident(const cores& all, register_of& book)
        : cores_(&all), book_(&book), thread_(std::this_thread::get_id()) {
        ++book_->made[cores_->this_core()];
    }
    resident(const resident&) = delete;
    resident& operator=(const resident&) = delete;
    ~resident() {
        CHECK(std::this_thread::get_id() == thread_);
        ++book_->gone[cores_->this_core()];
    }

 private:
    const cores* cores_;
    register_of* book_;
    std::thread::id thread_;
};

TEST_CASE_FIXTURE(leak_check, "sharded: each instance is made, and destroyed, on its own core") {
    run_on_cores(3, [](cores& all) -> task<> {
        resident::register_of book;
        sharded<resident> residents(all);
        co_await residents.start(std::cref(all), std::ref(book));
        for (const auto& each : book.made) CHECK(each.load() == 1);
        CHECK(book.all_gone() == 0);
        co_await residents.stop();
        for (const auto& each : book.gone) CHECK(each.load() == 1);
    });
}

TEST_CASE_FIXTURE(leak_check, "sharded: functions and members are called on a core's instance") {
    run_on_cores(2, [](cores& all) -> task<> {
        sharded<counter> counters(all);
        co_await counters.start(10);
        const long there = co_await counters.invoke_on(1, &counter::add, 5);
        CHECK(there == 15);
        const long later = co_await counters.invoke_on(1, &counter::add_later, 1);
        CHECK(later == 16);
        auto twice = [](counter& each, const std::unique_ptr<long>& more) {
            return each.add(2 * *more);
        };
        const long doubled = co_await counters.invoke_on(1, twice, std::make_unique<long>(2));
        CHECK(doubled == 20);
        CHECK(counters.local().get() == 10);
        const long seen = co_await all.call_on(1, [&] { return counters.local().get(); });
        CHECK(seen == 20);
        auto fails = [](counter&) { throw std::out_of_range("there"); };
        CHECK_THROWS_WITH_AS(co_await counters.invoke_on(1, fails), "there", std::out_of_range);
        CHECK_THROWS_AS((void)counters.invoke_on(2, fails), std::out_of_range);
        co_await counters.stop();
    });
}

TEST_CASE_FIXTURE(leak_check, "sharded: all instances are called at once, and folded") {
    run_on_cores(3, [](cores& all) -> task<> {
        sharded<counter> counters(all);
        co_await counters.start();
        co_await counters.invoke_on_all(
            [&all](counter& each) { each.value = static_cast<long>(all.this_core()); });
        const std::vector<long> now = co_await counters.invoke_on_all(&counter::add_later, 1);
        CHECK(now == std::vector<long>{1, 2, 3});
        const long sum = co_await counters.map_reduce(&counter::get, 100L, std::plus<>());
        CHECK(sum == 106);
        auto later = [](counter& each) -> task<long> {
            const long got = co_await each.add_later(0);
            co_return got;
        };
        const long same = co_await counters.map_reduce(later, 0L, std::plus<>());
        CHECK(same == 6);
        co_await counters.stop();
    });
}

TEST_CASE_FIXTURE(leak_check, "sharded: every core may use every instance, and needs no lock") {
    constexpr long rounds = 500;
    run_on_cores(3, [](cores& all) -> task<> {
        sharded<counter> counters(all);
        co_await counters.start();
        auto use = [&](counter&) -> task<> {
            for (long i = 0; i < rounds; ++i) {
                for (std::size_t to = 0; to < 3; ++to) {
                    co_await counters.invoke_on(to, &counter::add, 1);
                    if (i % 10 == 0) co_await counters.invoke_on(to, &counter::add_later, 1);
                }
            }
        };
        co_await counters.invoke_on_all(use);
        const long sum = co_await counters.map_reduce(&counter::get, 0L, std::plus<>());
        CHECK(sum == 9 * rounds + 9 * rounds / 10);
        co_await counters.stop();
    });
}

/// At its end it tells core 0 what it had.
struct reporter {
    reporter(const cores& all, sharded<reporter>& others, std::atomic<int>& alive)
        : all_(&all), others_(&others), alive_(&alive) {
        ++*alive_;
    }
    reporter(const reporter&) = delete;
    reporter& operator=(const reporter&) = delete;
    ~reporter() { --*alive_; }

    task<> stop() {
        const long own = static_cast<long>(all_->this_core()) + 1;
        auto note = [own](reporter& first) {
            CHECK(*first.alive_ == 3);
            first.noted += own;
            return first.noted;
        };
        const long sum = co_await others_->invoke_on(0, note);
        if (sum == 6) throw std::runtime_error("all have reported");
    }
    long noted = 0;

 private:
    const cores* all_;
    sharded<reporter>* others_;
    std::atomic<int>* alive_;
};

TEST_CASE_FIXTURE(leak_check, "sharded: stop() is called on all before any instance goes") {
    run_on_cores(3, [](cores& all) -> task<> {
        std::atomic<int> alive = 0;
        sharded<reporter> reporters(all);
        co_await reporters.start(std::cref(all), std::ref(reporters), std::ref(alive));
        CHECK(alive.load() == 3);
        CHECK_THROWS_WITH_AS(co_await reporters.stop(), "all have reported", std::runtime_error);
        CHECK(alive.load() == 0);
    });
}

struct unwilling {
    explicit unwilling(std::atomic<int>& alive) : alive_(&alive) { ++*alive_; }
    unwilling(const unwilling&) = delete;
    unwilling& operator=(const unwilling&) = delete;
    ~unwilling() { --*alive_; }
    void stop() { throw std::runtime_error("never"); }

 private:
    std::atomic<int>* alive_;
};

TEST_CASE_FIXTURE(leak_check, "sharded: all instances go, whatever their stop() throws") {
    run_on_cores(3, [](cores& all) -> task<> {
        std::atomic<int> alive = 0;
        sharded<unwilling> all_of_them(all);
        co_await all_of_them.start(std::ref(alive));
        CHECK_THROWS_WITH_AS(co_await all_of_them.stop(), "3 tasks failed: never; never; never",
                             error_group);
        CHECK(alive.load() == 0);
    });
}

/// A call that is under way on core 1 until its caller here lets it go.
struct long_call {
    explicit long_call(sharded<counter>& counters)
        : caller(spawn(
              [](long_call* self, sharded<counter>* of) -> task<long> {
                  auto stay = [self](counter& own) -> task<long> {
                      self->begun.set_value();
                      co_await self->go;
                      co_return own.get();
                  };
                  const long got = co_await of->invoke_on(1, stay);
                  co_return got;
              },
              this, &counters)) {}

    promise<> begun;
    promise<> let_go;
    future<> go = let_go.get_future();
    join_handle<long> caller;
};

TEST_CASE_FIXTURE(leak_check, "sharded: stop() awaits the calls under way, and refuses others") {
    run_on_cores(2, [](cores& all) -> task<> {
        sharded<counter> counters(all);
        co_await counters.start(4);
        long_call under_way(counters);
        co_await under_way.begun.get_future();
        auto stops = spawn([&]() -> task<> { co_await counters.stop(); });
        bool refused = false;
        while (!refused) {
            try {
                co_await counters.invoke_on(1, &counter::get);
            } catch (const closed_error& error) {
                refused = true;
                CHECK(std::string(error.what()).find("there is no instance on core 1") !=
                      std::string::npos);
            }
        }
        co_await test::some_turns();
        CHECK_FALSE(stops.done());
        under_way.let_go.set_value();
        const long got = co_await under_way.caller;
        CHECK(got == 4);
        co_await stops;
        CHECK_THROWS_AS((void)counters.local(), closed_error);
        CHECK_THROWS_AS(co_await counters.invoke_on(0, &counter::get), closed_error);
    });
}

TEST_CASE_FIXTURE(leak_check, "sharded: a stop() that is cut short leaves the end to the last") {
    run_on_cores(2, [](cores& all) -> task<> {
        resident::register_of book;
        sharded<resident> residents(all);
        co_await residents.start(std::cref(all), std::ref(book));
        promise<> begun;
        promise<> let_go;
        future<> go = let_go.get_future();
        auto stay = [&](resident&) -> task<> {
            begun.set_value();
            co_await go;
            CHECK(book.gone[1].load() == 0);
        };
        auto caller = spawn([&]() -> task<> { co_await residents.invoke_on(1, stay); });
        co_await begun.get_future();
        auto stops = spawn([&]() -> task<> { co_await residents.stop(); });
        while (book.gone[0].load() == 0) co_await yield_now();
        stops.cancel();
        CHECK_THROWS_AS(co_await stops, task_cancelled);
        CHECK(book.gone[1].load() == 0);
        let_go.set_value();
        co_await caller;
        CHECK(book.gone[1].load() == 1);
    });
}

/// Not to be made on core 1, at first.
struct picky {
    picky(const cores& all, bool& refuses, std::atomic<int>& alive) : alive_(&alive) {
        if (all.this_core() == 1 && refuses) throw std::runtime_error("not here");
        ++*alive_;
    }
    picky(const picky&) = delete;
    picky& operator=(const picky&) = delete;
    ~picky() { --*alive_; }

 private:
    std::atomic<int>* alive_;
};

TEST_CASE_FIXTURE(leak_check, "sharded: a start that failed leaves nothing, and may be repeated") {
    run_on_cores(3, [](cores& all) -> task<> {
        bool refuses = true;
        std::atomic<int> alive = 0;
        sharded<picky> some(all);
        CHECK_THROWS_WITH_AS(
            co_await some.start(std::cref(all), std::ref(refuses), std::ref(alive)), "not here",
            std::runtime_error);
        while (alive.load() != 0) co_await yield_now();
        refuses = false;
        co_await some.start(std::cref(all), std::ref(refuses), std::ref(alive));
        CHECK(alive.load() == 3);
        co_await some.stop();
        CHECK(alive.load() == 0);
    });
}

TEST_CASE_FIXTURE(leak_check, "sharded: without stop() the instances still go on their own cores") {
    resident::register_of book;
    run_on_cores(3, [&book](cores& all) -> task<> {
        {
            sharded<resident> residents(all);
            co_await residents.start(std::cref(all), std::ref(book));
        }
        while (book.all_gone() != 3) co_await yield_now();
        sharded<resident> others(all);
        co_await others.start(std::cref(all), std::ref(book));
    });
    for (const auto& each : book.gone) CHECK(each.load() == 2);
}

TEST_CASE("sharded: misuse is stopped with the rule") {
    CHECK(stops_with("no instances before start()", [] {
        run_on_cores(1, [](cores& all) -> task<> {
            const sharded<counter> counters(all);
            co_await counters.invoke_on(0, &counter::get);
        });
    }));
    CHECK(stops_with("is started once", [] {
        run_on_cores(1, [](cores& all) -> task<> {
            sharded<counter> counters(all);
            co_await counters.start();
            co_await counters.start();
        });
    }));
    CHECK(stops_with("is stopped once", [] {
        run_on_cores(1, [](cores& all) -> task<> {
            sharded<counter> counters(all);
            co_await counters.start();
            co_await counters.stop();
            co_await counters.stop();
        });
    }));
}

}  // namespace

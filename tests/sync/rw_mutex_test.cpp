#include <lariat/sync/rw_mutex.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

/// A table with one who notes who comes in, and goes.
struct table {
    rw_mutex lock;
    std::string log;

    task<> read(char mark, duration length = 1s) {
        auto inside = co_await lock.lock_shared();
        log += mark;
        co_await sleep(length);
        log += '.';
    }
    task<> write(char mark, duration length = 1s) {
        auto inside = co_await lock.lock();
        log += mark;
        co_await sleep(length);
        log += '.';
    }
};

TEST_CASE_FIXTURE(test_loop, "rw_mutex: readers are inside together, a writer alone") {
    table it;
    run([&]() -> task<> {
        co_await gather(it.read('a'), it.read('b'), it.write('W'), it.write('X'));
    });
    CHECK(it.log == "ab..W.X.");
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop,
                  "rw_mutex: a writer does not starve; readers that come after it wait") {
    table it;
    run([&]() -> task<> {
        spawn(it.read('a', 2s));
        auto comes = [&]() -> task<> {
            co_await sleep(1s);
            co_await it.write('W');
        };
        auto comes_later = [&]() -> task<> {
            co_await sleep(1500ms);
            CHECK_FALSE(it.lock.try_lock_shared());
            co_await gather(it.read('b'), it.read('c'));
        };
        co_await gather(comes(), comes_later());
    });
    CHECK(it.log == "a.W.bc..");
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop,
                  "rw_mutex: the line is kept; readers that stand together go in together") {
    table it;
    run([&]() -> task<> {
        co_await gather(it.write('W'), it.read('a'), it.read('b'), it.write('X'), it.read('c'),
                        it.read('d'));
    });
    CHECK(it.log == "W.ab..X.cd..");
    CHECK(elapsed() == 4s);
}

TEST_CASE_FIXTURE(test_loop, "rw_mutex: it is handed over; a newcomer of either kind waits") {
    table it;
    run([&]() -> task<> {
        auto held = co_await it.lock.lock();
        spawn(it.write('W'));
        co_await yield_now();
        held.unlock();
        CHECK_FALSE(it.lock.try_lock());
        CHECK_FALSE(it.lock.try_lock_shared());
        co_await it.read('a');
    });
    CHECK(it.log == "W.a.");
}

TEST_CASE_FIXTURE(test_loop, "rw_mutex: the try forms never wait") {
    rw_mutex lock;
    auto writing = lock.try_lock();
    CHECK(writing);
    CHECK_FALSE(lock.try_lock());
    CHECK_FALSE(lock.try_lock_shared());
    writing.unlock();
    auto reading = lock.try_lock_shared();
    auto another = lock.try_lock_shared();
    CHECK(reading);
    CHECK(another);
    CHECK_FALSE(lock.try_lock());
    reading.unlock();
    CHECK_FALSE(lock.try_lock());
    another.unlock();
    CHECK(lock.try_lock());
    CHECK(lock.try_lock_shared());
}

TEST_CASE_FIXTURE(test_loop,
                  "rw_mutex: an exception that passes gives it back, as reader or writer") {
    rw_mutex lock;
    auto fails = [&](bool shared) -> task<> {
        if (shared) {
            auto guard = co_await lock.lock_shared();
            throw std::runtime_error("reading");
        }
        auto guard = co_await lock.lock();
        throw std::runtime_error("writing");
    };
    run([&]() -> task<> {
        CHECK_THROWS_AS(co_await fails(true), std::runtime_error);
        CHECK_THROWS_AS(co_await fails(false), std::runtime_error);
        auto guard = lock.try_lock();
        CHECK(guard);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "rw_mutex: a writer that is cancelled lets those behind it in, at once") {
    table it;
    run([&]() -> task<> {
        spawn(it.read('a', 3s));
        auto writer = spawn(it.write('W'));
        auto reader = spawn(it.read('b'));
        spawn(it.read('c'));
        co_await sleep(1s);
        CHECK(it.log == "a");
        writer.cancel();
        co_await reader;
        CHECK(writer.done());
        CHECK(elapsed() == 2s);
        co_await sleep(1s);
    });
    CHECK(it.log == "abc...");
}

TEST_CASE_FIXTURE(test_loop,
                  "rw_mutex: a reader that is cancelled leaves the line, and lets nobody in") {
    table it;
    run([&]() -> task<> {
        spawn(it.write('W', 2s));
        auto reader = spawn(it.read('a'));
        auto next = spawn(it.write('X'));
        co_await sleep(1s);
        reader.cancel();
        co_await yield_now();
        CHECK(it.log == "W");
        co_await next;
    });
    CHECK(it.log == "W.X.");
    CHECK(elapsed() == 3s);
}

TEST_CASE_FIXTURE(test_loop, "rw_mutex: one who was let in and then cancelled gives back") {
    table it;
    run([&]() -> task<> {
        for (const bool shared : {false, true}) {
            it.log.clear();
            auto held = co_await it.lock.lock();
            auto first = spawn(shared ? it.read('a') : it.write('W'));
            auto second = spawn(it.write('X'));
            co_await yield_now();
            held.unlock();
            first.cancel();
            co_await second;
            CHECK(first.done());
            CHECK(it.log == (shared ? "aX." : "WX."));
        }
        CHECK(it.lock.try_lock());
    });
}

TEST_CASE_FIXTURE(test_loop, "rw_mutex: it composes with timeout, nothrow, race and gather") {
    rw_mutex lock;
    run([&]() -> task<> {
        auto reading = co_await lock.lock_shared();
        CHECK_THROWS_AS((void)co_await timeout(1s, lock.lock()), timeout_error);
        auto late = co_await nothrow(timeout(1s, lock.lock()));
        CHECK(late.error() == errc::timed_out);
        auto in_time = co_await nothrow(timeout(1s, lock.lock_shared()));
        CHECK(in_time.has_value());
        auto first = co_await race(lock.lock_shared(), lock.lock());
        CHECK(first.index == 0);
        auto both = co_await gather(lock.lock_shared(), lock.lock_shared());
        CHECK(std::get<0>(both));
        CHECK(std::get<1>(both));
    });
    CHECK(elapsed() == 2s);
    CHECK(lock.try_lock());
}

TEST_CASE_FIXTURE(test_loop, "rw_mutex: a woken task may lock it again, behind the others") {
    table it;
    auto twice = [&]() -> task<> {
        co_await it.read('a', 0s);
        co_await it.read('b', 0s);
    };
    run([&]() -> task<> {
        auto held = co_await it.lock.lock();
        auto again = spawn(twice);
        auto writer = spawn(it.write('W', 0s));
        co_await yield_now();
        held.unlock();
        co_await gather(std::move(again), std::move(writer));
    });
    CHECK(it.log == "a.W.b.");
}

TEST_CASE("rw_mutex: one that dies under those who hold it or wait for it stops with the rule") {
    CHECK(stops_with("an rw_mutex must outlive those who hold it or wait for it", [] {
        std::optional<table> it(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            spawn(it->read('a'));
            spawn(it->write('W'));
            co_await yield_now();
            it.reset();
        });
    }));
}

}  // namespace

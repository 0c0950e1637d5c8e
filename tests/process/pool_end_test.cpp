// How a pool ends, and calls that are cancelled.
#include <lariat/process/pool.hpp>

#include "pool_support.hpp"

#include "program.hpp"

#include <lariat/process/shm/value.hpp>
#include <lariat/task/nothrow.hpp>

#include <tuple>

namespace {

using namespace lariat;
using namespace lariat::test;

void set(shm::event which) { which.set(); }
task<> note_cancellation(shm::event begun, shm::event noticed) {
    bool cut = false;
    begun.set();
    try {
        co_await sleep(1h);
    } catch (const cancelled&) {
        cut = true;
    }
    if (cut) noticed.set();
}
task<> call_and_wait(process_pool& pool, const shm::event& begun, const shm::event& noticed) {
    co_await pool.run(note_cancellation, begun, noticed);
}
void mind_no_signal(shm::event begun) {
    std::signal(SIGTERM, SIG_IGN);
    begun.set();
    for (;;) ::pause();
}
task<> never_heed(shm::event begun) {
    begun.set();
    for (;;) ::pause();
    co_return;
}
task<std::vector<long>> square_all(process_pool& pool, const std::vector<long>& inputs) {
    std::vector<long> squares = co_await pool.map(square, inputs, 1);
    co_return squares;
}
task<> stay_often(process_pool& pool, shm::event begun, shm::event go) {
    const std::vector<std::tuple<shm::event, shm::event>> many(
        1000, std::tuple<shm::event, shm::event>(begun, go));
    co_await pool.starmap(stay, many, 1);
}
process_pool_options with_grace(std::size_t count, std::chrono::milliseconds grace) {
    process_pool_options options(count);
    options.grace = grace;
    return options;
}

TEST_CASE_FIXTURE(pool_check, "pool: a call that is cut short before it began never begins") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        const shm::event ran;
        auto first = pool.submit(stay, begun, go);
        co_await begun.wait();
        CHECK_THROWS_AS(co_await timeout(5ms, pool.run(set, ran)), timeout_error);
        auto second = pool.submit(set, ran);
        CHECK(second.cancel());
        CHECK(second.done());
        CHECK(!second.cancel());
        CHECK_THROWS_AS(co_await second, task_cancelled);
        go.set();
        co_await first;
        co_await pool.run(nothing);
        CHECK(!ran.is_set());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a task that runs is cancelled in its worker") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event noticed;
        auto call = pool.submit(note_cancellation, begun, noticed);
        co_await begun.wait();
        CHECK(call.cancel());
        CHECK_THROWS_AS(co_await call, task_cancelled);
        co_await noticed.wait();
        begun.clear();
        noticed.clear();
        auto caller = spawn(call_and_wait(pool, begun, noticed));
        co_await begun.wait();
        caller.cancel();
        CHECK_THROWS_AS(co_await std::move(caller), task_cancelled);
        co_await timeout(10s, noticed.wait());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: many tasks cancelled in the turn of their submission") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event noticed;
        std::vector<pool_call<>> calls;
        for (int i = 0; i < 200; ++i) {
            calls.push_back(pool.submit(note_cancellation, begun, noticed));
            if (i % 3 == 0) co_await yield_now();
            if (i % 2 == 0) CHECK(calls.back().cancel());
        }
        for (auto& each : calls) (void)each.cancel();
        for (auto& each : calls) CHECK_THROWS_AS(co_await each, task_cancelled);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: a function that is cancelled goes on, and close waits for it") {
    run([]() -> task<> {
        process_pool pool(1);
        const shm::event begun;
        const shm::event go;
        auto call = pool.submit(stay, begun, go);
        co_await begun.wait();
        CHECK(call.cancel());
        CHECK_THROWS_AS(co_await call, task_cancelled);
        CHECK(pool.stats().running == 1);
        CHECK_THROWS_AS(co_await timeout(5ms, pool.close()), timeout_error);
        CHECK_THROWS_AS(co_await pool.run(nothing), closed_error);
        go.set();
        co_await pool.join();
        CHECK(pool.stats().done == 1);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: kill_on_cancel kills what does not end") {
    process_pool_options options = with_grace(1, 10ms);
    options.kill_on_cancel = true;
    with_pool(options, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        const int pid = co_await pool.run(own_pid);
        auto call = pool.submit(stay, begun, go);
        co_await begun.wait();
        CHECK(call.cancel());
        const int after = co_await pool.run(own_pid);
        CHECK(after != pid);
        begun.clear();
        auto deaf = pool.submit(never_heed, begun);
        co_await begun.wait();
        CHECK(deaf.cancel());
        const int last = co_await pool.run(own_pid);
        CHECK(last != after);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: kill_on_cancel leaves alone what ends in time") {
    process_pool_options options = with_grace(1, 400ms);
    options.kill_on_cancel = true;
    with_pool(options, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        bool in_time = false;
        for (int tries = 0; tries < 10 && !in_time; ++tries) {
            const int pid = co_await pool.run(own_pid);
            begun.clear();
            auto heeds = pool.submit(stay_waiting, begun, go);
            co_await begun.wait();
            const time_point told = loop::current().now();
            CHECK(heeds.cancel());
            co_await until([&] { return pool.stats().running == 0; });
            in_time = loop::current().now() < told + 400ms;  // unless it stood still for so long
            if (!in_time) continue;
            co_await sleep(450ms);
            const int same = co_await pool.run(own_pid);
            CHECK(same == pid);
        }
        CHECK(in_time);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: close finishes what was submitted") {
    run([]() -> task<> {
        process_pool pool(2);
        std::vector<pool_call<long>> calls;
        for (long i = 0; i < 2000; ++i) calls.push_back(pool.submit(square, i));
        auto napping = pool.submit(nap, 10ms);
        co_await pool.close();
        CHECK(pool.stats().workers == 0);
        CHECK(napping.done());
        for (long i = 0; i < 2000; ++i) {
            const long squared = co_await calls[static_cast<std::size_t>(i)];
            CHECK(squared == i * i);
        }
        CHECK_THROWS_AS((void)pool.submit(square, 1), closed_error);
        CHECK_THROWS_AS(co_await pool.map(square, numbers_up_to(3)), closed_error);
        co_await napping;
        co_await pool.close();
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: close finishes a map that has begun, whole") {
    run([]() -> task<> {
        process_pool pool(1);
        const std::vector<long> inputs = numbers_up_to(5000);
        auto mapped = spawn(square_all(pool, inputs));
        co_await until([&] { return pool.stats().submitted != 0; });
        CHECK(pool.stats().submitted < inputs.size());
        co_await timeout(20s, pool.close());
        CHECK(pool.stats().submitted == inputs.size());
        const std::vector<long> squares = co_await std::move(mapped);
        CHECK(squares == squares_of(inputs));
        CHECK_THROWS_AS(co_await pool.map(square, inputs), closed_error);
        const std::vector<long> none;
        CHECK_THROWS_AS(co_await pool.map(square, none), closed_error);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: close waits no longer for a map that was cut short") {
    run([]() -> task<> {
        process_pool pool(1);
        const shm::event begun;
        const shm::event go;
        auto mapped = spawn(stay_often(pool, begun, go));
        co_await begun.wait();
        CHECK_THROWS_AS(co_await timeout(5ms, pool.close()), timeout_error);
        mapped.cancel();
        CHECK_THROWS_AS(co_await std::move(mapped), task_cancelled);
        go.set();
        co_await timeout(20s, pool.join());
        CHECK(pool.stats().submitted < 1000);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: terminate ends a map that close had waited for") {
    run([]() -> task<> {
        process_pool pool(1);
        const shm::event begun;
        const shm::event go;
        auto mapped = spawn(stay_often(pool, begun, go));
        co_await begun.wait();
        CHECK_THROWS_AS(co_await timeout(5ms, pool.close()), timeout_error);
        pool.terminate();
        CHECK_THROWS_AS(co_await std::move(mapped), closed_error);
        co_await timeout(20s, pool.join());
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: terminate fails what is under way") {
    run([]() -> task<> {
        process_pool pool(2);
        const shm::event begun;
        const shm::event go;
        std::vector<pool_call<int>> calls;
        for (int i = 0; i < 10; ++i) calls.push_back(pool.submit(stay, begun, go));
        calls.push_back(pool.submit(stay_waiting, begun, go));
        co_await begun.wait();
        pool.terminate();
        for (auto& each : calls) CHECK_THROWS_AS(co_await each, closed_error);
        co_await pool.join();
        CHECK(pool.stats().workers == 0);
        CHECK(pool.stats().done == 11);
    }());
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: a worker that minds no SIGTERM is killed after the grace period") {
    run([]() -> task<> {
        process_pool pool(with_grace(1, 20ms));
        const shm::event begun;
        auto call = pool.submit(mind_no_signal, begun);
        co_await begun.wait();
        pool.terminate();
        co_await pool.join();
        CHECK_THROWS_AS(co_await call, closed_error);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: one that goes without close() ends its workers") {
    run([]() -> task<> {
        const shm::event begun;
        const shm::event go;
        pool_call<int> call;
        {
            process_pool pool(2);
            call = pool.submit(stay, begun, go);
            co_await begun.wait();
        }
        CHECK_THROWS_AS(co_await call, closed_error);
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool: the end of the run ends its workers") {
    std::optional<process_pool> pool;
    pool_call<int> call;
    const shm::event begun;
    const shm::event go;
    run([&]() -> task<> {
        pool.emplace(2);
        call = pool->submit(stay, begun, go);
        co_await begun.wait();
    }());
    CHECK(call.done());
    CHECK(active_children().empty());
}

TEST_CASE_FIXTURE(pool_check, "pool: closed before its workers are up") {
    run([]() -> task<> {
        for (int i = 0; i < 5; ++i) {
            process_pool pool(3);
            co_await pool.close();
        }
        process_pool_options options(1);
        options.set_initializer([] {
            for (;;) ::pause();
        });
        process_pool pool(options);
        co_await pool.close();
    }());
}

const role leaves_a_pool("leaves a pool", [] {
    start_fork_server();
    run([]() -> task<> {
        process_pool pool(2);
        const shm::event begun;
        const shm::event go;
        auto busy = pool.submit(stay, begun, go);
        const int pid = co_await pool.run(own_pid);
        co_await begun.wait();
        for (const process_info& each : active_children()) say(std::to_string(each.pid));
        say(std::to_string(pid));
        co_await sleep(1h);
    }());
    return 0;
});

TEST_CASE("pool: workers go within a second when their parent is killed") {
    program parent("leaves a pool");
    std::vector<int> pids;
    for (int i = 0; i < 2; ++i) pids.push_back(std::atoi(parent.line().c_str()));
    CHECK(parent.line() != "");
    for (const int pid : pids) CHECK(is_there(pid));
    parent.kill(SIGKILL);
    for (const int pid : pids) CHECK(goes(pid));
    CHECK(parent.wait() == -SIGKILL);
}

}  // namespace

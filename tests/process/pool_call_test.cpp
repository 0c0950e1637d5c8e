// The handle of a call: what it knows, who waits by it, who is called back.
#include <lariat/process/pool_call.hpp>

#include "pool_support.hpp"

#include "program.hpp"

#include <lariat/process/pipe.hpp>
#include <lariat/process/pool.hpp>

namespace {

using namespace lariat;
using namespace lariat::test;

task<> note_end(const pool_call<int>& call, int& ended) {
    co_await call.wait();
    ++ended;
}

int give_three(pipe_end<int> out) {
    for (int i = 0; i < 3; ++i) out.send_blocking(i);
    return 3;
}
int give_three_and_stay(pipe_end<int> out, shm::event go) {
    give_three(std::move(out));
    go.wait_blocking();
    return 3;
}
task<int> give_three_and_wait(pipe_end<int> out, shm::event go) {
    for (int i = 0; i < 3; ++i) co_await out.send(i);
    out = pipe_end<int>();
    co_await go.wait();
    co_return 3;
}
int give_three_and_die(pipe_end<int> out) {
    ::raise(SIGKILL);
    return give_three(std::move(out));
}
/// How many come until the last of the other ends has closed.
task<int> count_all(pipe_end<int> in) {
    int items = 0;
    for (;;) {
        const auto next = co_await timeout(10s, in.recv());
        if (!next) co_return items;
        ++items;
    }
}

TEST_CASE_FIXTURE(pool_check, "pool_call: it waits, runs, and is done") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        const shm::event never;
        auto first = pool.submit(stay, begun, go);
        auto second = pool.submit(stay, begun, never);
        CHECK(!first.running());
        co_await begun.wait();
        CHECK(first.running());
        CHECK(!first.done());
        CHECK(!first.successful());
        CHECK(!second.running());
        begun.clear();
        go.set();
        co_await first.wait();
        CHECK(!first.running());
        CHECK(first.done());
        CHECK(first.successful());
        co_await begun.wait();
        CHECK(second.running());
        CHECK(second.cancel());
        CHECK(second.done());
        CHECK(!second.running());
        CHECK(!second.successful());
        never.set();
    });
}

TEST_CASE_FIXTURE(pool_check, "pool_call: any number wait, and the result stays") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto call = pool.submit(stay_waiting, begun, go);
        int ended = 0;
        auto one = spawn(note_end(call, ended));
        auto other = spawn(note_end(call, ended));
        auto leaves = spawn(note_end(call, ended));
        CHECK_THROWS_AS(co_await timeout(5ms, call.wait()), timeout_error);
        leaves.cancel();
        CHECK_THROWS_AS(co_await std::move(leaves), task_cancelled);
        CHECK(!call.done());
        go.set();
        const int pid = co_await call;
        CHECK(pid != ::getpid());
        CHECK(!call);
        co_await std::move(one);
        co_await std::move(other);
        CHECK(ended == 2);
        auto fails = pool.submit(fail_with, "no");
        co_await fails.wait();
        co_await fails.wait();
        CHECK(!fails.successful());
        for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(co_await fails, std::runtime_error);
        CHECK_THROWS_AS(fails.take(), std::runtime_error);
        CHECK(fails.done());
        auto cancelled_one = pool.submit(fail_with, "never");
        CHECK(cancelled_one.cancel());
        for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(co_await cancelled_one, task_cancelled);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool_call: callbacks come in order, beside who awaits") {
    with_pool(1, [](process_pool& pool) -> task<> {
        std::vector<int> order;
        auto call = pool.submit(square, 7);
        for (int i = 0; i < 3; ++i)
            call.add_done_callback([&order, i](const pool_call<long>& ended) {
                CHECK(ended.successful());
                order.push_back(i);
            });
        const long squared = co_await call;
        CHECK(squared == 49);
        co_await until([&] { return order.size() == 3; });
        CHECK(order == std::vector<int>{0, 1, 2});
    });
}

TEST_CASE_FIXTURE(pool_check, "pool_call: a callback takes the result, or any number the failure") {
    with_pool(1, [](process_pool& pool) -> task<> {
        long taken = 0;
        auto call = pool.submit(square, 8);
        call.add_done_callback([&](pool_call<long> ended) { taken = ended.take(); });
        co_await until([&] { return taken == 64; });
        CHECK(call.done());
        call = pool_call<long>();
        int failed = 0;
        auto fails = pool.submit(fail_with, "no");
        for (int i = 0; i < 2; ++i)
            fails.add_done_callback([&failed](pool_call<> ended) {
                CHECK_THROWS_AS(ended.take(), std::runtime_error);
                ++failed;
            });
        CHECK_THROWS_AS(co_await fails, std::runtime_error);
        co_await until([&] { return failed == 2; });
    });
}

TEST_CASE_FIXTURE(pool_check, "pool_call: who waits and who is called back hear of every end") {
    run([]() -> task<> {
        process_pool pool(1);
        const shm::event begun;
        const shm::event never;
        int ended = 0;
        int called = 0;
        const auto call_back = [&called](const pool_call<int>& call) {
            CHECK(!call.successful());
            ++called;
        };
        auto runs = pool.submit(stay_waiting, begun, never);
        auto goes_on = pool.submit(stay_waiting, begun, never);
        co_await begun.wait();
        auto waits = pool.submit(stay_waiting, begun, never);
        std::vector<join_handle<>> all;
        for (const pool_call<int>* each : {&runs, &goes_on, &waits}) {
            all.push_back(spawn(note_end(*each, ended)));
            each->add_done_callback(call_back);
        }
        co_await yield_now();
        CHECK(waits.cancel());
        CHECK(runs.cancel());
        co_await until([&] { return ended == 2 && called == 2; });
        pool.terminate();
        co_await until([&] { return ended == 3 && called == 3; });
        goes_on.add_done_callback(call_back);  // it has ended: at once
        co_await until([&] { return called == 4; });
        for (auto& each : all) co_await std::move(each);
        co_await pool.join();
    }());
}

TEST_CASE_FIXTURE(pool_check, "pool_call: a pipe's end that it was given closes with it") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto busy = pool.submit(stay, begun, go);
        co_await begun.wait();
        lariat::pipe<int> of_done;
        auto done = pool.submit(give_three, std::move(of_done.second));
        lariat::pipe<int> of_withdrawn;
        auto withdrawn = pool.submit(give_three, std::move(of_withdrawn.second));
        CHECK(withdrawn.cancel());
        const int none = co_await count_all(std::move(of_withdrawn.first));
        CHECK(none == 0);
        go.set();
        const int all = co_await count_all(std::move(of_done.first));
        CHECK(all == 3);
        co_await done;
        co_await busy;
        lariat::pipe<int> of_dead;
        auto dead = pool.submit(give_three_and_die, std::move(of_dead.second));
        const int before_death = co_await count_all(std::move(of_dead.first));
        CHECK(before_death == 0);
        CHECK_THROWS_AS(co_await dead, worker_died);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool_call: and before it ends, if it closes that itself") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event go;
        lariat::pipe<int> of_task;
        auto waits = pool.submit(give_three_and_wait, std::move(of_task.second), go);
        const int of_the_task = co_await count_all(std::move(of_task.first));
        CHECK(of_the_task == 3);
        lariat::pipe<int> of_function;
        auto stays = pool.submit(give_three_and_stay, std::move(of_function.second), go);
        const int of_the_function = co_await count_all(std::move(of_function.first));
        CHECK(of_the_function == 3);
        CHECK(stays.running());
        CHECK(waits.running());
        go.set();
        co_await waits;
        co_await stays;
    });
}

const role takes_twice("takes a result twice", [] {
    start_fork_server();
    run([]() -> task<> {
        process_pool pool(1);
        bool taken = false;
        auto call = pool.submit(square, 3);
        call.add_done_callback([&taken](pool_call<long> ended) { taken = ended.take() == 9; });
        while (!taken) co_await yield_now();
        co_await call;
    }());
    return 0;
});
const role takes_early("takes a result early", [] {
    start_fork_server();
    run([]() -> task<> {
        process_pool pool(1);
        auto call = pool.submit(square, 3);
        (void)call.take();
        co_return;
    }());
    return 0;
});

TEST_CASE("pool_call: a result that is taken twice, or too early, stops the program") {
    program twice("takes a result twice");
    CHECK(twice.rest().find("the result of this call was already taken") != std::string::npos);
    CHECK(twice.end() == -SIGABRT);
    program early("takes a result early");
    CHECK(early.rest().find("take() is for a call that is done()") != std::string::npos);
    CHECK(early.end() == -SIGABRT);
}

}  // namespace

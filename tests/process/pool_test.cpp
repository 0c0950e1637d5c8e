// A pool of processes: what is called where, with what, and what comes back.
#include <lariat/process/pool.hpp>

#include "pool_support.hpp"

#include <lariat/process/shm/event.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <set>
#include <string_view>

#include <fcntl.h>
#include <sched.h>

namespace {

using namespace lariat;
using namespace lariat::test;

struct sold_out : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::string greet(const std::string& name, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += "hello " + name + '\n';
    return all;
}
void sell() { throw sold_out("no tickets"); }
void refuse(std::string text) { throw std::invalid_argument(text); }
task<int> fail_later() {
    co_await sleep(1ms);
    throw std::out_of_range("too late");
}
long write_to(unique_fd into, std::string text) {
    return ::write(into.get(), text.data(), text.size());
}
std::vector<unique_fd> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    std::vector<unique_fd> both;
    both.emplace_back(ends[0]);
    both.emplace_back(ends[1]);
    return both;
}
int run_a_loop(int n) {
    return run([](int given) -> task<int> {
        co_await sleep(1ms);
        co_return given + 1;
    }(n));
}
task<std::uint64_t> turns_of_a_sleep(std::chrono::milliseconds length) {
    co_await yield_now();
    const std::uint64_t before = loop::current().stats().turns;
    co_await sleep(length);
    co_return loop::current().stats().turns - before;
}

task<std::uint64_t> turns_after_long_waits() {
    for (int i = 0; i < 6; ++i) co_await sleep(5ms);
    const std::uint64_t turns = co_await turns_of_a_sleep(30ms);
    co_return turns;
}
std::string reversed(std::string text) {
    std::reverse(text.begin(), text.end());
    return text;
}

std::string opened;  // in each process its own
void open_all(std::string what, int number) { opened = what + std::to_string(number); }
task<> open_slowly(std::string what) {
    co_await sleep(5ms);
    opened = what;
}
std::string what_is_open() { return opened; }
std::string own_name() { return this_process::name(); }
int cores_allowed() {
    cpu_set_t all;
    CPU_ZERO(&all);
    return ::sched_getaffinity(0, sizeof all, &all) == 0 ? CPU_COUNT(&all) : -1;
}

TEST_CASE_FIXTURE(pool_check, "pool: a function's result comes back") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const long squared = co_await pool.run(square, 12);
        CHECK(squared == 144);
        const std::string text = co_await pool.run(greet, "li", 2);
        CHECK(text == "hello li\nhello li\n");
        const int pid = co_await pool.run(own_pid);
        CHECK(pid != ::getpid());
        co_await pool.run(nothing);
        const auto in_lambda = co_await pool.run([](int a, int b) { return a + b; }, 1, 2);
        CHECK(in_lambda == 3);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: large arguments and results") {
    with_pool(2, [](process_pool& pool) -> task<> {
        std::string text(5'000'000, 'a');
        text.back() = 'z';
        const std::string turned = co_await pool.run(reversed, text);
        CHECK(turned.size() == text.size());
        CHECK(turned.front() == 'z');
        std::vector<pool_call<std::string>> many;
        for (int i = 0; i < 40; ++i) many.push_back(pool.submit(reversed, std::string(9'000, 'b')));
        for (auto& each : many) {
            const std::string one = co_await each;
            CHECK(one == std::string(9'000, 'b'));
        }
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: descriptors go in and come out") {
    with_pool(1, [](process_pool& pool) -> task<> {
        std::vector<unique_fd> ends = make_pipe();
        const long written = co_await pool.run(write_to, std::move(ends[1]), "words");
        CHECK(written == 5);
        std::array<char, 16> room{};
        CHECK(::read(ends[0].get(), room.data(), room.size()) == 5);
        std::vector<unique_fd> theirs = co_await pool.run(make_pipe);
        CHECK(::write(theirs.at(1).get(), "x", 1) == 1);
        CHECK(::read(theirs.at(0).get(), room.data(), room.size()) == 1);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: too many descriptors in a call are refused") {
    with_pool(1, [](process_pool& pool) -> task<> {
        std::vector<unique_fd> many;
        for (int i = 0; i < 101; ++i)
            for (unique_fd& each : make_pipe()) many.push_back(std::move(each));
        const auto count = [](std::vector<unique_fd> all) { return all.size(); };
        CHECK_THROWS_AS(co_await pool.run(count, std::move(many)), limit_error);
        const long after = co_await pool.run(square, 2);
        CHECK(after == 4);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: shared objects are named by both sides") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto call = pool.submit(stay, begun, go);
        co_await begun.wait();
        CHECK(!call.done());
        go.set();
        const int pid = co_await call;
        CHECK(pid != ::getpid());
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: an exception comes with type and text, and the pool lives on") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int pid = co_await pool.run(own_pid);
        CHECK_THROWS_WITH_AS(co_await pool.run(refuse, "no"), "no", std::invalid_argument);
        CHECK_THROWS_WITH_AS(co_await pool.run(fail_later), "too late", std::out_of_range);
        std::string type;
        std::string text;
        try {
            co_await pool.run(sell);
        } catch (const remote_error& error) {
            type = error.type();
            text = error.text();
        }
        CHECK(type.ends_with("sold_out"));
        CHECK(text == "no tickets");
        const int after = co_await pool.run(own_pid);
        CHECK(after == pid);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a thousand sleepers in two workers take one sleep") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const time_point begun = clock::now();
        std::vector<pool_call<int>> calls;
        for (int i = 0; i < 1000; ++i) calls.push_back(pool.submit(nap, 100ms));
        for (auto& each : calls) co_await each;
        CHECK(clock::now() - begun < 10s);  // one after the other: 50 s
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: tasks are shared out among its workers") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const std::set<int> both = co_await meet_all(pool, 2);
        CHECK(both.size() == 2);
        std::set<int> homes;  // one that stands still for 100 ms loses them to the other
        for (int tries = 0; tries < 20 && homes != both; ++tries)
            homes = co_await homes_of(pool, stay_waiting, 1000);
        CHECK(homes == both);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a function may run a loop of its own") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const int more = co_await pool.run(run_a_loop, 4);
        CHECK(more == 5);
        const int twice = co_await pool.run(run_a_loop, more);
        CHECK(twice == 6);
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: a short call's result does not wait for the long one behind it") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        for (int i = 0; i < 50; ++i) co_await pool.run(nothing);  // it has just been rung
        std::vector<pool_call<long>> quick;
        for (long i = 0; i < 20; ++i) quick.push_back(pool.submit(square, i));
        auto slow = pool.submit(stay, begun, go);
        for (long i = 0; i < 20; ++i) {
            const long squared = co_await quick[static_cast<std::size_t>(i)];
            CHECK(squared == i * i);
        }
        CHECK(!slow.done());
        go.set();
        co_await slow;
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: calls behind a long one go to the worker that is free") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        std::vector<pool_call<int>> calls;
        auto slow = pool.submit(stay, begun, go);
        for (int i = 0; i < 40; ++i) calls.push_back(pool.submit(own_pid));
        co_await begun.wait();
        for (int i = 0; i < 40; ++i) {
            calls.push_back(pool.submit(own_pid));
            calls.push_back(pool.submit(nap, 1ms));
        }
        for (auto& each : calls) co_await each;
        CHECK(!slow.done());
        go.set();
        co_await slow;
    });
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: a pool_call can be awaited later, with a time limit, and again") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        auto call = pool.submit(stay_waiting, begun, go);
        CHECK_THROWS_AS(co_await timeout(5ms, call), timeout_error);
        CHECK(!call.done());
        go.set();
        const int pid = co_await timeout(10s, call);
        CHECK(pid != ::getpid());
        CHECK(!call);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a callback runs here when the call has ended") {
    with_pool(1, [](process_pool& pool) -> task<> {
        int where = 0;
        bool failed = false;
        pool.submit(own_pid).add_done_callback([&](pool_call<int> done) {
            CHECK(done.done());
            where = ::getpid();
        });
        pool.submit(refuse, "no").add_done_callback([&](pool_call<> done) {
            failed = done.done();
            done = pool_call<>();
        });
        co_await until([&] { return where != 0 && failed; });
        CHECK(where == ::getpid());
    });
}

TEST_CASE("pool: a failure that nobody hears of is reported") {
    std::string heard;
    run_options options;
    options.report = [&heard](const failure_report& report) {
        try {
            std::rethrow_exception(report.error);
        } catch (const std::exception& error) {
            heard = error.what();
        }
    };
    const auto dropped = [](std::string& into) -> task<> {
        process_pool pool(1);
        {
            auto unheard = pool.submit(refuse, "nobody listens");
        }
        co_await until([&] { return !into.empty(); });
        co_await pool.close();
    };
    run(options, dropped(heard));
    CHECK(heard == "nobody listens");
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: every worker is initialized first, also one that comes later") {
    process_pool_options options(2);
    options.set_initializer(open_all, std::string("store"), 7);
    with_pool(options, [](process_pool& pool) -> task<> {
        for (int i = 0; i < 3; ++i) {
            std::vector<pool_call<std::string>> calls;
            for (int k = 0; k < 8; ++k) calls.push_back(pool.submit(what_is_open));
            for (auto& each : calls) {
                const std::string text = co_await each;
                CHECK(text == "store7");
            }
            CHECK_THROWS_AS(co_await pool.run(kill_self, SIGKILL), worker_died);
        }
    });
    process_pool_options slow(1);
    std::string kept_here = "late";
    slow.set_initializer(open_slowly, kept_here.c_str());
    kept_here = "gone";
    with_pool(slow, [](process_pool& pool) -> task<> {
        const std::string text = co_await pool.run(what_is_open);
        CHECK(text == "late");
    });
    CHECK(opened.empty());
}

TEST_CASE_FIXTURE(pool_check, "pool: a worker retires after its calls, and none is lost") {
    process_pool_options options(2);
    options.max_tasks_per_child = 5;
    with_pool(options, [](process_pool& pool) -> task<> {
        std::vector<pool_call<int>> calls;
        for (int i = 0; i < 100; ++i)
            calls.push_back(i % 2 == 0 ? pool.submit(own_pid) : pool.submit(nap, 1ms));
        std::vector<int> pids;
        for (auto& each : calls) {
            const int pid = co_await each;
            pids.push_back(pid);
        }
        for (const int pid : std::set<int>(pids.begin(), pids.end()))
            CHECK(std::count(pids.begin(), pids.end(), pid) <= 5);
        CHECK(pool.stats().died == 0);
        CHECK(pool.stats().started >= 20);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: workers have names, and cores where that is asked for") {
    process_pool_options options(2);
    options.name = "crunch";
    options.pin = true;
    with_pool(options, [](process_pool& pool) -> task<> {
        const std::string name = co_await pool.run(own_name);
        CHECK(name.starts_with("crunch-"));
        const int cores = co_await pool.run(cores_allowed);
        CHECK(cores == 1);
    });
    process_pool_options free(1);
    free.pin = false;
    with_pool(free, [](process_pool& pool) -> task<> {
        const int cores = co_await pool.run(cores_allowed);
        CHECK(cores == cores_allowed());
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: counts add up") {
    with_pool(2, [](process_pool& pool) -> task<> {
        const shm::event begun;
        const shm::event go;
        CHECK(pool.stats().workers == 2);
        std::vector<pool_call<int>> calls;
        for (int i = 0; i < 3; ++i) calls.push_back(pool.submit(stay, begun, go));
        CHECK(pool.stats().submitted == 3);
        CHECK(pool.stats().queued == 3);
        co_await begun.wait();
        CHECK(pool.stats().running == 3);
        go.set();
        for (auto& each : calls) co_await each;
        const process_pool_stats at_end = pool.stats();
        CHECK(at_end.done == 3);
        CHECK(at_end.running == 0);
        CHECK(at_end.queued == 0);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: its workers' loops spin for as long as they are told to") {
    process_pool_options tireless(1);
    tireless.spin = 1h;
    with_pool(tireless, [](process_pool& pool) -> task<> {
        std::uint64_t most = 0;  // one sleep may find the core taken away
        for (int tries = 0; tries < 1000 && most < 50; ++tries) {
            const std::uint64_t turns = co_await pool.run(turns_of_a_sleep, 1ms);
            most = std::max(most, turns);
        }
        CHECK(most >= 50);
    });
    process_pool_options sleepy(1);
    sleepy.brief_spin = false;
    with_pool(sleepy, [](process_pool& pool) -> task<> {
        const std::uint64_t turns = co_await pool.run(turns_of_a_sleep, 30ms);
        CHECK(turns <= 50);
    });
}

TEST_CASE_FIXTURE(pool_check, "pool: a worker that waits long sleeps, unless it is told to spin") {
    with_pool(1, [](process_pool& pool) -> task<> {
        const std::uint64_t turns = co_await pool.run(turns_after_long_waits);
        CHECK(turns <= 50);
    });
}

}  // namespace

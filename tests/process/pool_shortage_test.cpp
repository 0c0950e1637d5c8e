// Pools that cannot start another worker: no descriptors are left, or no processes.
#include <lariat/process/pool.hpp>

#include "pool_support.hpp"

#include "program.hpp"

#include <lariat/process/shm/value.hpp>
#include <lariat/task/error_group.hpp>

#include <set>

#include <sys/resource.h>

namespace {

using namespace lariat;
using namespace lariat::test;

constexpr std::uint64_t more_than_the_most = 6;  // most_start_failures is 5

/// What an initializer spawns runs when the worker is ready: no call is needed to know it.
task<> add_one(shm::value<int> to) {
    int seen = to.get();
    while (!to.compare_exchange(seen, seen + 1)) {
    }
    co_return;
}
task<> count_when_ready(shm::value<int> ready) {
    spawn(add_one(std::move(ready)));
    co_return;
}
process_pool_options counting(const shm::value<int>& ready) {
    process_pool_options options(2);
    options.set_initializer(count_when_ready, ready);
    return options;
}
void kill_a_worker() { (void)::kill(active_children().at(0).pid, SIGKILL); }

/// This process can open nothing, not even where something was closed.
class no_descriptors {
 public:
    no_descriptors() {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit none = before_;
        none.rlim_cur = 3;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    }
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;
    ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
    rlimit before_{};
};

/// Runs body(), and returns what the loop's report hook was told.
template <class Body>
std::vector<std::string> told_while(Body body) {
    std::vector<std::string> told;
    run_options options;
    options.report = [&told](const failure_report& report) {
        told.push_back(describe(report.error));
    };
    run(options, body());
    return told;
}
bool has(const std::string& text, const char* words) {
    return text.find(words) != std::string::npos;
}

TEST_CASE_FIXTURE(pool_check,
                  "pool: without descriptors for a new worker it goes on with those it has") {
    const auto told = told_while([]() -> task<> {
        const shm::value<int> ready(0);
        process_pool pool(counting(ready));
        co_await until([&] { return ready.get() == 2; });
        {
            const no_descriptors left;
            kill_a_worker();
            co_await until([&] { return pool.stats().start_failures >= more_than_the_most; });
            const auto squares = co_await pool.map(square, numbers_up_to(100), 1);
            CHECK(squares == squares_of(numbers_up_to(100)));
            CHECK(pool.stats().workers == 1);
            CHECK(pool.stats().died == 1);
        }
        co_await until([&] { return ready.get() == 3; });
        CHECK(pool.stats().workers == 2);
        const std::set<int> both = co_await meet_all(pool, 2);
        CHECK(both.size() == 2);
        co_await pool.close();
    });
    REQUIRE(told.size() == 1);
    CHECK_MESSAGE(has(told[0], "process_pool \"pool\" goes on with 1 of its 2 workers"), told[0]);
    CHECK_MESSAGE(has(told[0], "Too many open files"), told[0]);
}

TEST_CASE_FIXTURE(pool_check, "pool: one that is short of workers closes at once") {
    const auto told = told_while([]() -> task<> {
        const shm::value<int> ready(0);
        process_pool pool(counting(ready));
        co_await until([&] { return ready.get() == 2; });
        const no_descriptors left;
        kill_a_worker();
        co_await until([&] { return pool.stats().start_failures >= more_than_the_most; });
        auto waits = pool.submit(nap, 1ms);
        co_await timeout(10s, pool.close());
        CHECK(waits.successful());
    });
    CHECK(told.size() == 1);
}

TEST_CASE_FIXTURE(pool_check, "pool: each shortage is told of, when all workers had been there") {
    const auto told = told_while([]() -> task<> {
        const shm::value<int> ready(0);
        process_pool pool(counting(ready));
        for (int shortage = 1; shortage <= 2; ++shortage) {
            co_await until([&] { return ready.get() == shortage + 1; });
            const std::uint64_t before = pool.stats().start_failures;
            const no_descriptors left;
            kill_a_worker();
            co_await until([&] { return pool.stats().start_failures >= before + 2; });
        }
        co_await pool.close();
    });
    CHECK(told.size() == 2);
}

TEST_CASE_FIXTURE(pool_check, "pool: it ends when the last worker has gone and none can come") {
    const auto told = told_while([]() -> task<> {
        const shm::value<int> ready(0);
        process_pool pool(counting(ready));
        co_await until([&] { return ready.get() == 2; });
        {
            const no_descriptors left;
            kill_a_worker();
            co_await until([&] { return pool.stats().start_failures >= more_than_the_most; });
            kill_a_worker();
            co_await until([&] { return pool.stats().workers == 0; });
            CHECK(pool.stats().died == 2);
            const std::uint64_t before = pool.stats().start_failures;
            auto waits = pool.submit(square, 1);
            CHECK_THROWS_AS(co_await timeout(20s, waits), pool_start_error);
            CHECK(pool.stats().start_failures <= before + 5);
        }
        CHECK_THROWS_AS(co_await pool.run(square, 1), pool_start_error);
        co_await timeout(20s, pool.close());
    });
    CHECK(told.size() == 1);
}

/// False if it does not come true within ten seconds.
template <class Predicate>
task<bool> comes_true(Predicate holds) {
    const time_point end = clock::now() + 10s;
    bool done = holds();
    while (!done && clock::now() < end) {
        co_await yield_now();
        done = holds();
    }
    co_return done;
}
task<> lose_a_worker(int& step) {
    process_pool pool(2);
    const int pid = co_await pool.run(own_pid);
    const int server = parent_of(pid);
    rlimit before{};
    if (::prlimit(server, RLIMIT_NPROC, nullptr, &before) != 0) co_return;
    const rlimit none{0, before.rlim_max};
    if (::prlimit(server, RLIMIT_NPROC, &none, nullptr) != 0) co_return;
    step = 1;
    (void)::kill(pid, SIGKILL);
    const bool tried =
        co_await comes_true([&] { return pool.stats().start_failures >= more_than_the_most; });
    if (!tried || pool.stats().workers != 1) co_return;
    step = 2;
    const long squared = co_await pool.run(square, 5);
    if (squared != 25 || ::prlimit(server, RLIMIT_NPROC, &before, nullptr) != 0) co_return;
    step = 3;
    const bool back = co_await comes_true([&] { return pool.stats().workers == 2; });
    if (back) step = 0;
    co_await pool.close();
}

const role may_not_fork("pool may not fork", [] {
    constexpr uid_t somebody = 54321;  // root is refused nothing
    if (::getuid() == 0 && ::setuid(somebody) != 0) return 10;
    start_fork_server();
    int step = 10;
    run(lose_a_worker(step));
    return step;
});

TEST_CASE("pool: where the system refuses another process it goes on with those it has") {
    program it("pool may not fork");
    const std::string said = it.rest();
    CHECK_MESSAGE(has(said, "process_pool \"pool\" goes on with 1 of its 2 workers"), said);
    CHECK_MESSAGE(has(said, "the system refuses another process"), said);
    CHECK_MESSAGE(said.find("goes on") == said.rfind("goes on"), said);
    CHECK(it.wait() == 0);
}

}  // namespace

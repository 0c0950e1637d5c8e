// Processes that execute the program anew: what they have of the family, and what they have not.
// Each role is a program of its own.
#include <lariat/process/process.hpp>

#include "family_support.hpp"
#include "killed.hpp"
#include "leak_check.hpp"
#include "scratch.hpp"

#include "process/fresh_process.hpp"
#include "process/modules.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/pipe.hpp>
#include <lariat/process/pool.hpp>
#include <lariat/process/shm.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;

// Set by what runs before main() in each execution, and by main().
struct maker {
    int by = ::getpid();
    ~maker() {
        if (says_its_end) say("static objects have gone");
    }
    bool says_its_end = false;
};
maker made_before_main;
int changed_later = 1;

void expect(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}
void leave_with(int code) { std::exit(code); }
void fail_with(std::string text) { throw std::runtime_error(text); }
task<> nap() { co_await sleep(1ms); }

TEST_CASE_FIXTURE(family_check, "fresh process: a function, a task, an object with state") {
    run([]() -> task<> {
        process plain = process::spawn_fresh(leave_with, 7);
        process on_loop = process::spawn_fresh(named("sleeper"), nap);
        process lambda = process::spawn_fresh([](int code) { std::exit(code); }, 8);
        CHECK(on_loop.name() == "sleeper");
        const process_status first = co_await plain.join();
        CHECK(first.exit_code() == 7);
        const process_status second = co_await on_loop.join();
        CHECK(second.exit_code() == 0);
        const process_status third = co_await lambda.join();
        CHECK(third.exit_code() == 8);
    }());
}

void look_at_statics(int parent) {
    expect(made_before_main.by == ::getpid(), "static objects are its own");
    expect(changed_later == 1, "nothing that the parent changed is seen");
    expect(this_process::is_child() && !this_process::is_daemon(), "a child");
    expect(this_process::name() == "a name of more than 15", "its name");
    expect(this_process::parent_pid() == parent, "its parent");
    std::array<char, 16> shown{};
    ::prctl(PR_GET_NAME, shown.data());
    expect(std::string(shown.data()) == "a name of more ", "its name as the system shows it");
    expect(std::getenv(lariat::detail::orders_variable) == nullptr, "no trace in the environment");
}
void look_at_inherited_statics(int first) {
    expect(made_before_main.by == first, "a copy's static objects are the first process's");
}

TEST_CASE_FIXTURE(family_check, "fresh process: nothing of its parent's memory is there") {
    changed_later = 2;
    process::spawn_fresh(named("a name of more than 15"), look_at_statics, ::getpid())
        .join_blocking()
        .check();
    process::start(look_at_inherited_statics, ::getpid()).join_blocking().check();
    changed_later = 1;
}

TEST_CASE_FIXTURE(family_check, "fresh process: exceptions, signals and exit codes are told") {
    const process_status failed =
        process::spawn_fresh(fail_with, "the roof is on fire").join_blocking();
    CHECK(failed.exit_code() == 1);
    CHECK_THROWS_WITH_AS(failed.check(), "the roof is on fire", std::runtime_error);
    for (const int number : {SIGTERM, SIGKILL}) {
        process child = process::spawn_fresh(for_ever);
        CHECK(child.is_alive());
        CHECK(child.send_signal(number));
        CHECK(child.join_blocking().signal() == number);
    }
    process_options pinned;
    pinned.core = 9999;
    CHECK(has(text_of<std::system_error>(
                  [&] { process::spawn_fresh(pinned, nothing).join_blocking().check(); }),
              "to core 9999"));
}

void send_back(unique_fd to, std::string text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t wrote = ::write(to.get(), text.data() + done, text.size() - done);
        if (wrote < 0) throw std::runtime_error("not written");
        done += static_cast<std::size_t>(wrote);
    }
}

TEST_CASE_FIXTURE(family_check, "fresh process: arguments of any size arrive, and descriptors") {
    for (const std::size_t size : {0UL, 5UL, 32UL * 1024, 33UL * 1024, 3UL * 1024 * 1024}) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        const unique_fd reading(ends[0]);
        const std::string text(size, 'x');
        process child = process::spawn_fresh(send_back, unique_fd(ends[1]), text);
        std::string got;
        std::array<char, 65536> room{};
        while (const ssize_t some = ::read(reading.get(), room.data(), room.size())) {
            REQUIRE(some > 0);
            got.append(room.data(), static_cast<std::size_t>(some));
        }
        CHECK(got == text);
        child.join_blocking().check();
    }
}

void look_at_descriptors() {
    std::string all;
    std::size_t lines = 0;
    for (const std::string& each : lariat::test::open_descriptors()) {
        if (number(each) <= 2) continue;
        all += each + '\n';
        ++lines;
        const int flags = ::fcntl(number(each), F_GETFD);
        if ((flags & FD_CLOEXEC) == 0) throw std::logic_error("another program would have " + each);
    }
    if (lines != 2 || !has(all, "memfd:lariat") || !has(all, "socket:"))
        throw std::logic_error(all);
}

TEST_CASE("fresh process: it has no descriptor but the streams, its channel, the shared memory") {
    const unique_fd other(::dup(0));
    process beside = process::spawn_fresh(for_ever);
    process::spawn_fresh(look_at_descriptors).join_blocking().check();
}

using parts = shm::queue<std::string>;

// What it makes, the others can take, and the fork server can sweep.
task<> work_on(parts jobs, shm::queue<shm::mutex> locks, shm::value<int> count, shm::event ready,
               bool and_die) {
    shm::mutex own;
    co_await locks.put(own);
    auto job = co_await jobs.get();
    if (job != "a job") throw std::logic_error("the job");
    count.set(count.get() + 1);
    auto held = co_await own.lock();
    ready.set();
    if (and_die) (void)::raise(SIGKILL);
    co_await jobs.put("done");
}

TEST_CASE_FIXTURE(family_check, "fresh process: shared objects are the same, also those it makes") {
    for (const bool killed : {false, true}) {
        run([](bool and_die) -> task<> {
            parts jobs(4);
            shm::queue<shm::mutex> locks(1);
            shm::value<int> count(41);
            shm::event ready;
            process child = process::spawn_fresh(work_on, jobs, locks, count, ready, and_die);
            auto its_lock = co_await locks.get();
            co_await jobs.put("a job");
            co_await ready.wait();
            const process_status ended = co_await child.join();
            CHECK(count.get() == 42);
            CHECK(ended.signal() == (and_die ? SIGKILL : 0));
            bool died = false;
            try {
                auto held = co_await its_lock->lock();
            } catch (const lariat::owner_died&) {
                died = true;
            }
            CHECK(died == and_die);
            if (!and_die) {
                auto answer = co_await jobs.get();
                CHECK(answer == "done");
            }
        }(killed));
    }
}

task<> echo(pipe_end<std::string> end) {
    auto got = co_await end.recv();
    while (got) {
        co_await end.send(*got + "!");
        got = co_await end.recv();
    }
}

TEST_CASE_FIXTURE(family_check, "fresh process: a pipe leads there and back") {
    run([]() -> task<> {
        lariat::pipe<std::string> both;
        process child = process::spawn_fresh(echo, std::move(both.second));
        co_await both.first.send("hello");
        auto answer = co_await both.first.recv();
        CHECK(answer == "hello!");
        both.first.close();
        const process_status ended = co_await child.join();
        CHECK(ended.exit_code() == 0);
    }());
}

int twice(int number) { return 2 * number; }
void look_at_copy(int parent) {
    expect(this_process::parent_pid() == parent, "its parent");
    expect(made_before_main.by != parent, "it is a copy of the first process");
}
task<> start_others() {
    process copy = process::start(look_at_copy, ::getpid());
    process fresh = process::spawn_fresh(look_at_statics, ::getpid());
    const process_status by_fork = co_await copy.join();
    by_fork.check();
    const process_status by_exec = co_await fresh.join();
    if (!by_exec.exception() || by_exec.exception()->text != "its name")
        throw std::logic_error("a grandchild went wrong");
    process_pool pool(2);
    const int four = co_await pool.run(twice, 2);
    if (four != 4) throw std::logic_error("a pool went wrong");
    co_await pool.close();
}

TEST_CASE_FIXTURE(family_check, "fresh process: it starts others, and has a pool of its own") {
    process::spawn_fresh(start_others).join_blocking().check();
}

const role dies_with_daemon("fresh daemon", [] {
    start_fork_server();
    process daemon = process::spawn_fresh(daemon_named("daemon"), say_and_stay);
    process plain = process::spawn_fresh(named("plain"), say_and_wait);
    wait_for_tester();
    return 0;
});

TEST_CASE("fresh process: a daemon goes with its parent, another outlives it") {
    program it("fresh daemon");
    const auto pids = numbers(it, 2);
    it.kill(SIGKILL);
    CHECK(it.wait() == -SIGKILL);
    CHECK(goes(pids.at("daemon")));
    CHECK(is_there(pids.at("plain")));
    it.let_go();
    CHECK(goes_at_last(pids.at("plain")));
}

bool runs_anew() {
    std::ifstream file("/proc/" + std::to_string(::getppid()) + "/comm");
    std::string parent;
    file >> parent;
    return parent == "lariat-forks";
}

void say_last_words() {
    made_before_main.says_its_end = true;
    std::atexit([] { say("own handler"); });
}

const role says_main("fresh main", [] {
    say("main begins");
    start_fork_server();
    process::spawn_fresh(say_last_words).join_blocking().check();
    say("main ends");
    return 0;
});

TEST_CASE("fresh process: main() runs up to the family's begin, and static objects go at the end") {
    program it("fresh main");
    for (const char* line :
         {"main begins", "main begins", "own handler", "static objects have gone", "main ends"})
        CHECK(it.line() == line);
    CHECK(it.rest().empty());
    CHECK(it.wait() == 0);
}

const role goes_elsewhere("fresh elsewhere", [] {
    if (runs_anew()) return 0;
    start_fork_server();
    say(text_of<std::logic_error>(
        [] { process::spawn_fresh(say_last_words).join_blocking().check(); }));
    return 0;
});

TEST_CASE("fresh process: main() that goes another way is an error that says so") {
    program it("fresh elsewhere");
    CHECK(has(it.rest(), "main() ended before it began the family"));
    CHECK(it.wait() == 0);
}

const role replaced("fresh replaced", [] {
    start_fork_server();
    const std::string own = program::own_file();
    std::filesystem::remove(own);
    say(std::to_string(process::spawn_fresh(leave_with, 5).join_blocking().exit_code()));
    std::ofstream(own) << "#!/bin/sh\nexit 99\n";
    std::filesystem::permissions(own, std::filesystem::perms::owner_all);
    say(std::to_string(process::spawn_fresh(leave_with, 6).join_blocking().exit_code()));
    return 0;
});

TEST_CASE("fresh process: the program that runs is executed, also when its file was replaced") {
    const scratch folder;
    std::filesystem::copy_file(program::own_file(), folder.path("program"));
    program it("fresh replaced", folder.path("program"));
    CHECK(it.line() == "5");
    CHECK(it.line() == "6");
    CHECK(it.wait() == 0);
}

const role forbidden("fresh forbidden", [] {
    start_fork_server();
    std::filesystem::permissions(program::own_file(), std::filesystem::perms::none);
    const auto start = [] { process::spawn_fresh(leave_with, 5).join_blocking().check(); };
    say(text_of<std::system_error>(start));
    return 0;
});

TEST_CASE("fresh process: a program that cannot be executed any more is an error that says so") {
    const scratch folder;
    std::filesystem::copy_file(program::own_file(), folder.path("program"));
    program it("fresh forbidden", folder.path("program"));
    CHECK(it.line() == "executing the program anew (/proc/self/exe): Permission denied");
    CHECK(it.wait() == 0);
}

TEST_CASE("fresh process: addresses are found in what has the same build, and nowhere else") {
    const auto mine = lariat::detail::loaded_modules();
    const auto place = reinterpret_cast<std::uintptr_t>(&twice);
    const auto* own = lariat::detail::module_of(mine, place);
    REQUIRE(own == mine.data());
    auto others = mine;
    for (auto& each : others) {
        each.begin += 0x10000000;
        each.end += 0x10000000;
    }
    const lariat::detail::module_map map(mine, others);
    CHECK(map.there(place) == place + 0x10000000);
    CHECK(map.here(place + 0x10000000) == place);
    CHECK(map.there(0) == 0);
    CHECK(map.here(reinterpret_cast<std::uintptr_t>(&others)) == 0);
    others.front().build.front() ^= std::byte{1};
    const lariat::detail::module_map other_build(mine, others);
    CHECK(other_build.there(place) == 0);
    CHECK(other_build.there(reinterpret_cast<std::uintptr_t>(&::getppid)) != 0);
}

// Something else lies where shared memory is to be, the first times.
[[gnu::constructor(101)]] void lie_in_the_way() {
    const char* const times = std::getenv("LARIAT_TEST_IN_THE_WAY");
    const char* const orders = std::getenv(lariat::detail::orders_variable);
    int file = -1;
    int attempt = 0;
    if (times == nullptr || orders == nullptr ||
        std::sscanf(orders, "%d:%d", &file, &attempt) != 2 || attempt > std::atoi(times))
        return;
    lariat::detail::fresh_orders head;
    if (::pread(file, &head, sizeof head, 0) != sizeof head) return;
    (void)::mmap(reinterpret_cast<void*>(head.arena), 4096, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

const role in_the_way("in the way", [] {
    ::setenv("LARIAT_TEST_IN_THE_WAY", "2", 1);
    start_fork_server();
    say(std::to_string(process::spawn_fresh(leave_with, 9).join_blocking().exit_code()));
    return 0;
});
const role always_in_the_way("always in the way", [] {
    ::setenv("LARIAT_TEST_IN_THE_WAY", "100", 1);
    start_fork_server();
    say(text_of<std::system_error>(
        [] { process::spawn_fresh(leave_with, 9).join_blocking().check(); }));
    return 0;
});

TEST_CASE("fresh process: what lies in shared memory's place is avoided, or told of") {
    program once("in the way");
    CHECK(once.line() == "9");
    program always("always in the way");
    CHECK(has(always.rest(), "shared memory cannot be mapped where the family has it"));
}

}  // namespace

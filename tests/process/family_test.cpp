// A family's beginning: who may begin one, what its processes inherit, and what they do not; and
// what is said when the system refuses one. Each role is a program of its own.
#include <lariat/process/family.hpp>

#include "death.hpp"
#include "family_support.hpp"
#include "leak_check.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/pipe.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm/array.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;

const role by_loop("by loop", [] {
    run([]() -> task<> {
        process child = process::start(nothing);
        const process_status status = co_await child.join();
        say(std::to_string(status.exit_code()));
    }());
    return 0;
});

TEST_CASE("family: the first loop starts it") {
    program it("by loop");
    CHECK(it.line() == "0");
    CHECK(it.wait() == 0);
}

const role no_family("no family", [] {
    say(text_of<std::logic_error>([] { (void)process::start(nothing); }));
    return 0;
});

TEST_CASE("family: without one, a start says what to do") {
    program it("no family");
    CHECK(has(it.rest(), "lariat::start_fork_server() first in main()"));
    CHECK(it.wait() == 0);
}

const role too_late("too late", [] {
    std::promise<void> end;
    std::thread other([&end] { end.get_future().wait(); });
    say(text_of<std::logic_error>([] { start_fork_server(); }));
    run([]() -> task<> {
        say(text_of<std::logic_error>([] { (void)process::start(nothing); }));
        say(text_of<std::logic_error>([] { const shm::mutex shared; }));
        say(text_of<std::logic_error>([] { const lariat::pipe<int> ends; }));
        co_return;
    }());
    end.set_value();
    other.join();
    return 0;
});

TEST_CASE("family: beside another thread it does not start, and says so at each first use too") {
    program it("too late");
    const std::string said = it.rest();
    CHECK(it.wait() == 0);
    std::size_t times = 0;
    for (std::size_t at = 0; (at = said.find("1 other thread runs", at)) != std::string::npos; ++at)
        ++times;
    CHECK_MESSAGE(times == 4, said);
    CHECK(has(said, "right: lariat::start_fork_server() first in main()"));
}

TEST_CASE("family: a process forked by hand does not belong to it") {
    process child = process::start(for_ever);
    const lariat::test::ending how = lariat::test::run_in_lone_child([&child] {
        say(text_of<std::logic_error>([] { (void)process::start(nothing); }));
        say(text_of<std::logic_error>([] { start_fork_server(); }));
        say(text_of<std::logic_error>([&child] { (void)child.join_blocking(); }));
        say(text_of<std::logic_error>([&child] { child.kill(); }));
        say(text_of<std::logic_error>([&child] { (void)run(child.stop()); }));
        process gone(std::move(child));
    });
    CHECK(how.exit_code == 0);
    std::size_t times = 0;
    for (std::size_t at = 0; (at = how.text.find("forked by hand", at)) != std::string::npos; ++at)
        ++times;
    CHECK_MESSAGE(times == 5, how.text);
    CHECK(child.is_alive());
}

TEST_CASE("family: the fork server minds no signal that can be minded, and no wait finds it") {
    const int server = fork_server();
    CHECK(server != ::getpid());
    CHECK(parent_of(server) == ::getpid());
    std::ifstream name("/proc/" + std::to_string(server) + "/comm");
    std::string shown;
    name >> shown;
    CHECK(shown == "lariat-forks");
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGALRM})
        ::kill(server, number);
    CHECK(process::start(nothing).join_blocking().exit_code() == 0);
    CHECK(::waitpid(-1, nullptr, 0) == -1);
    CHECK(errno == ECHILD);
}

void say_descriptors(int kept) {
    std::string all;
    for (const std::string& each : lariat::test::open_descriptors()) {
        if (number(each) > 2 && number(each) != kept) all += each + '\n';
    }
    if (!has(all, "memfd:lariat")) throw std::logic_error("no shared memory");
    std::size_t lines = 0;
    for (const char c : all) lines += c == '\n' ? 1 : 0;
    if (lines != 2 || !has(all, "socket:")) throw std::logic_error(all);
}

TEST_CASE("family: a process has no descriptor but the streams, its channel, the shared memory") {
    const unique_fd other(::dup(0));
    process beside = process::start(for_ever);
    process::start(say_descriptors, -1).join_blocking().check();
}

/// Writes on all three: what a message would do that met a descriptor of another kind there.
void use_closed_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        char room[64] = {};
        if (::write(stream, room, sizeof room) >= 0 || errno != EBADF ||
            ::read(stream, room, sizeof room) >= 0 || errno != EBADF)
            throw std::logic_error("stream " + std::to_string(stream) + " is something");
    }
}

const role without_streams("without streams", [] {
    const unique_fd tester(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100));
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(stream);
    std::string first;
    std::string second;
    run([](std::string& told) -> task<> {
        process child = process::start(use_closed_streams);
        const process_status status = co_await child.join();
        use_closed_streams();
        told = std::to_string(status.exit_code());
    }(first));
    second = std::to_string(process::start(nothing).join_blocking().exit_code());
    ::dup2(tester.get(), STDOUT_FILENO);
    say(first + second);
    return 0;
});

TEST_CASE("family: where a standard stream is closed, nothing of ours is met under its number") {
    program it("without streams");
    CHECK(it.line() == "00");
    CHECK(it.wait() == 0);
}

void limit_files(rlim_t bytes) {
    const rlimit most{bytes, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &most);
}

const role small_files("small files", [] {
    limit_files(100'000'000);
    start_fork_server();
    const shm::mutex shared;
    const std::size_t capacity = shared_memory_stats().capacity_bytes;
    say(capacity <= 100'000'000 && capacity > 90'000'000 ? "as much" : "more or less");
    say(std::to_string(process::start(nothing).join_blocking().exit_code()));
    say(text_of<std::system_error>([] { const shm::array<char> too_large(99'000'000); }));
    return 0;
});

TEST_CASE("family: it has as much shared memory as the limit of file sizes allows") {
    program it("small files");
    CHECK(it.line() == "as much");
    CHECK(it.line() == "0");
    CHECK(has(it.line(), "larger than the shared memory"));
    CHECK(it.wait() == 0);
}

const role tiny_files("tiny files", [] {
    limit_files(4096);
    run([]() -> task<> {
        say(text_of<std::system_error>([] { (void)process::start(nothing); }));
        co_return;
    }());
    return 0;
});

TEST_CASE("family: a limit of file sizes that leaves it no memory is named at its first use") {
    program it("tiny files");
    const std::string said = it.line();
    CHECK_MESSAGE(has(said, "RLIMIT_FSIZE"), said);
    CHECK(it.wait() == 0);
}

void look_at_actions() {
    for (int number = 1; number < 32; ++number) {
        struct sigaction now{};
        if (::sigaction(number, nullptr, &now) == 0 && now.sa_handler != SIG_DFL)
            throw std::logic_error("signal " + std::to_string(number));
    }
}
void look_at_mask() {
    sigset_t blocked;
    ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
    for (int number = 1; number < 32; ++number)
        if (::sigismember(&blocked, number) != 0)
            throw std::logic_error("mask of " + std::to_string(number));
}

const role with_signals("with signals", [] {
    std::signal(SIGUSR1, [](int) {});
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGCHLD, SIG_IGN);
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    start_fork_server();
    process::start(look_at_actions).join_blocking().check();
    process::start(look_at_mask).join_blocking().check();
    process::spawn_fresh(look_at_mask).join_blocking().check();
    process child = process::start(for_ever);
    child.terminate();
    say(std::to_string(child.join_blocking().signal()));
    return 0;
});

TEST_CASE("family: signals have their default actions, and none is blocked") {
    program it("with signals");
    CHECK(it.rest() == std::to_string(SIGTERM) + '\n');
    CHECK(it.wait() == 0);
}

void print() {
    std::printf("printed;");
    std::cout << "streamed;";
}

const role prints("prints", [] {
    std::ios::sync_with_stdio(false);
    std::printf("before;");
    std::cout << "also before;";
    start_fork_server();
    process::start(print).join_blocking().check();
    process::start(nothing).join_blocking().check();
    return 0;
});

TEST_CASE("family: what is written to a stream appears once") {
    program it("prints");
    const std::string said = it.rest();
    CHECK(it.wait() == 0);
    for (const char* words : {"also before;", "printed;", "streamed;"})
        CHECK_MESSAGE(said.find(words) == said.rfind(words), said);
    CHECK_MESSAGE(said.size() == std::string("before;also before;printed;streamed;").size(), said);
}

struct said_at_end {
    const char* words;
    ~said_at_end() { say(words); }
};

void exit_by_hand(bool by_exit) {
    static const said_at_end own{"own static"};
    std::atexit([] { say("own handler"); });
    if (by_exit) std::exit(3);
}

const role exits("exits", [] {
    static const said_at_end before{"inherited"};
    start_fork_server();
    say(std::to_string(process::start(exit_by_hand, true).join_blocking().exit_code()));
    say(std::to_string(process::start(exit_by_hand, false).join_blocking().exit_code()));
    return 0;
});

TEST_CASE("family: the end of a process runs what it registered, not what it inherited") {
    program it("exits");
    CHECK(it.line() == "own handler");
    CHECK(it.line() == "own static");
    CHECK(it.line() == "3");
    CHECK(it.line() == "own handler");
    CHECK(it.line() == "own static");
    CHECK(it.line() == "0");
    CHECK(it.line() == "inherited");
    CHECK(it.rest().empty());
    CHECK(it.wait() == 0);
}

const role may_not_fork("may not fork", [] {
    constexpr uid_t somebody = 54321;
    if (::getuid() == 0 && ::setuid(somebody) != 0) return 1;
    start_fork_server();
    const int server = fork_server();
    const rlimit none{0, 0};
    if (::prlimit(server, RLIMIT_NPROC, &none, nullptr) != 0) return 2;
    say(text_of<std::system_error>([] { (void)process::start(nothing); }));
    rlimit limit{};
    if (::prlimit(server, RLIMIT_NOFILE, nullptr, &limit) != 0) return 3;
    for (const rlim_t few : {rlim_t{5}, rlim_t{7}, rlim_t{8}}) {
        limit.rlim_cur = few;
        if (::prlimit(server, RLIMIT_NOFILE, &limit, nullptr) != 0) return 4;
        say(text_of<std::system_error>([] { (void)process::start(nothing); }));
    }
    return 0;
});

TEST_CASE("family: a refused fork is an error that says so, as are descriptors used up") {
    program it("may not fork");
    CHECK(has(it.line(), "starting process-2: the system refuses another process: Resource"));
    for (int i = 0; i < 3; ++i) {
        const std::string line = it.line();
        CHECK_MESSAGE(has(line, ": Too many open files"), line);
    }
    CHECK(it.wait() == 0);
}

const role has_no_descriptors("has no descriptors", [] {
    start_fork_server();
    const int next = ::dup(0);
    ::close(next);
    for (rlim_t room = 0; room < 4; ++room) {
        const rlimit few{static_cast<rlim_t>(next) + room, 1000};
        ::setrlimit(RLIMIT_NOFILE, &few);
        say(text_of<std::system_error>([] { (void)process::start(named("poor"), nothing); }));
    }
    const rlimit enough{1000, 1000};
    ::setrlimit(RLIMIT_NOFILE, &enough);
    say(std::to_string(process::start(nothing).join_blocking().exit_code()));
    return 0;
});

TEST_CASE("family: no descriptors left for a handle, nothing stays behind") {
    program it("has no descriptors");
    const std::string said = it.rest();
    CHECK_MESSAGE(has(said, "starting poor: its status socket: Too many open files"), said);
    CHECK_MESSAGE(has(said, "starting poor: no descriptor is left for its pidfd"), said);
    CHECK(said.ends_with("\n0\n"));
    CHECK(it.wait() == 0);
}

TEST_CASE("family: a function of a library loaded later is refused") {
    void* const library = ::dlopen("libthread_db.so.1", RTLD_LAZY);
    REQUIRE(library != nullptr);
    void* const symbol = ::dlsym(library, "td_init");
    REQUIRE(symbol != nullptr);
    auto* const function = reinterpret_cast<void (*)()>(symbol);
    const std::string said =
        text_of<std::invalid_argument>([function] { (void)process::start(function); });
    CHECK_MESSAGE(has(said, "loaded after the fork server started"), said);
    CHECK(has(said, "libthread_db"));
    ::dlclose(library);
}

const role fills_the_family("fills the family", [] {
    start_fork_server();
    std::vector<process> all;
    const rlimit enough{5000, 5000};
    ::setrlimit(RLIMIT_NOFILE, &enough);
    say(text_of<std::system_error>([&all] {
        for (;;) all.push_back(process::start(wait_for_tester));
    }));
    say(std::to_string(all.size()));
    wait_for_tester();
    for (process& each : all) (void)each.join_blocking();
    say(std::to_string(process::start(nothing).join_blocking().exit_code()));
    return 0;
});

TEST_CASE("family: it has 1,024 processes at most" * doctest::skip(!lariat::test::long_tests())) {
    program it("fills the family");
    const std::string said = it.line();
    CHECK_MESSAGE(has(said, "processes at most at a time"), said);
    CHECK(number(it.line()) >= 1000);
    it.let_go();
    CHECK(it.line() == "0");
    CHECK(it.wait() == 0);
}

}  // namespace

// A machine short of descriptors or memory: the operation fails or waits, the server goes on.
#include <lariat/net/serve.hpp>

#include "death.hpp"
#include "net_support.hpp"

#include <lariat/task/timeout.hpp>

#include "driver/fault.hpp"
#include "loop/loop_state.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace net_test;
using lariat::detail::fault;
using lariat::detail::fault_plan;
using lariat::test::ending;
using lariat::test::run_in_child;

namespace {

task<> echo(tcp_stream client) {
    for (;;) {
        const lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;
        co_await client.write_all(chunk);
    }
}

/// In a child process alone: a failed expectation is its exit code.
void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", what);
    ::_exit(3);
}

void limit_descriptors(rlim_t count) {
    rlimit both{};
    ::getrlimit(RLIMIT_NOFILE, &both);
    both.rlim_cur = count;
    expect(::setrlimit(RLIMIT_NOFILE, &both) == 0, "the limit of descriptors can be set");
}

/// What keeps this process at its limit but for `left` descriptors.
std::vector<unique_fd> hold_all_but(std::size_t left) {
    std::vector<unique_fd> held;
    for (;;) {
        unique_fd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!one) break;
        held.push_back(std::move(one));
    }
    held.resize(held.size() - std::min(left, held.size()));
    return held;
}

std::chrono::microseconds cpu_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto of = [](const timeval& t) {
        return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
    };
    return of(used.ru_utime) + of(used.ru_stime);
}

task<bool> echoes(tcp_stream& client) {
    co_await client.write_all("hello");
    const std::string back = co_await read_count(client, 5);
    co_return back == "hello";
}

/// A server short of descriptors, with more clients than it can take: those that it took are served
/// all the while, the rest once there is room.
task<> serve_in_shortage(std::size_t at_least) {
    auto listener = tcp_listener::bind(loopback());
    std::vector<tcp_stream> clients;  // connected, and waiting in the backlog
    for (int i = 0; i < 10; ++i)
        clients.push_back(co_await tcp_stream::connect(listener.local_endpoint()));
    std::vector<unique_fd> held = hold_all_but(2);
    expect(held.size() >= at_least, "so many descriptors are held");
    auto serving = spawn(serve(listener, echo));
    const bool first = co_await timeout(5s, echoes(clients[0]));
    expect(first, "the first client is served");
    co_await sleep(20ms);
    const auto before = cpu_time();
    co_await sleep(300ms);
    const auto used = cpu_time() - before;
    expect(used < 6ms, "while it pauses the processor is idle");
    const bool still = co_await timeout(5s, echoes(clients[0]));
    expect(still, "open connections are served while it pauses");
    held.resize(held.size() - std::min<std::size_t>(held.size(), 20));
    for (tcp_stream& client : clients) {
        const bool served = co_await timeout(5s, echoes(client));
        expect(served, "everybody is served once there is room");
    }
    listener.close();
    clients.clear();
    co_await serving;
}

std::size_t count_of(const std::string& text, const std::string& what) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
}

void check_served(const ending& how) {
    CHECK_MESSAGE(how.exit_code == 0, "signal ", how.signal, ", said: ", how.text);
    CHECK(count_of(how.text, "accepting pauses: Too many open files") == 1);
}

/// A loop with a plan of faults in its driver.
template <class Body>
void with_faults(fault_plan& plan, Body body) {
    const lariat::test::leak_check leaks;
    lariat::loop own;
    auto* state = own.run([]() -> task<lariat::detail::loop_state*> {
        co_return &lariat::detail::loop_state::current();
    }());
    state->driver_.set_faults(&plan);
    own.run(body());
    CHECK(own.stats().driver.lent == 0);
    own.close();
}

}  // namespace

TEST_CASE("shortage: a limit of 256 descriptors pauses the listener, and it goes on by itself") {
    check_served(run_in_child([] {
        limit_descriptors(256);
        lariat::loop own;
        own.run(serve_in_shortage(200));
    }));
}

TEST_CASE("shortage: with 19,000 descriptors held it is the same") {
    rlimit both{};
    ::getrlimit(RLIMIT_NOFILE, &both);
    if (both.rlim_max < 19'100) {
        MESSAGE("skipped: the hard limit of descriptors is below 19,100");
        return;
    }
    check_served(run_in_child([] {
        limit_descriptors(19'100);
        lariat::loop own;
        own.run(serve_in_shortage(19'000));
    }));
}

TEST_CASE(
    "shortage: a connect without a descriptor fails by itself, as a code and as an exception") {
    const ending how = run_in_child([] {
        limit_descriptors(64);
        lariat::loop own;
        own.run([]() -> task<> {
            auto listener = tcp_listener::bind(loopback());
            const endpoint where = listener.local_endpoint();
            {
                const std::vector<unique_fd> held = hold_all_but(0);
                const auto made = co_await nothrow(tcp_stream::connect(where));
                expect(made.error() == std::errc::too_many_files_open, "it has the code");
                std::string text;
                try {
                    const auto never = co_await tcp_stream::connect(where);
                } catch (const std::system_error& error) {
                    text = error.what();
                }
                expect(text.find("connecting to " + where.to_string()) == 0, "it says to where");
            }
            const auto then = co_await tcp_stream::connect(where);
        }());
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
}

TEST_CASE("shortage: every kind of shortage in accept is a pause, said once") {
    for (const int kind : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        const ending how = run_in_child([kind] {
            fault_plan plan;
            for (std::size_t nth = 0; nth < 3; ++nth)
                plan.at(op_code::accept, nth, fault::fail(kind));
            lariat::loop own;
            auto* state = own.run([]() -> task<lariat::detail::loop_state*> {
                co_return &lariat::detail::loop_state::current();
            }());
            state->driver_.set_faults(&plan);
            own.run([]() -> task<> {
                auto listener = tcp_listener::bind(loopback());
                const auto client = co_await tcp_stream::connect(listener.local_endpoint());
                const time_point began = loop::current().now();
                const auto before = cpu_time();
                const auto got = co_await timeout(10s, listener.accept());
                const duration took = loop::current().now() - began;
                expect(took >= 300ms, "three failures are three pauses of 100 ms");
                expect(cpu_time() - before < took / 20, "it does not spin");
            }());
            expect(plan.struck() == 3, "all three struck");
            own.close();
        });
        CHECK_MESSAGE(how.exit_code == 0, how.text);
        CHECK(count_of(how.text, "accepting pauses") == 1);
        CHECK(how.text.find(std::strerror(kind)) != std::string::npos);
    }
}

TEST_CASE("shortage: a listener that rests may be closed, and its handle may go") {
    for (const bool goes : {false, true}) {
        fault_plan plan;
        plan.at(op_code::accept, 0, fault::fail(ENFILE));
        with_faults(plan, [goes]() -> task<> {
            auto listener = std::make_unique<tcp_listener>(tcp_listener::bind(loopback()));
            auto accepting = spawn(
                [](tcp_listener& from) -> task<std::error_code> {
                    const auto got = co_await nothrow(from.accept());
                    co_return got.error();
                },
                std::ref(*listener));
            co_await sleep(5ms);
            if (goes)
                listener.reset();
            else
                listener->close();
            const auto code = co_await accepting;
            CHECK(code == errc::closed);
        });
    }
}

TEST_CASE("shortage: a connection that is lost before it is accepted is no error of the listener") {
    fault_plan plan;
    plan.at(op_code::accept, 0, fault::fail(ECONNABORTED));
    plan.at(op_code::accept, 1, fault::fail(EPROTO));
    with_faults(plan, []() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        const auto client = co_await tcp_stream::connect(listener.local_endpoint());
        const auto got = co_await timeout(5s, listener.accept());
        CHECK(got.remote_endpoint() == client.local_endpoint());
    });
    CHECK(plan.struck() == 2);
}

TEST_CASE(
    "shortage: no memory for a connection's record costs that connection, and no descriptor") {
    const lariat::test::leak_check leaks;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)fail_frame_after(1);
    CHECK_THROWS_AS(tcp_stream{fd}, std::bad_alloc);
    (void)fail_frame_after(0);
}

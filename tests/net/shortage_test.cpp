// A machine short of descriptors or memory: the operation fails or waits, the server goes on.
#include <lariat/net/serve.hpp>

#include "death.hpp"
#include "heap_fault.hpp"
#include "net_support.hpp"

#include <lariat/loop/io.hpp>
#include <lariat/task/timeout.hpp>

#include "driver/fault.hpp"
#include "loop/loop_state.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
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

/// All that the running loop has done so far. Counted, not timed: where others have the processor,
/// CPU time says nothing about a loop that rests.
std::uint64_t activity() {
    const loop_stats now = loop::current().stats();
    return now.turns + now.legs + now.driver.submitted + now.driver.kernel_entries;
}

/// For a tenth of a second, and far below the 2 % of it that a pause may cost: each takes some
/// microseconds at most. A loop that spins does a hundred thousand.
constexpr std::uint64_t activity_of_a_pause = 50;

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
    auto least = duration::max();
    for (int window = 0; window < 5 && least >= 6ms; ++window) {
        const std::uint64_t before = activity();
        const auto used_before = cpu_time();
        co_await sleep(300ms);
        least = std::min<duration>(least, cpu_time() - used_before);
        expect(activity() - before < 4 * activity_of_a_pause, "while it pauses the loop is idle");
    }
    // Others can only add to it: what spins uses all of every window.
    expect(least < 6ms, "while it pauses the processor is idle");
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
    check_served(run_in_lone_child([] {
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
    check_served(run_in_lone_child([] {
        limit_descriptors(19'100);
        lariat::loop own;
        own.run(serve_in_shortage(19'000));
    }));
}

TEST_CASE(
    "shortage: a connect without a descriptor fails by itself, as a code and as an exception") {
    const ending how = run_in_lone_child([] {
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
        const ending how = run_in_lone_child([kind] {
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
                const std::uint64_t before = activity();
                const auto got = co_await timeout(10s, listener.accept());
                const duration took = loop::current().now() - began;
                expect(took >= 300ms, "three failures are three pauses of 100 ms");
                expect(activity() - before < 3 * activity_of_a_pause, "it does not spin");
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

namespace {

/// Suspends until the peer has closed the connection, or reset it. No frame of its own is allocated
/// on the way.
auto gone(const unique_fd& client) { return timeout(5s, wait_readable(client.get())); }

/// Connections come when the nth allocation from then on fails, one after the other; then there is
/// memory again.
task<> serve_without_memory(std::size_t nth, int connections) {
    auto listener = tcp_listener::bind(loopback());
    const endpoint where = listener.local_endpoint();
    auto serving = spawn(serve(listener, echo));
    co_await turns(3);
    const std::uint64_t before = activity();
    const time_point began = loop::current().now();
    for (int i = 0; i < connections; ++i) {
        const unique_fd unlucky = raw_connection(where);
        (void)fail_frame_after(nth);
        co_await gone(unlucky);
        expect(fail_frame_after(0) == 0, "memory ran out");
    }
    auto client = co_await tcp_stream::connect(where);
    const bool served = co_await timeout(5s, echoes(client));
    expect(served, "it serves again once there is memory");
    const duration took = loop::current().now() - began;
    expect(took >= connections * 100ms, "it pauses for 100 ms each time");
    const auto pauses = static_cast<std::uint64_t>(connections);
    expect(activity() - before < (pauses + 1) * activity_of_a_pause, "it does not spin");
    listener.close();
    co_await serving;
}

}  // namespace

TEST_CASE("shortage: no memory for a connection, its handler or its task is a pause, said once") {
    for (const std::size_t nth : {1U, 2U, 3U}) {
        CAPTURE(nth);
        const ending how = run_in_lone_child([nth] {
            lariat::loop own;
            own.run(serve_without_memory(nth, 4));
        });
        CHECK_MESSAGE(how.exit_code == 0, how.text);
        CHECK(count_of(how.text, "accepting pauses: Cannot allocate memory") == 1);
        CHECK(how.text.find("bad_alloc") == std::string::npos);
    }
}

TEST_CASE("shortage: of many connections that wait, only the one that found no memory is lost") {
    const ending how = run_in_lone_child([] {
        lariat::loop own;
        own.run([]() -> task<> {
            auto listener = tcp_listener::bind(loopback());
            bool failed = false;
            auto fails_once = [&failed](tcp_stream client) -> task<> {
                if (!std::exchange(failed, true)) throw std::bad_alloc();
                return echo(std::move(client));
            };
            std::vector<tcp_stream> clients;
            for (int i = 0; i < 8; ++i)
                clients.push_back(co_await tcp_stream::connect(listener.local_endpoint()));
            auto serving = spawn(serve(listener, fails_once));
            const std::string none = co_await timeout(5s, read_all(clients.front()));
            expect(none.empty(), "the first was closed");
            for (std::size_t i = 1; i < clients.size(); ++i) {
                const bool served = co_await timeout(5s, echoes(clients[i]));
                expect(served, "the others are served");
            }
            listener.close();
            clients.clear();
            co_await serving;
        }());
    });
    CHECK_MESSAGE(how.exit_code == 0, how.text);
    CHECK(count_of(how.text, "accepting pauses: Cannot allocate memory") == 1);
}

TEST_CASE("shortage: an accept waits for memory, and its listener may go meanwhile") {
    for (const bool goes : {false, true}) {
        const ending how = run_in_lone_child([goes] {
            lariat::loop own;
            own.run([](bool handle_goes) -> task<> {
                auto listener = std::make_unique<tcp_listener>(tcp_listener::bind(loopback()));
                auto accepting = spawn(
                    [](tcp_listener& from) -> task<std::error_code> {
                        const auto got = co_await nothrow(from.accept());
                        co_return got.error();
                    },
                    std::ref(*listener));
                co_await turns(3);
                const endpoint where = listener->local_endpoint();
                const unique_fd unlucky = raw_connection(where);
                (void)fail_frame_after(1);
                co_await gone(unlucky);
                expect(fail_frame_after(0) == 0, "memory ran out");
                expect(!accepting.done(), "accept() goes on waiting");
                const unique_fd lucky = raw_connection(where);
                if (handle_goes) listener.reset();
                const std::error_code ended = co_await timeout(5s, accepting);
                expect(ended == (handle_goes ? make_error_code(errc::closed) : std::error_code()),
                       "accept() ends as it should");
            }(goes));
        });
        CHECK_MESSAGE(how.exit_code == 0, how.text);
    }
}

TEST_CASE("shortage: a stream that had no memory for what came gives nothing that came after it" *
          doctest::skip(!lariat::test::heap_fault::strikes)) {
    on_loop([]() -> task<> {
        raw_ends both = connected_raw();
        const auto arrives = [&both](std::string what) -> task<> {
            REQUIRE(::send(both.peer.get(), what.data(), what.size(), 0) ==
                    static_cast<ssize_t>(what.size()));
            co_await turns(5);
        };
        auto first = arrives("first");
        co_await std::move(first);
        CHECK(co_await read_count(both.stream, 5) == "first");  // now it receives
        auto kept = arrives(std::string(1001, 'a'));
        co_await std::move(kept);
        {
            const lariat::test::heap_fault no_room(1002);
            auto lost = arrives(std::string(1002, 'b'));
            co_await std::move(lost);
            CHECK(no_room.struck() == 1);
        }
        auto after = arrives(std::string(1003, 'c'));
        co_await std::move(after);
        const std::string got = co_await read_count(both.stream, 1001);
        CHECK(got == std::string(1001, 'a'));
        std::string room(2000, '\0');
        for (int i = 0; i < 2; ++i) {
            const auto ended = co_await nothrow(both.stream.read_some(room));
            CHECK(ended.error() == std::errc::not_enough_memory);
        }
    });
}

TEST_CASE(
    "shortage: no memory for a connection's record costs that connection, and no descriptor") {
    const lariat::test::leak_check leaks;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)fail_frame_after(1);
    CHECK_THROWS_AS(tcp_stream{fd}, std::bad_alloc);
    (void)fail_frame_after(0);
}

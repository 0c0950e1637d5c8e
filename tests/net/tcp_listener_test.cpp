#include <lariat/net/tcp_listener.hpp>

#include "death.hpp"
#include "net_support.hpp"

#include <lariat/offload/offload.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

using namespace net_test;

namespace {

static_assert(!std::is_copy_constructible_v<tcp_listener>);
static_assert(std::is_nothrow_move_assignable_v<tcp_listener>);

task<std::error_code> accept_code(tcp_listener& listener) {
    const auto got = co_await nothrow(listener.accept());
    co_return got.error();
}

task<std::vector<tcp_stream>> connect_many(endpoint where, int count) {
    std::vector<tcp_stream> made;
    for (int i = 0; i < count; ++i) made.push_back(co_await tcp_stream::connect(where));
    co_return made;
}

task<> crowd() {
    std::vector<join_handle<>> many;
    for (int i = 0; i < 1000; ++i) many.push_back(spawn(turns(1)));
    for (auto& each : many) co_await each;
}

task<> accept_and_close(tcp_listener& listener) {
    for (;;) const tcp_stream accepted = co_await listener.accept();
}

/// Connects again and again and waits for each connection's end: how many came to it in time.
int served_to_clients(std::uint16_t port, int clients, int connections) {
    std::atomic<int> served = 0;
    auto client = [&] {
        for (int i = 0; i < connections; ++i) {
            const unique_fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const timeval limit{5, 0};
            ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            sockaddr_in where{};
            where.sin_family = AF_INET;
            where.sin_port = htons(port);
            where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            const auto* address = reinterpret_cast<const sockaddr*>(&where);
            if (::connect(socket.get(), address, sizeof where) != 0) return;
            char nothing = 0;
            if (::recv(socket.get(), &nothing, 1, 0) != 0) return;
            ++served;
        }
    };
    std::vector<std::jthread> threads;
    for (int i = 0; i < clients; ++i) threads.emplace_back(client);
    threads.clear();
    return served;
}

TEST_CASE("tcp_listener: a forked child may destroy an inherited loop with its listener") {
    std::optional<loop> own(std::in_place);
    auto listener = tcp_listener::bind(endpoint("127.0.0.1", 0));
    auto accepts = [&]() -> task<> {
        const auto late = co_await nothrow(timeout(1ms, listener.accept()));
        CHECK(late.error() == errc::timed_out);
    };
    own->run(accepts());
    const lariat::test::ending loop_first = run_in_lone_child([&] { own.reset(); });
    CHECK(loop_first.exit_code == 0);
    CHECK(loop_first.text == "");
    const lariat::test::ending listener_first = run_in_lone_child([&] {
        const tcp_listener gone = std::move(listener);
        own.reset();
    });
    CHECK(listener_first.exit_code == 0);
    CHECK(listener_first.text == "");
    own->run(accepts());  // the parent's are untouched
}

}  // namespace

TEST_CASE("tcp_listener: of a socket that several accept from, each connection is somebody's") {
    on_loop([]() -> task<> {
        auto bound = tcp_listener::bind(loopback());
        std::array<tcp_listener, 2> both{
            tcp_listener::adopt_shared(::fcntl(bound.descriptor(), F_DUPFD_CLOEXEC, 0)),
            tcp_listener::adopt_shared(::fcntl(bound.descriptor(), F_DUPFD_CLOEXEC, 0))};
        auto first = spawn(accept_and_close(both[0]));
        auto second = spawn(accept_and_close(both[1]));
        const std::uint16_t port = bound.local_endpoint().port();
        const int served = co_await offload(served_to_clients, port, 4, 2'000);
        CHECK(served == 8'000);
        first.cancel();
        second.cancel();
    });
}

TEST_CASE("tcp_listener: port 0 is a port of the system's choice") {
    on_loop([]() -> task<> {
        auto one = tcp_listener::bind(loopback());
        auto other = tcp_listener::bind(loopback());
        CHECK(one.local_endpoint().port() != 0);
        CHECK(one.local_endpoint() != other.local_endpoint());
        auto near = co_await tcp_stream::connect(one.local_endpoint());
        auto far = co_await one.accept();
        CHECK(far.local_endpoint() == one.local_endpoint());
        CHECK(far.remote_endpoint() == near.local_endpoint());
    });
}

TEST_CASE("tcp_listener: a port in use is refused by its name, unless it is shared") {
    on_loop([]() -> task<> {
        auto first = tcp_listener::bind(loopback());
        std::string text;
        try {
            auto second = tcp_listener::bind(first.local_endpoint());
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::address_in_use);
            text = error.what();
        }
        CHECK(text.find(first.local_endpoint().to_string()) != std::string::npos);
        listen_options shared;
        shared.reuse_port = true;
        auto one = tcp_listener::bind(loopback(), shared);
        auto two = tcp_listener::bind(one.local_endpoint(), shared);
        CHECK(one.local_endpoint() == two.local_endpoint());
        co_await yield_now();
    });
}

TEST_CASE("tcp_listener: an address that is not this machine's is refused by its name") {
    on_loop([]() -> task<> {
        CHECK_THROWS_AS((void)tcp_listener::bind(endpoint("192.0.2.1", 0)), std::system_error);
        co_await yield_now();
    });
}

TEST_CASE("tcp_listener: accepted streams are close-on-exec, and without Nagle's delay if asked") {
    on_loop([]() -> task<> {
        for (const bool no_delay : {true, false}) {
            listen_options options;
            options.streams.no_delay = no_delay;
            co_await turns(5);  // the round before has closed its descriptors
            auto listener = tcp_listener::bind(loopback(), options);
            std::set<int> before;
            for (int fd = 0; fd < 256; ++fd)
                if (::fcntl(fd, F_GETFD) >= 0) before.insert(fd);
            auto near = co_await tcp_stream::connect(listener.local_endpoint());
            auto far = co_await listener.accept();
            for (int fd = 0; fd < 256; ++fd) {
                const int flags = ::fcntl(fd, F_GETFD);
                if (flags < 0 || before.count(fd) != 0) continue;
                CHECK((flags & FD_CLOEXEC) != 0);
            }
            // The near end has it always; the far one as the listener says.
            int with_delay = 0;
            for (int fd = 0; fd < 256; ++fd) {
                int on = 0;
                socklen_t size = sizeof on;
                if (before.count(fd) == 0 &&
                    ::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0)
                    with_delay += on == 0 ? 1 : 0;
            }
            CHECK(with_delay == (no_delay ? 0 : 1));
        }
    });
}

TEST_CASE("tcp_listener: accepted streams start with the options it was given") {
    on_loop([]() -> task<> {
        listen_options options;
        options.streams.keep_alive = true;
        options.streams.keep_alive_idle = 17s;
        options.streams.user_timeout = 4s;
        options.streams.receive_buffer_bytes = 30'000;
        options.streams.send_buffer_bytes = 15'000;
        auto listener = tcp_listener::bind(loopback(), options);
        const auto near = co_await tcp_stream::connect(listener.local_endpoint());
        const auto far = co_await listener.accept();
        const tcp_options now = far.options();
        CHECK(now.no_delay == true);  // as it always is, unless it is asked for
        CHECK(now.keep_alive == true);
        CHECK(now.keep_alive_idle == 17s);
        CHECK(now.user_timeout == 4s);
        CHECK(now.receive_buffer_bytes == 60'000U);
        CHECK(now.send_buffer_bytes == 30'000U);
        CHECK(near.options().keep_alive == false);
    });
}

TEST_CASE("tcp_listener: options that make no sense are refused at once, by their names") {
    listen_options options;
    options.backlog = -1;
    CHECK_THROWS_WITH_AS((void)tcp_listener::bind(loopback(), options),
                         "listen_options.backlog is -1; give 0 or more", std::invalid_argument);
    listen_options streams;
    streams.streams.keep_alive_probes = 0;
    CHECK_THROWS_AS((void)tcp_listener::bind(loopback(), streams), std::invalid_argument);
}

TEST_CASE("tcp_listener: tasks that accept at once are served in the order in which they came") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        std::vector<int> order;
        std::vector<join_handle<>> acceptors;
        for (int i = 0; i < 20; ++i) {
            auto accept_one = [](tcp_listener& from, std::vector<int>& to, int number) -> task<> {
                const tcp_stream got = co_await from.accept();
                to.push_back(number);
            };
            acceptors.push_back(spawn(accept_one, std::ref(listener), std::ref(order), i));
        }
        co_await turns(2);
        const auto clients = co_await connect_many(listener.local_endpoint(), 20);
        for (auto& each : acceptors) co_await each;
        std::vector<int> expected;
        for (int i = 0; i < 20; ++i) expected.push_back(i);
        CHECK(order == expected);
    });
}

TEST_CASE("tcp_listener: an accept that is cancelled loses no connection") {
    on_loop([]() -> task<> {
        const int count = lariat::test::long_tests() ? 20'000 : 1500;
        auto listener = tcp_listener::bind(loopback());
        auto connecting = spawn(
            [](endpoint where, int clients) -> task<> {
                std::mt19937_64 random(5);
                for (int i = 0; i < clients; ++i) {
                    auto near = co_await tcp_stream::connect(where);
                    co_await near.write_all(std::to_string(i) + "\n");
                    near.shutdown();
                    // The peer closes first: the port's TIME_WAIT is on its side, and no client is
                    // reset.
                    const std::string none = co_await read_all(near);
                    co_await turns(static_cast<int>(random() % 3));
                }
            },
            listener.local_endpoint(), count);
        std::mt19937_64 random(6);
        int next = 0;
        int cut = 0;
        while (next < count) {
            auto accepting = listener.accept();
            const auto limit = std::chrono::microseconds(random() % 40);
            auto got = co_await nothrow(timeout(limit, std::move(accepting)));
            if (!got) {
                ++cut;
                continue;
            }
            const std::string said = co_await read_all(*got);
            CHECK(said == std::to_string(next) + "\n");
            ++next;
        }
        co_await connecting;
        CHECK(cut > 0);
    });
}

TEST_CASE("tcp_listener: cancelled acceptors leave the line, the others keep their order") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        cancel_scope scope;
        auto doomed = spawn(
            [](cancel_scope& in, tcp_listener& from) -> task<> {
                auto accepting = from.accept();
                const auto got = co_await in.run(std::move(accepting));
                CHECK_FALSE(got.has_value());
            },
            std::ref(scope), std::ref(listener));
        auto stays = spawn(accept_code(listener));
        co_await turns(2);
        scope.cancel();
        const auto client = co_await tcp_stream::connect(listener.local_endpoint());
        const auto got = co_await timeout(5s, stays);
        CHECK_FALSE(got);
        co_await doomed;
    });
}

TEST_CASE("tcp_listener: closing it gives closed_error to all who accept, then and later") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        std::vector<join_handle<std::error_code>> acceptors;
        for (int i = 0; i < 3; ++i) acceptors.push_back(spawn(accept_code(listener)));
        co_await turns(2);
        listener.close();
        listener.close();
        for (auto& each : acceptors) {
            const auto code = co_await each;
            CHECK(code == errc::closed);
        }
        const auto later = co_await accept_code(listener);
        CHECK(later == errc::closed);
        CHECK_THROWS_AS((void)listener.local_endpoint(), closed_error);
        listener.pause();
        tcp_listener empty;
        const auto none = co_await accept_code(empty);
        CHECK(none == errc::closed);
        empty.close();
        empty.pause();
    });
}

TEST_CASE("tcp_listener: a handle that goes while tasks accept through it") {
    on_loop([]() -> task<> {
        for (int delay = 0; delay < 4; ++delay) {
            auto listener = std::make_unique<tcp_listener>(tcp_listener::bind(loopback()));
            auto first = spawn(accept_code(*listener));
            auto second = spawn(accept_code(*listener));
            co_await turns(2);
            const auto client = co_await tcp_stream::connect(listener->local_endpoint());
            auto busy = spawn(crowd());
            co_await turns(delay);
            listener.reset();
            const auto one = co_await first;
            const bool either = !one || one == errc::closed;
            CHECK(either);
            const auto two = co_await second;
            CHECK(two == errc::closed);
            co_await busy;
        }
    });
}

TEST_CASE("tcp_listener: a burst of connections is taken in the kernel's order, none is lost") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        for (int round = 0; round < 3; ++round) {
            const auto clients = co_await connect_many(listener.local_endpoint(), 200);
            for (const tcp_stream& client : clients) {
                const tcp_stream got = co_await listener.accept();
                CHECK(got.remote_endpoint() == client.local_endpoint());
            }
        }
    });
}

TEST_CASE("tcp_listener: paused, it takes no more until the next accept") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        const auto first = co_await connect_many(listener.local_endpoint(), 1);
        const tcp_stream got = co_await listener.accept();
        listener.pause();
        co_await turns(5);
        const std::size_t open = lariat::test::open_descriptors().size();
        const auto more = co_await connect_many(listener.local_endpoint(), 10);
        co_await turns(10);
        CHECK(lariat::test::open_descriptors().size() == open + 10);
        for (const tcp_stream& client : more) {
            const tcp_stream next = co_await listener.accept();
            CHECK(next.remote_endpoint() == client.local_endpoint());
        }
    });
}

TEST_CASE("tcp_listener: nobody accepts, and what it takes ahead is bounded") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        const auto first = co_await connect_many(listener.local_endpoint(), 1);
        const tcp_stream got = co_await listener.accept();
        const std::size_t open = lariat::test::open_descriptors().size();
        const auto more = co_await connect_many(listener.local_endpoint(), 400);
        co_await turns(50);
        CHECK(lariat::test::open_descriptors().size() < open + 400 + 100);
        for (std::size_t i = 0; i < more.size(); ++i)
            const tcp_stream next = co_await listener.accept();
    });
}

TEST_CASE("tcp_listener: what is no listening socket gives errors") {
    on_loop([]() -> task<> {
        std::array<int, 2> pipe{};
        REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
        const unique_fd other(pipe[1]);
        auto no_socket = tcp_listener::adopt(pipe[0]);
        auto no_number = tcp_listener::adopt(-1);
        auto no_listener = tcp_listener::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        std::array<int, 2> messages{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, messages.data()) == 0);
        const unique_fd sender(messages[1]);
        REQUIRE(::send(sender.get(), "x", 1, 0) == 1);  // epoll asks when there is something
        auto no_stream = tcp_listener::adopt(messages[0]);
        for (tcp_listener* each : {&no_socket, &no_number, &no_listener, &no_stream}) {
            for (int i = 0; i < 2; ++i) {
                const auto code = co_await timeout(5s, accept_code(*each));
                CHECK(code.category() == std::system_category());
            }
        }
    });
}

TEST_CASE("tcp_listener: an accept() that was not awaited yet outlives its listener") {
    on_loop([]() -> task<> {
        std::optional<tcp_listener> listener(tcp_listener::bind(loopback()));
        auto accepting = listener->accept();
        {
            auto dropped = listener->accept();
            auto moved = std::move(dropped);
        }
        co_await turns(2);
        listener.reset();
        const auto got = co_await nothrow(std::move(accepting));
        CHECK(got.error() == errc::closed);
    });
}

TEST_CASE("tcp_listener: one that outlives its loop is closed") {
    const lariat::test::leak_check leaks;
    std::optional<tcp_listener> listener;
    std::vector<tcp_stream> clients;
    {
        lariat::loop own;
        own.run([](std::optional<tcp_listener>& made, std::vector<tcp_stream>& to) -> task<> {
            made = tcp_listener::bind(loopback());
            to = co_await connect_many(made->local_endpoint(), 5);
            const tcp_stream one = co_await made->accept();
            co_await turns(3);  // the others are taken ahead
        }(listener, clients));
    }
    CHECK_THROWS_AS((void)listener->local_endpoint(), closed_error);
}

#include <lariat/net/resolve.hpp>

#include "leak_check.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/offload/blocking.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using detail::blocking_pool;
using lariat::test::leak_check;

using endpoints = std::vector<endpoint>;

/// A label may have 63 letters (RFC 1035): no name server is asked about this one.
const std::string no_name(64, 'a');

std::string what_of(verb<endpoints> asked) {
    auto body = [](verb<endpoints> inner) -> task<std::string> {
        try {
            const endpoints found = co_await std::move(inner);
            co_return "found " + std::to_string(found.size());
        } catch (const resolve_error& error) {
            co_return error.what();
        }
    };
    return run(body(std::move(asked)));
}

/// A socket that has a port and does not listen: connecting there is refused.
unique_fd bound_to_loopback() {
    unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(made.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
    return made;
}

int port_of(int socket) {
    sockaddr_in where{};
    socklen_t length = sizeof where;
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&where), &length) == 0);
    return ntohs(where.sin_port);
}

/// More work than the shared pool has threads: what comes after waits until it is let go.
class busy_pool {
 public:
    task<> fill() {
        for (std::size_t i = 0; i < much; ++i) work_.push_back(spawn(one()));
        while (others() != 0) co_await sleep(1ns);
    }
    /// What is in the pool beside this.
    [[nodiscard]] static std::size_t others() {
        const auto now = blocking_pool::shared().stats();
        return now.queued + now.running - much;
    }
    task<> let_go() {
        gate_.release(static_cast<std::ptrdiff_t>(work_.size()));
        for (auto& each : work_) co_await each;
    }

 private:
    static constexpr std::size_t much = 40;

    task<> one() {
        auto work = [this] { gate_.acquire(); };
        co_await detail::run_blocking(work);
    }

    std::counting_semaphore<> gate_{0};
    std::vector<join_handle<>> work_;
};

TEST_CASE_FIXTURE(leak_check,
                  "resolve: an address in figures is answered at once, without a thread") {
    run([]() -> task<> {
        busy_pool pool;
        co_await pool.fill();
        const endpoints v4 = co_await resolve("127.0.0.1", 80);
        CHECK(v4 == endpoints{endpoint("127.0.0.1", 80)});
        const endpoints v6 = co_await resolve("::1", 65535);
        CHECK(v6 == endpoints{endpoint("::1", 65535)});
        const endpoints brackets = co_await resolve("[::1]", 0);
        CHECK(brackets == endpoints{endpoint("::1", 0)});
        co_await pool.let_go();
    }());
}

TEST_CASE_FIXTURE(leak_check, "resolve: localhost is this machine, each address once") {
    run([]() -> task<> {
        endpoints found = co_await resolve("localhost", 8080);
        REQUIRE_FALSE(found.empty());
        for (const endpoint& each : found) {
            CHECK(each.address().is_loopback());
            CHECK(each.port() == 8080);
        }
        std::sort(found.begin(), found.end());
        CHECK(std::adjacent_find(found.begin(), found.end()) == found.end());
    }());
}

TEST_CASE_FIXTURE(leak_check, "resolve: what has no address is an error with the name") {
    CHECK(what_of(resolve(no_name, 80)) ==
          "resolving " + no_name + ":80: Name or service not known");
    CHECK(what_of(resolve("", 80)) == "resolving :80: Name or service not known");
    CHECK(what_of(resolve(std::string("localhost\0.evil", 15), 80)) ==
          "resolving \"localhost\\x00.evil\":80: Name or service not known");
    run([]() -> task<> {
        const auto got = co_await nothrow(resolve(no_name, 80));
        REQUIRE_FALSE(got);
        CHECK(got.error().category() == resolve_category());
        CHECK(got.error().value() == EAI_NONAME);
    }());
}

TEST_CASE("resolve: a port that is none is refused at once") {
    CHECK_THROWS_AS((void)resolve("localhost", -1), std::invalid_argument);
    CHECK_THROWS_AS((void)resolve("localhost", 65536), std::invalid_argument);
    CHECK_THROWS_AS((void)tcp_stream::connect("localhost", 70000), std::invalid_argument);
}

TEST_CASE_FIXTURE(leak_check,
                  "resolve: cancelled while it waits for a thread it leaves nothing behind") {
    run([]() -> task<> {
        busy_pool pool;
        co_await pool.fill();
        CHECK_THROWS_AS(co_await timeout(1ms, resolve("localhost", 80)), timeout_error);
        CHECK(busy_pool::others() == 0);
        co_await pool.let_go();
    }());
}

TEST_CASE_FIXTURE(leak_check, "resolve: many at once") {
    run([]() -> task<> {
        auto one = []() -> task<std::size_t> {
            const endpoints found = co_await resolve("localhost", 1);
            co_return found.size();
        };
        std::vector<join_handle<std::size_t>> all;
        for (int i = 0; i < 50; ++i) all.push_back(spawn(one));
        for (auto& each : all) {
            const std::size_t found = co_await each;
            CHECK(found >= 1);
        }
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "connect by name: finds the address that listens, after one that does not") {
    run([]() -> task<> {
        // localhost may be ::1 first, where nobody listens.
        auto listener = tcp_listener::bind(endpoint("127.0.0.1", 0));
        const endpoint where = listener.local_endpoint();
        tcp_stream made = co_await tcp_stream::connect("localhost", where.port());
        CHECK(made.remote_endpoint() == where);
        tcp_stream same = co_await tcp_stream::connect("127.0.0.1", where.port());
        CHECK(same.remote_endpoint() == where);
    }());
}

TEST_CASE_FIXTURE(leak_check, "connect by name: an error names host, port and every reason") {
    run([]() -> task<> {
        const unique_fd bound = bound_to_loopback();
        const int nobody = port_of(bound.get());
        std::string what;
        try {
            const tcp_stream made = co_await tcp_stream::connect("localhost", nobody);
        } catch (const std::system_error& error) {
            what = error.what();
            CHECK(error.code() == std::errc::connection_refused);
        }
        const std::string port = std::to_string(nobody);
        const std::string one = "connecting to localhost:" + port;
        const endpoints found = co_await resolve("localhost", nobody);
        if (found.size() == 1) {
            CHECK(what == one + ": Connection refused");
        } else {
            CHECK(what.rfind(one + " (", 0) == 0);
            for (const endpoint& each : found)
                CHECK(what.find(each.to_string() + ": Connection refused") != std::string::npos);
        }
        CHECK_THROWS_AS(co_await tcp_stream::connect(no_name, 80), resolve_error);
        const auto got = co_await nothrow(tcp_stream::connect(no_name, 80));
        CHECK(got.error().category() == resolve_category());
    }());
}

}  // namespace

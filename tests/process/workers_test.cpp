#include <lariat/process/workers.hpp>

#include "program.hpp"
#include "scratch.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

using lariat::unique_fd;
using lariat::test::program;
using lariat::test::role;

// ---- the server under test: a program of its own, told by the environment what to do

int number_from(const char* name) { return std::atoi(std::getenv(name)); }

/// Answers each byte with its pid and a line end; 'k' ends the worker by SIGKILL first.
lariat::task<> answer_with_pid(lariat::tcp_stream client) {
    const std::string text = std::to_string(::getpid()) + "\n";
    std::array<char, 1> question{};
    for (;;) {
        const std::size_t count = co_await client.read_some(question);
        if (count == 0) break;
        if (question[0] == 'k') ::raise(SIGKILL);
        co_await client.write_all(text);
    }
}

lariat::task<> serving_worker(lariat::worker_context& self) {
    const auto port = static_cast<std::uint16_t>(number_from("WORKERS_PORT"));
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port);
    self.count_request(3);
    co_await lariat::serve(listener, &answer_with_pid, self.options());
}

lariat::task<> failing_worker(lariat::worker_context& /*self*/) {
    throw std::runtime_error("no database");
    co_return;
}

lariat::task<> brief_worker(lariat::worker_context& self) {
    self.ready();
    co_return;
}

/// Is ready, and holds its thread until it is asked to end.
lariat::task<> busy_worker(lariat::worker_context& self) {
    struct farewell {
        ~farewell() { say("asked\n"); }
        static void say(std::string_view text) {
            (void)!::write(STDOUT_FILENO, text.data(), text.size());
        }
    };
    const farewell at_the_end;
    self.ready();
    farewell::say("ready\n");
    while (!self.stopping()) ::sched_yield();
    co_await lariat::sleep(1h);
}

lariat::workers_options test_options() {
    lariat::workers_options options;
    options.count = 2;
    options.drain = 5s;
    options.first_backoff = 1ms;
    options.most_backoff = 20ms;
    if (const char* path = std::getenv("WORKERS_STATUS"); path != nullptr)
        options.status_path = path;
    if (number_from("WORKERS_THREADS") != 0) options.mode = lariat::workers_mode::threads;
    if (number_from("WORKERS_INHERIT") != 0) options.sharing = lariat::listener_sharing::inherited;
    return options;
}

const role serving("workers-serving",
                   [] { return lariat::run_workers(&serving_worker, test_options()); });
const role failing("workers-failing", [] {
    lariat::workers_options options = test_options();
    options.most_failed_starts = 3;
    options.status_path.clear();
    return lariat::run_workers(&failing_worker, options);
});
const role brief("workers-brief", [] {
    lariat::workers_options options = test_options();
    options.status_path.clear();
    return lariat::run_workers(&brief_worker, options);
});
const role busy("workers-busy", [] {
    lariat::workers_options options = test_options();
    options.status_path.clear();
    return lariat::run_workers(&busy_worker, options);
});

// ---- the client: plain blocking sockets

struct host {
    sockaddr_in address{};
    unique_fd reservation;  // bound, not listening: keeps the port from others
};

host free_port() {
    host found;
    found.reservation = unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(found.reservation.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    ::setsockopt(found.reservation.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    found.address.sin_family = AF_INET;
    found.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof found.address;
    auto* generic = reinterpret_cast<sockaddr*>(&found.address);
    REQUIRE(::bind(found.reservation.get(), generic, size) == 0);
    REQUIRE(::getsockname(found.reservation.get(), generic, &size) == 0);
    return found;
}

/// A running server. Its environment is this process's, set before it starts.
struct server {
    explicit server(const char* role_name, bool threads = false, bool inherit = false)
        : where(free_port()), status_path(scratch.path("status")) {
        ::setenv("WORKERS_PORT", std::to_string(ntohs(where.address.sin_port)).c_str(), 1);
        ::setenv("WORKERS_STATUS", status_path.c_str(), 1);
        ::setenv("WORKERS_THREADS", threads ? "1" : "0", 1);
        ::setenv("WORKERS_INHERIT", inherit ? "1" : "0", 1);
        if (inherit) where.reservation.reset();
        running = std::make_unique<program>(role_name);
    }

    /// Connected, or not: refused.
    [[nodiscard]] unique_fd connect() const {
        unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto* generic = reinterpret_cast<const sockaddr*>(&where.address);
        if (::connect(made.get(), generic, sizeof where.address) != 0) return unique_fd();
        return made;
    }

    /// A line for each worker, as the status socket says; nothing until the server is there.
    [[nodiscard]] std::string status() const {
        const unique_fd caller(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, status_path.c_str(), status_path.size() + 1);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        std::string text;
        if (::connect(caller.get(), generic, sizeof address) != 0) return text;
        std::array<char, 4096> room{};
        for (;;) {
            const ssize_t got = ::read(caller.get(), room.data(), room.size());
            if (got <= 0) return text;
            text.append(room.data(), static_cast<std::size_t>(got));
        }
    }

    /// The workers that serve, by pid; those that start or leave are not among them.
    [[nodiscard]] std::set<int> serving_pids() const {
        std::set<int> pids;
        const std::string text = status();
        for (std::size_t at = 0; (at = text.find("\"pid\": ", at)) != std::string::npos; ++at) {
            const std::string line = text.substr(at, text.find('\n', at) - at);
            if (line.find("\"serving\"") != std::string::npos)
                pids.insert(std::stoi(line.substr(7)));
        }
        return pids;
    }
    [[nodiscard]] std::set<int> await_serving(std::size_t count) const {
        for (;;) {
            std::set<int> pids = serving_pids();
            if (pids.size() == count) return pids;
            ::sched_yield();
        }
    }

    lariat::test::scratch scratch;
    host where;
    std::string status_path;
    std::unique_ptr<program> running;
};

/// The pid that answered, or 0: the connection was cut before.
int ask(const unique_fd& connection, char question = 'x') {
    if (::send(connection.get(), &question, 1, MSG_NOSIGNAL) != 1) return 0;
    std::string answer;
    char letter = 0;
    while (::recv(connection.get(), &letter, 1, 0) == 1 && letter != '\n') answer += letter;
    return letter == '\n' ? std::stoi(answer) : 0;
}

}  // namespace

TEST_CASE("workers: two processes serve one port, and SIGTERM ends them with code 0") {
    const server workers("workers-serving");
    const std::set<int> pids = workers.await_serving(2);
    std::set<int> answered;
    for (int i = 0; i < 200 && answered.size() < 2; ++i) {
        const unique_fd connection = workers.connect();
        REQUIRE(connection);
        answered.insert(ask(connection));
    }
    CHECK(answered == pids);  // SO_REUSEPORT spreads 200 connections over both
    const std::string status = workers.status();
    CHECK(status.find("\"requests\": 3") != std::string::npos);
    CHECK(status.find("\"restarts\": 0") != std::string::npos);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
    for (const int pid : pids) CHECK_FALSE(lariat::test::is_there(pid));
    CHECK_FALSE(std::filesystem::exists(workers.status_path));
}

TEST_CASE("workers: one socket for all serves as well") {
    const server workers("workers-serving", false, true);
    (void)workers.await_serving(2);
    for (int i = 0; i < 20; ++i) {
        const unique_fd connection = workers.connect();
        REQUIRE(connection);
        CHECK(ask(connection) > 0);
    }
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: a SIGTERM lets open connections end, and takes no new ones") {
    const server workers("workers-serving");
    (void)workers.await_serving(2);
    unique_fd open = workers.connect();
    const int first = ask(open);
    REQUIRE(first > 0);
    workers.running->kill(SIGTERM);
    while (!workers.serving_pids().empty()) ::sched_yield();
    CHECK(ask(open) == first);
    open.reset();
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that is asked to end in the instant it is ready ends in order") {
    const server workers("workers-busy");
    program& it = *workers.running;
    for (int i = 0; i < 2; ++i) CHECK(it.line() == "ready");
    it.kill(SIGTERM);
    for (int i = 0; i < 2; ++i) CHECK(it.line() == "asked");
    CHECK(it.wait() == 0);
}

TEST_CASE("workers: fifty reloads under load lose no connection and no request") {
    const server workers("workers-serving");
    std::set<int> before = workers.await_serving(2);
    int requests = 0;
    int answered = 0;
    const int reloads = 50;
    for (int i = 0; i < reloads; ++i) {
        workers.running->kill(SIGHUP);
        for (;;) {
            for (int each = 0; each < 5; ++each) {
                const unique_fd connection = workers.connect();
                ++requests;
                if (connection && ask(connection) > 0) ++answered;
            }
            const std::set<int> now = workers.serving_pids();
            std::vector<int> old;
            std::ranges::set_intersection(now, before, std::back_inserter(old));
            if (now.size() == 2 && old.empty()) {
                before = now;
                break;
            }
        }
    }
    CHECK(answered == requests);
    CHECK(requests >= 5 * reloads);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: fifty kills lose the requests in the dead worker's hands and no other") {
    const server workers("workers-serving");
    int refused = 0;
    int cut = 0;
    int asked = 0;
    const int kills = 50;
    for (int i = 0; i < kills; ++i) {
        const std::set<int> pids = workers.await_serving(2);
        if (i % 2 == 0) {
            ::kill(*pids.begin(), SIGKILL);
        } else {
            const unique_fd doomed = workers.connect();
            CHECK(ask(doomed, 'k') == 0);
        }
        for (int each = 0; each < 5; ++each) {
            const unique_fd connection = workers.connect();
            ++asked;
            if (!connection) {
                ++refused;
            } else if (ask(connection) == 0) {
                ++cut;
            }
        }
    }
    CHECK(refused == 0);
    // Asked one after another, so at most one a kill can have been in the dead one's hands.
    CHECK(cut <= kills);
    CHECK(asked == 5 * kills);
    (void)workers.await_serving(2);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: threads run the same program") {
    const server workers("workers-serving", true);
    const int pid = workers.running->pid();
    while (workers.status().find("\"serving\"") == std::string::npos) ::sched_yield();
    for (int i = 0; i < 20; ++i) {
        const unique_fd connection = workers.connect();
        REQUIRE(connection);
        CHECK(ask(connection) == pid);
    }
    workers.running->kill(SIGHUP);
    while (workers.status().find("\"restarts\": 1") == std::string::npos) {
        const unique_fd connection = workers.connect();
        REQUIRE(connection);
        CHECK(ask(connection) == pid);
    }
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that can never start is given up, with its reason") {
    const server workers("workers-failing");
    CHECK(workers.running->wait() == 1);
    const std::string said = workers.running->rest();
    CHECK(said.find("no database") != std::string::npos);
    CHECK(said.find("giving up") != std::string::npos);
}

TEST_CASE("workers: when every function has returned, all is done") {
    const server workers("workers-brief");
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: a supervisor that is killed takes its workers along") {
    const server workers("workers-serving");
    const std::set<int> pids = workers.await_serving(2);
    workers.running->kill(SIGKILL);
    for (const int pid : pids) CHECK(lariat::test::goes(pid));
    CHECK(workers.running->wait() == -SIGKILL);
}

TEST_CASE("workers: options that make no sense are refused by their names") {
    lariat::workers_options options;
    options.most_backoff = 1ms;
    CHECK_THROWS_WITH_AS((void)lariat::run_workers(&brief_worker, options),
                         "workers_options.most_backoff: give first_backoff or more",
                         std::invalid_argument);
    CHECK_THROWS_AS((void)lariat::run_workers(nullptr), std::invalid_argument);
}

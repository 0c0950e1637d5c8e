// Workers that are killed, or never come to life, and what kills them all.
#include <lariat/process/workers.hpp>

#include "workers_support.hpp"

#include <lariat/process/process.hpp>
#include <lariat/task/sleep.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/resource.h>
#include <ctime>

namespace {

using namespace lariat::test;
using lariat::unique_fd;

lariat::task<> hanging_worker(lariat::worker_context& /*self*/) { co_await lariat::sleep(1h); }

/// Lives for longer than its start may take.
lariat::task<> ready_worker(lariat::worker_context& self) {
    self.ready();
    co_await lariat::sleep(1200ms);
}

lariat::task<> starved_worker(lariat::worker_context& self) {
    const rlimit none{3, 3};
    ::setrlimit(RLIMIT_NOFILE, &none);
    (void)self.listener("127.0.0.1", port_to_serve());
    co_return;
}

lariat::task<> worker_elsewhere(lariat::worker_context& self) {
    (void)self.listener("192.0.2.1", port_to_serve());  // nobody's: RFC 5737
    co_return;
}

/// A client that asks for it by 'q' has it exit.
lariat::task<> answer_or_exit(lariat::tcp_stream client) {
    std::array<char, 1> question{};
    const std::size_t count = co_await client.read_some(question);
    if (count == 1 && question.front() == 'q') std::exit(0);
    const std::string text = std::to_string(::getpid()) + "\n";
    co_await client.write_all(text);
}
lariat::task<> exiting_worker(lariat::worker_context& self) {
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port_to_serve());
    co_await lariat::serve(listener, &answer_or_exit, self.options());
}

lariat::task<> throwing_worker(lariat::worker_context& /*self*/) {
    throw 3;
    co_return;
}

void work_in_daemon() { say("code " + std::to_string(lariat::run_workers(&hanging_worker))); }

const role hanging("workers-hanging", [] {
    lariat::workers_options options = without_status();
    options.count = 1;
    options.start_limit = 50ms;
    options.most_failed_starts = 2;
    return lariat::run_workers(&hanging_worker, options);
});
const role in_time("workers-in-time", [] {
    lariat::workers_options options = without_status();
    options.start_limit = 1s;
    return lariat::run_workers(&ready_worker, options);
});
const role starved("workers-starved", [] {
    lariat::workers_options options = without_status();
    options.count = 1;
    return lariat::run_workers(&starved_worker, options);
});
const role elsewhere("workers-elsewhere", [] {
    lariat::workers_options options = without_status();
    options.count = 1;
    options.most_failed_starts = 2;
    return lariat::run_workers(&worker_elsewhere, options);
});
const role exiting("workers-exiting",
                   [] { return lariat::run_workers(&exiting_worker, test_options()); });
const role throwing("workers-throwing", [] {
    lariat::workers_options options = without_status();
    options.count = 1;
    options.most_failed_starts = 2;
    return lariat::run_workers(&throwing_worker, options);
});
const role pausing("workers-pausing", [] {
    lariat::workers_options options = test_options();
    options.first_backoff = 1h;
    options.most_backoff = 1h;
    return lariat::run_workers(&exiting_worker, options);
});
const role daemons("workers-of-a-daemon", [] {
    lariat::start_fork_server();
    lariat::process_options how;
    how.daemon = true;
    (void)lariat::process::start(how, &work_in_daemon).join_blocking();
    return 0;
});

// ---- who has which connection: proc(5), /proc/net/tcp

/// The server's end of a connection.
struct connection_row {
    int client_port = 0;
    std::string inode;  // "0": it waits in a listener's queue
};

std::vector<connection_row> established(int server_port) {
    std::array<char, 8> ending{};
    std::snprintf(ending.data(), ending.size(), ":%04X", static_cast<unsigned>(server_port));
    std::ifstream table("/proc/net/tcp");
    std::vector<connection_row> found;
    std::string line;
    while (std::getline(table, line)) {
        if (line.find(ending.data()) == std::string::npos) continue;  // other tests have thousands
        std::istringstream words(line);
        std::string number, here, there, state, queues, timer, retried, user, timeouts;
        connection_row row;
        words >> number >> here >> there >> state >> queues >> timer >> retried >> user >>
            timeouts >> row.inode;
        if (!here.ends_with(ending.data()) || state != "01") continue;
        row.client_port = std::stoi(there.substr(there.find(':') + 1), nullptr, 16);
        found.push_back(row);
    }
    return found;
}

std::set<std::string> sockets_of(int pid) {
    std::set<std::string> inodes;
    std::error_code gone;
    for (const auto& each :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        const std::string what = std::filesystem::read_symlink(each.path(), gone).string();
        if (what.starts_with("socket:[")) inodes.insert(what.substr(8, what.size() - 9));
    }
    return inodes;
}

void stop_and_await(int pid) {
    ::kill(pid, SIGSTOP);
    std::string text;
    while (text.find(") T") == std::string::npos) {
        ::sched_yield();
        std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
        std::getline(file, text);
    }
}

/// Clients that ask by a new connection each time: until they have met a server that is stopped,
/// three times once it is killed, and three times once all serve again. (Without an end their old
/// ports would crowd /proc/net/tcp.)
class clients {
 public:
    clients(const server& of, int count) {
        for (int i = 0; i < count; ++i) all_.emplace_back([this, &of] { go_on(of); });
    }
    ~clients() { end(); }
    clients(const clients&) = delete;
    clients& operator=(const clients&) = delete;

    void end() {
        over_ = true;
        next_phase();
        all_.clear();
    }
    void next_phase() {
        ++turn_;
        turn_.notify_all();
    }

    std::atomic<int> asked{0};
    std::atomic<int> answered{0};
    std::atomic<int> refused{0};
    struct cut_client {
        int port = 0;
        int reason = 0;  // errno; 0: the end of the stream
    };
    std::vector<cut_client> cut;  // whose connection ended without an answer; after end()

 private:
    enum class phase { all_serve, one_is_stopped, one_is_replaced };  // they follow in turn
    static phase phase_of(int turn) { return static_cast<phase>(turn % 3); }

    static int port_of(const unique_fd& connection) {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        ::getsockname(connection.get(), reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin_port);
    }
    /// Who was stopped keeps its clients waiting for as long as the test looks, and who replaces it
    /// until it serves: that is no hang.
    bool ask_patiently(const unique_fd& connection) {
        int before = turn_;
        int answer = ask(connection);
        int in_vain = 0;  // the time that the machine stands still is one
        while (answer == 0 && (errno == EAGAIN || errno == EINTR)) {
            const int now = turn_;
            if (before != now || phase_of(now) != phase::all_serve) {
                in_vain = 0;
            } else if (errno == EAGAIN && ++in_vain == 3) {
                break;
            }
            before = now;
            answer = read_answer(connection);
        }
        return answer > 0;
    }
    void go_on(const server& of) {
        int last_turn = turn_;
        for (int left = 3; !over_; --left) {
            if (const int now = turn_; now != std::exchange(last_turn, now)) left = 3;
            if (left <= 0 && phase_of(last_turn) != phase::one_is_stopped) turn_.wait(last_turn);
            const unique_fd connection = of.connect();
            ++asked;
            if (!connection) {
                ++refused;
            } else if (ask_patiently(connection)) {
                ++answered;
            } else {
                const int reason = errno;
                const std::lock_guard held(mutex_);
                cut.push_back({port_of(connection), reason});
            }
        }
    }

    std::atomic<bool> over_{false};
    std::atomic<int> turn_{0};
    std::mutex mutex_;
    std::vector<std::jthread> all_;
};

/// The ports of the clients whose connection it has in its hands, once none of all clients has
/// another to wait for. Pre: it is stopped.
std::vector<int> in_the_hands_of(int pid, int port, std::size_t all) {
    const std::set<std::string> its = sockets_of(pid);
    std::vector<int> held;
    for (std::size_t stuck = 0; stuck < all; ::sched_yield()) {
        stuck = 0;
        held.clear();
        for (const connection_row& each : established(port)) {
            const bool mine = its.contains(each.inode);
            if (mine) held.push_back(each.client_port);
            if (mine || each.inode == "0") ++stuck;
        }
    }
    return held;
}

std::chrono::nanoseconds time_used_by(int pid) {
    clockid_t clock{};
    timespec used{};
    REQUIRE(::clock_getcpuclockid(pid, &clock) == 0);
    REQUIRE(::clock_gettime(clock, &used) == 0);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace

TEST_CASE("workers: fifty kills lose the requests in the dead worker's hands and no other") {
    const server workers("workers-serving");
    (void)workers.await_serving(2);
    constexpr int kills = 50;
    constexpr int at_once = 6;
    clients load(workers, at_once);
    std::set<int> doomed;
    for (int i = 0; i < kills; ++i) {
        const std::set<int> pids = workers.await_serving(2);
        const int victim = i % 2 == 0 ? *pids.begin() : *pids.rbegin();
        // Stopped, it takes nothing more: what it has is known, and its queue gets all the others.
        stop_and_await(victim);
        load.next_phase();
        for (const int port : in_the_hands_of(victim, workers.port(), at_once)) doomed.insert(port);
        ::kill(victim, SIGKILL);
        load.next_phase();
        workers.await_status("\"pid\": " + std::to_string(victim) + ",", false);
        (void)workers.await_serving(2);
        load.next_phase();
    }
    load.end();
    CHECK(load.refused == 0);
    CHECK(load.answered + static_cast<int>(load.cut.size()) == load.asked);
    CHECK(load.answered >= kills);
    (void)workers.await_serving(2);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
    const std::string said = workers.running->rest();
    for (const auto& [port, reason] : load.cut)
        CHECK_MESSAGE(doomed.contains(port), "errno ", reason, "; the server said:\n", said);
}

TEST_CASE("workers: a supervisor that is killed takes its workers along") {
    const server workers("workers-serving");
    const std::set<int> pids = workers.await_serving(2);
    workers.running->kill(SIGKILL);
    for (const int pid : pids) CHECK(lariat::test::goes(pid));
    CHECK(workers.running->wait() == -SIGKILL);
}

TEST_CASE("workers: when the fork server is killed it is said, and all end with code 1") {
    const server workers("workers-serving");
    const std::set<int> pids = workers.await_serving(2);
    ::kill(parent_of(*pids.begin()), SIGKILL);
    CHECK(workers.running->wait() == 1);
    CHECK(workers.running->rest().find("the fork server was killed") != std::string::npos);
    for (const int pid : pids) CHECK(goes_at_last(pid));
    CHECK_FALSE(std::filesystem::exists(workers.status_path));
}

TEST_CASE("workers: one that hangs before it is ready is killed, and given up in the end") {
    const server workers("workers-hanging");
    CHECK(workers.running->wait() == 1);
    const std::string said = workers.running->rest();
    const std::size_t first = said.find("was not ready in time and is killed");
    REQUIRE(first != std::string::npos);
    CHECK(said.find("was not ready in time and is killed", first + 1) != std::string::npos);
    CHECK(said.find("worker-0 failed 2 times before it was ready: giving up") != std::string::npos);
}

TEST_CASE("workers: one that was ready in time is left alone") {
    const server workers("workers-in-time");
    CHECK(workers.running->wait() == 0);
    CHECK(workers.running->rest() == "");
}

TEST_CASE("workers: one that has no descriptor left for a listener says so") {
    const server workers("workers-starved");
    const std::string said = workers.running->line();
    CHECK(said.find("this worker has no descriptor left: Too many open files") !=
          std::string::npos);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that never gets its listener is given up, with the reason") {
    const server workers("workers-elsewhere");
    CHECK(workers.running->wait() == 1);
    const std::string said = workers.running->rest();
    CHECK(said.find("192.0.2.1") != std::string::npos);
    CHECK(said.find("worker-0 failed 2 times before it was ready: giving up") != std::string::npos);
}

TEST_CASE("workers: where none may be started it is said why, and that they are given up") {
    const server workers("workers-of-a-daemon");
    CHECK(workers.running->wait() == 0);
    const std::string said = workers.running->rest();
    CHECK(said.find("is a daemon") != std::string::npos);
    CHECK(said.find("failed 5 times before it was ready: giving up") != std::string::npos);
    CHECK(said.find("code 1") != std::string::npos);
}

TEST_CASE("workers: without descriptors the status waits, and nobody spins") {
    const server workers("workers-serving");
    (void)workers.await_serving(2);
    const int pid = workers.running->pid();
    rlimit before{};
    REQUIRE(::prlimit(pid, RLIMIT_NOFILE, nullptr, &before) == 0);
    const rlimit none{3, before.rlim_max};
    REQUIRE(::prlimit(pid, RLIMIT_NOFILE, &none, nullptr) == 0);
    const auto used_before = time_used_by(pid);
    const unique_fd caller = workers.call_status();
    REQUIRE(caller);
    pollfd answered{caller.get(), POLLIN, 0};
    CHECK(::poll(&answered, 1, 400) == 0);
    CHECK(time_used_by(pid) - used_before < 40ms);  // of 400: it looks eight times
    REQUIRE(::prlimit(pid, RLIMIT_NOFILE, &before, nullptr) == 0);
    CHECK(server::answer_of(caller).find("\"serving\"") != std::string::npos);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that exits with code 0 before its function has returned is replaced") {
    const server workers("workers-exiting");
    const std::set<int> pids = workers.await_serving(2);
    CHECK(ask(workers.connect(), 'q') == 0);
    std::set<int> now = workers.await_serving(2);
    while (now == pids) now = workers.await_serving(2);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
    CHECK(workers.running->rest().find("crashed: exit code 0") != std::string::npos);
}

TEST_CASE("workers: one that throws no std::exception is reported and replaced, be it a thread") {
    for (const bool threads : {false, true}) {
        const server workers("workers-throwing", threads);
        CHECK(workers.running->wait() == 1);
        const std::string said = workers.running->rest();
        CHECK(said.find("crashed: int") != std::string::npos);
        CHECK(said.find("failed 2 times before it was ready: giving up") != std::string::npos);
    }
}

TEST_CASE("workers: while one pauses after a crash new clients go to the others") {
    const server workers("workers-pausing");
    const std::set<int> pids = workers.await_serving(2);
    ::kill(*pids.begin(), SIGKILL);
    workers.await_status("\"pid\": " + std::to_string(*pids.begin()) + ",", false);
    for (int i = 0; i < 30; ++i) REQUIRE(ask(workers.connect()) == *pids.rbegin());
    workers.running->kill(SIGHUP);  // which does not wait for the pause's end
    (void)workers.await_serving(2);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

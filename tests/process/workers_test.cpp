#include <lariat/process/workers.hpp>

#include "workers_support.hpp"

#include <lariat/task/sleep.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace lariat::test;
using lariat::unique_fd;

lariat::task<> serving_worker(lariat::worker_context& self) {
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port_to_serve());
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

const role serving("workers-serving",
                   [] { return lariat::run_workers(&serving_worker, test_options()); });
const role failing("workers-failing", [] {
    lariat::workers_options options = without_status();
    options.most_failed_starts = 3;
    return lariat::run_workers(&failing_worker, options);
});
const role brief("workers-brief",
                 [] { return lariat::run_workers(&brief_worker, without_status()); });

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

TEST_CASE("workers: options that make no sense are refused by their names") {
    lariat::workers_options options;
    options.most_backoff = 1ms;
    CHECK_THROWS_WITH_AS((void)lariat::run_workers(&brief_worker, options),
                         "workers_options.most_backoff: give first_backoff or more",
                         std::invalid_argument);
    options = lariat::workers_options();
    options.start_limit = -1ms;
    CHECK_THROWS_WITH_AS((void)lariat::run_workers(&brief_worker, options),
                         "workers_options.start_limit: give more than 0", std::invalid_argument);
    CHECK_THROWS_AS((void)lariat::run_workers(nullptr), std::invalid_argument);
}

TEST_CASE("workers: a status path that is no socket's is refused, and left alone") {
    const scratch folder;
    lariat::workers_options options = without_status();
    const auto refusal = [&](const std::string& path) {
        options.status_path = path;
        try {
            (void)lariat::run_workers(&brief_worker, options);
        } catch (const std::system_error& error) {
            CHECK(std::string_view(error.what()).find(path) != std::string_view::npos);
            return error.code().value();
        }
        return 0;
    };
    const std::string precious = folder.path("precious");
    std::ofstream(precious) << "precious";
    CHECK(refusal(precious) == EEXIST);
    CHECK(std::filesystem::file_size(precious) == 8);
    CHECK(refusal(folder.path("nowhere/status")) == ENOENT);
}

TEST_CASE("workers: a status socket that is another's by now is left alone") {
    const server workers("workers-serving");
    (void)workers.await_serving(2);
    REQUIRE(std::filesystem::remove(workers.status_path));
    const unique_fd another(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, workers.status_path.c_str(), workers.status_path.size() + 1);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    REQUIRE(::bind(another.get(), generic, sizeof address) == 0);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
    CHECK(std::filesystem::exists(workers.status_path));
}

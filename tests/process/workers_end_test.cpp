// Workers that are told to end, or end by themselves: what becomes of their clients.
#include <lariat/process/workers.hpp>

#include "workers_support.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/sleep.hpp>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

namespace {

using namespace lariat::test;
using lariat::unique_fd;

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

/// Serves until a client has it return, by a connection's end.
lariat::task<> returning_worker(lariat::worker_context& self) {
    static lariat::cancel_scope serving;
    const auto return_after = [](lariat::tcp_stream client) -> lariat::task<> {
        co_await answer_with_pid(std::move(client));
        serving.cancel();
    };
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port_to_serve());
    if (self.index() == 0) {
        lariat::task<> all = lariat::serve(listener, return_after, self.options());
        (void)co_await serving.run(std::move(all));
    } else {
        co_await lariat::serve(listener, &answer_with_pid, self.options());
    }
}

/// Ready at once, until there is a certain file: then not before it is asked to end.
std::string late_file(const std::string& status_path) { return status_path + ".late"; }
lariat::task<> late_worker(lariat::worker_context& self) {
    const char* path = std::getenv("WORKERS_STATUS");
    if (path != nullptr && std::filesystem::exists(late_file(path))) {
        say("starts");
        while (!self.stopping()) ::sched_yield();
    }
    self.ready();
    co_await lariat::sleep(1h);
}

lariat::task<> answering_worker(lariat::worker_context& self) {
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port_to_serve());
    co_await lariat::serve(listener, &answer_with_pid, self.options());
}

const role busy("workers-busy", [] { return lariat::run_workers(&busy_worker, without_status()); });
const role returning("workers-returning",
                     [] { return lariat::run_workers(&returning_worker, test_options()); });
const role late("workers-late", [] {
    lariat::workers_options options = test_options();
    options.first_backoff = 1h;
    options.most_backoff = 1h;
    return lariat::run_workers(&late_worker, options);
});

const role patient("workers-patient", [] {
    lariat::workers_options options = test_options();
    options.drain = lariat::duration::max();
    options.grace = lariat::duration::max();
    return lariat::run_workers(&answering_worker, options);
});

/// Those who connect while all end are served, until they are refused.
void check_newcomers(const server& workers) {
    for (;;) {
        const unique_fd newcomer = workers.connect();
        if (!newcomer) return;
        const int answer = ask(newcomer);
        CHECK(answer > 0);
        if (answer == 0) return;
    }
}

void check_stop(const server& workers) {
    const bool threads = number_from("WORKERS_THREADS") != 0;
    (void)workers.await_serving(threads ? 1 : 2);  // threads have one pid
    workers.await_status("\"starting\"", false);
    unique_fd open = workers.connect();
    const int first = ask(open);
    REQUIRE(first > 0);
    workers.running->kill(SIGTERM);
    check_newcomers(workers);
    CHECK(ask(open) == first);  // it is still there, and so the newcomers did not outlast it
    open.reset();
    CHECK(workers.running->wait() == 0);
}

}  // namespace

TEST_CASE("workers: a SIGTERM lets open connections end, and takes no new ones") {
    check_stop(server("workers-serving"));
}

TEST_CASE("workers: so it does with one socket for all") {
    check_stop(server("workers-serving", false, true));
}

TEST_CASE("workers: so it does with threads") { check_stop(server("workers-serving", true)); }

TEST_CASE("workers: what the kernel had accepted before a SIGTERM is served") {
    const server workers("workers-serving");
    const std::set<int> pids = workers.await_serving(2);
    for (const int pid : pids) ::kill(pid, SIGSTOP);  // so that they do not come by it before
    std::vector<unique_fd> early(100);
    for (unique_fd& each : early) REQUIRE((each = workers.connect()));
    workers.running->kill(SIGTERM);
    while (!workers.serving_pids().empty()) ::sched_yield();
    for (const int pid : pids) ::kill(pid, SIGCONT);
    int answered = 0;
    for (unique_fd& each : early) {
        if (ask(each) > 0) ++answered;
        each.reset();
    }
    CHECK(answered == 100);
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

TEST_CASE("workers: a replacement that becomes ready while all end begins nothing anew") {
    const server workers("workers-late");
    (void)workers.await_serving(2);
    const std::string status = workers.status();
    const std::size_t first = status.find("\"worker\": 0, \"pid\": ");
    REQUIRE(first != std::string::npos);
    std::ofstream(late_file(workers.status_path)) << "from now on";
    ::kill(std::stoi(status.substr(first + 20)), SIGKILL);
    workers.await_status("\"worker\": 0", false);
    workers.running->kill(SIGHUP);
    while (workers.running->line() != "starts") {
    }
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that returns leaves its clients to the others") {
    const server workers("workers-returning");
    const std::set<int> pids = workers.await_serving(2);
    std::set<int> left = pids;
    while (left.size() == 2) {
        (void)ask(workers.connect());  // or it is reset: what the queue of one that returns holds
        left = workers.serving_pids();
    }
    workers.await_status("\"worker\": 0", false);
    for (int i = 0; i < 50; ++i) {
        const unique_fd connection = workers.connect();
        REQUIRE(connection);
        REQUIRE(ask(connection) == *left.begin());
    }
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: when every function has returned, all is done") {
    const server workers("workers-brief");
    CHECK(workers.running->wait() == 0);
}

TEST_CASE("workers: one that somebody else tells to end drains, and is replaced") {
    const server workers("workers-serving");
    (void)workers.await_serving(2);
    unique_fd open = workers.connect();
    const int told = ask(open);
    REQUIRE(told > 0);
    ::kill(told, SIGTERM);
    workers.await_status("\"leaving\"");
    for (int i = 0; i < 20; ++i) {
        const unique_fd newcomer = workers.connect();
        REQUIRE(newcomer);
        REQUIRE(ask(newcomer) > 0);
    }
    CHECK_FALSE(workers.await_serving(2).contains(told));
    CHECK(ask(open) == told);
    open.reset();
    workers.await_status("\"leaving\"", false);
    CHECK(workers.await_serving(2).size() == 2);
    workers.running->kill(SIGTERM);
    CHECK(workers.running->wait() == 0);
    const std::string said = workers.running->rest();
    CHECK(said.find("was told to end by another than its supervisor") != std::string::npos);
    CHECK(said.find("crashed") == std::string::npos);
}

TEST_CASE("workers: a drain without an end kills nobody") {
    const server workers("workers-patient");
    (void)workers.await_serving(2);
    unique_fd open = workers.connect();
    const int first = ask(open);
    REQUIRE(first > 0);
    workers.running->kill(SIGTERM);
    check_newcomers(workers);
    CHECK(ask(open) == first);
    open.reset();
    CHECK(workers.running->wait() == 0);
    CHECK(workers.running->rest() == "");
}

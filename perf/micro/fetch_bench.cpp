// Many small URLs at once, from a server by hand on the other core.
#include <lariat/lariat.hpp>
#include <lariat/net/http/client.hpp>

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../floor/http_answers.hpp"
#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr int urls = 1'000;
constexpr std::size_t connections = 100;  // aiohttp's own limit; curl is told the same

/// The server, in a process of its own that ends with this object, or with this process.
class server_process {
 public:
    server_process() {
        const int listener = floor_server::listen_at(0, SOCK_NONBLOCK);
        sockaddr_in here{};
        socklen_t size = sizeof here;
        floor_server::checked(getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size),
                              "getsockname");
        port_ = ntohs(here.sin_port);
        child_ = floor_server::checked(fork(), "fork");
        if (child_ == 0) serve(listener);
        close(listener);
    }
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;
    ~server_process() {
        kill(child_, SIGKILL);
        waitpid(child_, nullptr, 0);
    }

    [[nodiscard]] std::string url() const {
        return "http://127.0.0.1:" + std::to_string(port_) + "/";
    }

 private:
    [[noreturn]] static void serve(int listener) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench::pin_this_thread(1);
        floor_server::http_answers(listener).run();
    }

    int port_ = 0;
    pid_t child_ = -1;
};

lariat::task<> fetch(lariat::http::client& session, std::string url, int number) {
    url += std::to_string(number);
    auto response = co_await session.get(url);
    const std::string body = co_await response.text();
    if (response.status() != 200 || body != floor_server::answer_to(number))
        throw std::runtime_error(url + " gave a wrong answer: " + body);
}

lariat::task<double> fetch_all(std::string where) {
    const wall_watch watch;
    lariat::http::client_options options;
    options.max_connections_per_host = connections;
    lariat::http::client session(options);
    std::vector<lariat::task<>> fetches;
    fetches.reserve(urls);
    for (int number = 0; number < urls; ++number) {
        fetches.push_back(fetch(session, where, number));
    }
    co_await lariat::gather(std::move(fetches));
    co_return watch.nanoseconds() / 1e6;
}

}  // namespace

void bench::fetch_benches(suite& all) {
    all.add("fetch 1,000 small URLs at once", "ms", 0, [] {
        const server_process server;
        const pinned_while client_on(0);  // where rivals' clients are as well
        return lariat::run(fetch_all(server.url()));
    });
}

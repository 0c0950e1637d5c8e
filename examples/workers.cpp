// A server in a process for each core: a worker that crashes is replaced, SIGHUP replaces all of
// them one after another, and no connection is lost; SIGTERM lets open connections end.
//
// run: workers [port]
// then: socat - TCP:127.0.0.1:8080; kill -HUP <pid>; kill -KILL <a worker's pid>; kill -TERM <pid>
#include <lariat/lariat.hpp>
#include <lariat/process/workers.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include <unistd.h>

namespace {

// What is set before run_workers starts the family is the same in every worker.
std::uint16_t port = 8080;

lariat::task<> echo(lariat::tcp_stream client) {
    std::string greeting = "process " + std::to_string(::getpid()) + " at your service\n";
    co_await client.write_all(greeting);
    std::array<char, 16384> buffer;
    while (const std::size_t count = co_await client.read_some(buffer)) {
        const auto bytes = std::span(buffer).first(count);
        co_await client.write_all(bytes);
    }
}

lariat::task<> worker(lariat::worker_context& self) {
    lariat::tcp_listener& listener = self.listener("127.0.0.1", port);
    std::printf("worker %u listens on %s\n", self.index(),
                listener.local_endpoint().to_string().c_str());
    std::fflush(stdout);
    co_await lariat::serve(listener, echo, self.options());
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1) port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
    lariat::workers_options options;
    options.count = 2;
    return lariat::run_workers(worker, options);
}

// An echo server: every client gets its bytes back, from the buffer the kernel put them in. Ctrl-C
// stops accepting and gives open clients 5 s to finish.
//
// run: echo_server [PORT]
#include <lariat/lariat.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;

lariat::task<> echo(lariat::tcp_stream client) {
    for (;;) {
        const lariat::lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;  // the peer has finished
        co_await client.write_all(chunk);
    }
}

lariat::task<> main_task(int port) {
    auto listener = lariat::tcp_listener::bind(lariat::endpoint("127.0.0.1", port));
    std::printf("listening on %s\n", listener.local_endpoint().to_string().c_str());
    std::fflush(stdout);
    lariat::serve_options options;
    options.drain = 5s;
    options.stop_on = lariat::signals(SIGINT, SIGTERM);
    co_await lariat::serve(listener, echo, options);
    std::puts("stopped");
}

int main(int argc, char** argv) { lariat::run(main_task(argc > 1 ? std::atoi(argv[1]) : 8080)); }

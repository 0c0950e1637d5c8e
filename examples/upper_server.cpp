// The socket server of every course: each client gets its bytes back in upper case. A client that
// fails ends only its own task; Ctrl-C stops accepting and gives open clients 5 s to finish.
//
// run: upper_server [PORT], then: nc 127.0.0.1 8081
#include <lariat/lariat.hpp>

#include <array>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>

using namespace std::chrono_literals;

lariat::task<> talk(lariat::tcp_stream client) {
    std::array<char, 16384> buffer;
    for (;;) {
        const std::size_t count = co_await client.read_some(buffer);
        if (count == 0) break;  // the peer has finished
        const std::span<char> heard = std::span(buffer).first(count);
        for (char& c : heard) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        co_await client.write_all(heard);
    }
}

lariat::task<> main_task(int port) {
    auto listener = lariat::tcp_listener::bind(lariat::endpoint("127.0.0.1", port));
    std::printf("listening on %s\n", listener.local_endpoint().to_string().c_str());
    std::fflush(stdout);
    lariat::serve_options options;
    options.max_connections = 10'000;
    options.drain = 5s;
    options.stop_on = lariat::signals(SIGINT, SIGTERM);
    co_await lariat::serve(listener, talk, options);
    std::puts("stopped");
}

int main(int argc, char** argv) { lariat::run(main_task(argc > 1 ? std::atoi(argv[1]) : 8081)); }

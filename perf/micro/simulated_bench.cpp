// What a request costs beside so many other connections, to 10^6: a process has 20,000 descriptors,
// so beyond those the connections are the simulator's. Its own work is in the figure.
#include <lariat/lariat.hpp>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "benches.hpp"
#include "driver/sim/sim_driver.hpp"
#include "loop/loop_state.hpp"

namespace {

constexpr std::size_t million = 1'000'000;

lariat::task<> echo(lariat::tcp_stream client) {
    for (;;) {
        const lariat::lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;
        co_await client.write_all(chunk);
    }
}

struct crowd {
    explicit crowd(std::size_t clients) : requests(million / clients), done(clients) {}
    std::size_t requests;  // of each client
    lariat::event begin;
    lariat::latch done;
};

/// Asks when all may, and stays until all have.
lariat::task<> ask(crowd& all, lariat::tcp_stream server) {
    static constexpr std::array<char, 64> request{};
    co_await all.begin.wait();
    for (std::size_t i = 0; i < all.requests; ++i) {
        co_await server.write_all(std::string_view(request.data(), request.size()));
        std::size_t missing = request.size();
        while (missing != 0) {
            const lariat::lent_bytes chunk = co_await server.receive();
            if (chunk.empty()) throw std::runtime_error("the echo server closed a connection");
            missing -= chunk.size();
        }
    }
    all.done.count_down();
    co_await all.done.wait();
}

lariat::task<double> requests_beside(std::size_t count) {
    auto& network = lariat::detail::loop_state::current().driver_.sim()->network();
    crowd all(count);
    double each = 0;
    const auto body = [&](lariat::task_group& both) -> lariat::task<> {
        for (std::size_t i = 0; i < count; ++i) {
            const auto [near, far] = network.socket_pair();
            both.spawn(echo(lariat::tcp_stream(far)));
            both.spawn(ask(all, lariat::tcp_stream(near)));
        }
        co_await lariat::yield_now();
        const bench::stopwatch watch;
        all.begin.set();
        co_await all.done.wait();
        each = watch.each(million);
    };
    co_await lariat::with_group(body);
    co_return each;
}

}  // namespace

void bench::simulated_benches(suite& all) {
    for (std::size_t count = 1'000; count <= million; count *= 10) {
        all.add("scale: a simulated request, " + std::to_string(count) + " at once", "ns", 0,
                [count] {
                    lariat::run_options options;
                    options.driver.backend = lariat::backend::sim;
                    return lariat::run(options, requests_beside(count));
                });
    }
}

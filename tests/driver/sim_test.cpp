// What only the simulator has: virtual time, a shaped network, and seeds.
#include "driver/sim/sim_driver.hpp"

#include "world.hpp"

#include <cerrno>
#include <deque>

#include <poll.h>
#include <sys/socket.h>

using namespace driver_test;
using lariat::detail::sim_driver;
using lariat::detail::sim_link;
using lariat::detail::sim_network;

namespace {

lariat::driver_options seeded(std::uint64_t seed) {
    lariat::driver_options options = sim::plain();
    options.seed = seed;
    return options;
}

sim_network& network_of(world& w) { return w.drive().sim()->network(); }

/// The order in which 20 receives that become ready together complete.
std::vector<int> order_of(std::uint64_t seed) {
    sim w(seeded(seed));
    static std::vector<int>* order = nullptr;
    std::vector<int> seen;
    order = &seen;
    std::deque<recorded> receiving;
    std::string buffer(1, '\0');
    std::vector<int> far;
    for (int i = 0; i < 20; ++i) {
        const auto both = w.pair();
        far.push_back(both.second);
        recorded& each = receiving.emplace_back(receive(both.first, buffer));
        each.then = [](recorded& done) { order->push_back(done.fd); };
        w.start(each);
    }
    w.settle();
    for (const int fd : far) w.put(fd, "x");
    CHECK(w.run_until([&] { return seen.size() == 20; }));
    return seen;
}

}  // namespace

TEST_CASE("sim: time moves only when nothing can happen before") {
    sim w;
    const auto start = w.drive().now();
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.put(far, "x");
    w.drive().poll(start + 1h);
    CHECK(receiving.ended());
    CHECK(w.drive().now() == start);
    w.drive().poll(start + 1h);
    CHECK(w.drive().now() == start + 1h);
}

TEST_CASE("sim: bytes travel as long as the link says, and do not overtake one another") {
    sim w;
    const auto [near, far] = w.pair();
    sim_link slow;
    slow.latency = 30ms;
    network_of(w).shape(far, slow);
    const auto start = w.drive().now();
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.start(receiving);
    w.put(far, "first");
    network_of(w).shape(far, sim_link());
    w.put(far, "second");
    w.drive().poll(start + 1h);
    CHECK(w.drive().now() == start + 30ms);
    REQUIRE(w.run_until([&] { return receiving.received == "firstsecond"; }));
    CHECK(w.drive().now() == start + 30ms);
    w.close(far);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 0);
}

TEST_CASE("sim: a connect takes the link's time") {
    sim w;
    sim_link slow;
    slow.latency = 7ms;
    network_of(w).shape_new(slow);
    const int door = w.listener();
    const sockaddr_in address = w.address_of(door);
    const auto start = w.drive().now();
    recorded connecting = link_to(w.socket(), address);
    w.start(connecting);
    REQUIRE(w.finish(connecting));
    CHECK(connecting.result() == 0);
    CHECK(w.drive().now() == start + 7ms);
    w.put(connecting.fd, "early");
    recorded accepting(op_code::accept, door);
    w.start(accepting);
    REQUIRE(w.finish(accepting));
    w.adopt(accepting.result());
    std::string buffer(8, '\0');
    recorded receiving = receive(accepting.result(), buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 5);
    CHECK(w.drive().now() == start + 14ms);
}

TEST_CASE("sim: chunks cut what one receive takes") {
    sim w;
    const auto [near, far] = w.pair();
    sim_link lumpy;
    lumpy.chunk = 3;
    network_of(w).shape(far, lumpy);
    w.put(far, "abcdefgh");
    std::string buffer(8, '\0');
    for (const int bytes : {3, 3, 2}) {
        recorded receiving = receive(near, buffer);
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == bytes);
    }
}

TEST_CASE("sim: a wait without end that nothing can end is stuck, and says so") {
    sim w;
    sim_driver& driver = *w.drive().sim();
    const auto start = driver.now();
    w.drive().poll(lariat::forever);
    CHECK(driver.stuck());
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.drive().poll(lariat::forever);
    CHECK(driver.stuck());
    CHECK(driver.now() == start);
    w.put(far, "x");
    w.drive().poll(lariat::forever);
    CHECK(!driver.stuck());
    CHECK(receiving.ended());
    w.drive().wake();
    w.drive().poll(lariat::forever);
    CHECK(!driver.stuck());
    w.drive().poll(lariat::forever);
    CHECK(driver.stuck());
}

TEST_CASE("sim: one seed is one order, many seeds are many") {
    const std::vector<int> first = order_of(1);
    CHECK(order_of(1) == first);
    std::size_t different = 0;
    for (std::uint64_t seed = 2; seed < 12; ++seed) different += order_of(seed) != first ? 1 : 0;
    CHECK(different == 10);
}

TEST_CASE("sim: the coin decides what a submit finishes and who wins a race") {
    std::size_t at_once = 0;
    std::size_t won = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        sim w(seeded(seed));
        const auto [near, far] = w.pair();
        std::string buffer(8, '\0');
        w.put(far, "x");
        recorded receiving = receive(near, buffer);
        if (w.start(receiving)) ++at_once;
        w.cancel(receiving);
        REQUIRE(w.finish(receiving));
        if (receiving.result() == 1) ++won;
    }
    CHECK(at_once > 10);
    CHECK(at_once < 60);
    CHECK(won > at_once);
    CHECK(won < 100);
}

TEST_CASE("sim: a reset is felt by both ends, after what had arrived") {
    sim w;
    const auto [near, far] = w.pair();
    w.put(near, "to far");
    w.put(far, "to near");
    CHECK(network_of(w).reset(near) == 0);
    CHECK(w.take(near) == "to near");
    CHECK(w.take(far) == "to far");
    std::string buffer(4, '\0');
    for (const int fd : {near, far}) {
        CHECK((network_of(w).ready(fd) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
        recorded receiving = receive(fd, buffer);
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == -ECONNRESET);
        CHECK(w.put(fd, "x") == -EPIPE);
    }
}

TEST_CASE("sim: close with bytes unread resets the other end; without, it ends it") {
    sim w;
    const auto [one, other] = w.pair();
    const auto [clean, peer] = w.pair();
    w.put(one, "unread");
    w.close(other);
    w.close(clean);
    std::string buffer(4, '\0');
    recorded cut = receive(one, buffer);
    recorded ended = receive(peer, buffer);
    w.start(cut);
    w.start(ended);
    REQUIRE(w.finish(cut));
    REQUIRE(w.finish(ended));
    CHECK(cut.result() == -ECONNRESET);
    CHECK(ended.result() == 0);
}

TEST_CASE("sim: a full listener lets callers wait until there is room") {
    sim w;
    const int door = w.listener(1);
    w.call(door);
    const sockaddr_in address = w.address_of(door);
    recorded second = link_to(w.socket(), address);
    recorded third = link_to(w.socket(), address);
    w.start(second);
    w.start(third);
    w.settle();
    CHECK(second.seen.empty());
    recorded accepting(op_code::accept, door);
    w.start(accepting);
    REQUIRE(w.finish(accepting));
    w.adopt(accepting.result());
    REQUIRE(w.run_until([&] { return second.ended() != third.ended(); }));
    w.close(door);
    REQUIRE(w.run_until([&] { return second.ended() && third.ended(); }));
    CHECK(second.result() + third.result() == -ECONNREFUSED);
}

TEST_CASE("sim: the lowest free number is given again") {
    sim_network network;
    std::vector<int> sockets;
    for (int i = 0; i < 5; ++i) sockets.push_back(network.socket());
    for (const std::size_t i : {3U, 1U, 4U}) CHECK(network.close(sockets[i]) == 0);
    CHECK(network.open_descriptors() == 2);
    for (const std::size_t i : {1U, 3U, 4U}) CHECK(network.socket() == sockets[i]);
    CHECK(network.socket() == sockets[4] + 1);
}

TEST_CASE("sim: who gives up connecting is in nobody's way, and a port is free with its listener") {
    sim w;
    sim_network& network = network_of(w);
    const int door = network.listen(80, 1);
    w.call(door);
    const sockaddr_in address = w.address_of(door);
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    const int waits = network.socket();
    const int gone = network.socket();
    for (const int fd : {gone, waits})
        CHECK(network.connect(fd, to, sizeof address) == lariat::detail::would_block);
    CHECK(network.close(gone) == 0);
    w.adopt(network.accept(door));
    CHECK(network.connect(waits, to, sizeof address) == 0);
    CHECK(network.close(door) == 0);
    const int again = network.listen(80);
    w.adopt(again);
    CHECK(network.accept(again) == lariat::detail::would_block);
    CHECK(network.close(waits) == 0);
}

TEST_CASE("sim: a socket connects to one port at a time") {
    sim_network network;
    const auto call = [&](int fd, std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        return network.connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    };
    sim_link slow;
    slow.latency = 1s;
    network.shape_new(slow);
    const int late = network.socket();
    CHECK(call(late, 80) == lariat::detail::would_block);
    CHECK(call(late, 82) == -EALREADY);
    network.advance(network.now() + 1s);
    CHECK(call(late, 82) == -EALREADY);
    CHECK(call(late, 80) == -ECONNREFUSED);
    const int door = network.listen(82);
    CHECK(call(late, 82) == lariat::detail::would_block);  // the first is over
    network.advance(network.now() + 1s);
    CHECK(call(late, 82) == 0);
    const int gone = network.socket();
    CHECK(call(gone, 80) == lariat::detail::would_block);
    CHECK(network.close(gone) == 0);
    for (const int fd : {late, door}) CHECK(network.close(fd) == 0);
    CHECK(network.open_descriptors() == 0);
}

TEST_CASE("sim: a port is one listener's, and a descriptor is never a real one") {
    sim w;
    const int door = network_of(w).listen(80);
    w.adopt(door);
    CHECK(door >= sim_network::first_descriptor);
    CHECK(network_of(w).port_of(door) == 80);
    CHECK(network_of(w).listen(80) == -EADDRINUSE);
    recorded real(op_code::close, 0);
    w.start(real);
    REQUIRE(w.finish(real));
    CHECK(real.result() == -EBADF);
}

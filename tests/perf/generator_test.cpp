#include "generator.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <utility>

using echo_load::generator;
using echo_load::mode;
using echo_load::options;

namespace {

/// Serves one connection after the other in a thread; may falsify the byte at one position of each
/// stream, send one byte too many there, or nothing from there on.
class small_server {
 public:
    enum class fault { none, wrong_byte, extra_byte, silence };

    explicit small_server(fault what, std::size_t position = 0) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(listen(listener_, 128) == 0);
        socklen_t length = sizeof address;
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this, what, position] { serve_all(what, position); });
    }

    ~small_server() {
        shutdown(listener_, SHUT_RDWR);
        thread_.join();
        close(listener_);
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
    void serve_all(fault what, std::size_t position) const {
        for (;;) {
            const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (client < 0) return;
            serve(client, what, position);
            close(client);
        }
    }

    static void serve(int client, fault what, std::size_t position) {
        std::array<char, 4096> buffer;
        std::size_t seen = 0;
        for (;;) {
            const ssize_t got = recv(client, buffer.data(), buffer.size() - 1, 0);
            if (got <= 0) return;
            auto length = static_cast<std::size_t>(got);
            const bool here = seen <= position && position < seen + length;
            if (here && what == fault::wrong_byte) buffer[position - seen] ^= 1;
            if (here && what == fault::extra_byte) ++length;
            seen += static_cast<std::size_t>(got);
            if (what == fault::silence && seen > position) continue;
            if (send(client, buffer.data(), length, MSG_NOSIGNAL) < 0) return;
        }
    }

    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

/// Runs a load until `least` answers were counted in it, and twice as long each time: the machine
/// may stand still for as long as a short one lasts. check(load, found) holds of every one.
template <class Check>
void run_until_answered(options chosen, std::uint64_t least, Check check) {
    std::uint64_t answered = 0;
    for (int tries = 0; tries < 7 && answered < least; ++tries) {
        generator load(chosen);
        const auto found = load.run();
        CHECK(load.result().errors == 0);
        check(load, found);
        answered = load.result().requests;
        chosen.duration_seconds *= 2;
    }
    CHECK(answered >= least);
}

options quick(const small_server& server, mode which) {
    options chosen;
    chosen.port = server.port();
    chosen.mode = which;
    chosen.connections = 1;
    chosen.warmup_seconds = 0.0;
    chosen.duration_seconds = 0.05;
    return chosen;
}

}  // namespace

TEST_CASE("echo_load: an honest server's answers are all counted") {
    const small_server server(small_server::fault::none);
    options chosen = quick(server, mode::echo);
    chosen.size = 100;
    chosen.pipeline = 5;
    run_until_answered(chosen, 1, [](const generator& load, const auto& found) {
        CHECK(load.result().latency.count() == load.result().requests);
        CHECK(load.result().bytes / 100 + 5 >= load.result().requests);
        CHECK(found.seconds >= 0.05);
    });
}

TEST_CASE("echo_load: requests larger than every buffer come back whole") {
    const small_server server(small_server::fault::none);
    options chosen = quick(server, mode::echo);
    chosen.size = 300'000;
    run_until_answered(chosen, 1, [](const auto&...) {});
}

TEST_CASE("echo_load: one wrong byte is an error") {
    const small_server server(small_server::fault::wrong_byte, 20'000);
    options chosen = quick(server, mode::echo);
    chosen.duration_seconds = 60;  // the error ends it
    generator load(chosen);
    CHECK_THROWS_AS(static_cast<void>(load.run()), std::runtime_error);
    CHECK(load.result().errors == 1);
    CHECK(load.result().first_error == "an echoed byte is wrong");
}

TEST_CASE("echo_load: a byte nobody sent is an error") {
    const small_server server(small_server::fault::extra_byte, 50);
    options chosen = quick(server, mode::echo);
    chosen.duration_seconds = 60;  // the error ends it
    generator load(chosen);
    CHECK_THROWS_AS(static_cast<void>(load.run()), std::runtime_error);
    CHECK(load.result().errors == 1);
}

TEST_CASE("echo_load: how long nobody was answered is told") {
    const small_server server(small_server::fault::silence, 0);
    const options chosen = quick(server, mode::echo);
    generator load(chosen);
    const auto found = load.run();
    CHECK(load.result().errors == 0);
    CHECK(load.result().requests == 0);
    const double silent = static_cast<double>(load.result().longest_silence) / 1e9;
    CHECK(silent == doctest::Approx(found.seconds));

    const small_server honest(small_server::fault::none);
    run_until_answered(quick(honest, mode::echo), 1, [](const generator& other, const auto& phase) {
        if (other.result().requests == 0) return;
        CHECK(static_cast<double>(other.result().longest_silence) / 1e9 < phase.seconds);
    });
}

TEST_CASE(
    "echo_load: idle: the first wrong byte ends it, the other connections are not waited for") {
    const small_server server(small_server::fault::wrong_byte, 0);
    options chosen = quick(server, mode::idle);
    chosen.connections = 2;
    generator load(chosen);
    CHECK_THROWS_WITH(static_cast<void>(load.run()), "an echoed byte is wrong");
    CHECK(load.result().errors == 1);
}

TEST_CASE("echo_load: a server that is not there is named, not waited for") {
    options chosen;
    chosen.connections = 3;
    {
        const small_server gone(small_server::fault::none);
        chosen.port = gone.port();
    }
    generator load(chosen);
    CHECK_THROWS_WITH(static_cast<void>(load.run()),
                      doctest::Contains("connect: Connection refused"));
}

TEST_CASE("echo_load: churn opens a connection for each request") {
    const small_server server(small_server::fault::none);
    run_until_answered(quick(server, mode::churn), 2, [](const auto&...) {});
}

TEST_CASE("echo_load: an open loop sends what the rate says and no more") {
    const small_server server(small_server::fault::none);
    options chosen = quick(server, mode::echo);
    chosen.rate = 1000;
    auto begun = std::chrono::steady_clock::now();
    run_until_answered(chosen, 1, [&begun](const generator& load, const auto& /*phase*/) {
        const auto now = std::chrono::steady_clock::now();
        const std::chrono::duration<double> all = now - std::exchange(begun, now);
        CHECK(static_cast<double>(load.result().requests) <= 1000 * all.count() + 1);
    });
}

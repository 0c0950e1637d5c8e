#include <lariat/net/tcp_options.hpp>

#include "net_support.hpp"

#include <lariat/task/timeout.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <sys/socket.h>

using namespace net_test;

TEST_CASE("tcp_options: options are the kernel's: each is set alone, and read back") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        const tcp_options from_the_start = both.near.options();
        CHECK(from_the_start.no_delay == true);
        CHECK(from_the_start.keep_alive == false);
        tcp_options some;
        some.keep_alive = true;
        some.keep_alive_idle = 31s;
        some.keep_alive_interval = 7s;
        some.keep_alive_probes = 4;
        some.user_timeout = 12'345ms;
        both.near.set_options(some);
        tcp_options other;
        other.no_delay = false;
        both.near.set_options(other);
        const tcp_options now = both.near.options();
        CHECK(now.no_delay == false);
        CHECK(now.keep_alive == true);
        CHECK(now.keep_alive_idle == 31s);
        CHECK(now.keep_alive_interval == 7s);
        CHECK(now.keep_alive_probes == 4);
        CHECK(now.user_timeout == 12'345ms);
        CHECK(now.receive_buffer_bytes == from_the_start.receive_buffer_bytes);
        CHECK(now.send_buffer_bytes == from_the_start.send_buffer_bytes);
        both.near.set_options(tcp_options());  // changes nothing
        CHECK(both.near.options().keep_alive_idle == 31s);
        co_await both.near.write_all("still works");
        const std::string got = co_await read_count(both.far, 11);
        CHECK(got == "still works");
    });
}

TEST_CASE("tcp_options: buffers are set for both directions; Linux keeps twice as much") {
    on_loop([]() -> task<> {
        tcp_options small;
        small.receive_buffer_bytes = 20'000;
        small.send_buffer_bytes = 10'000;
        ends both = co_await connected();
        both.near.set_options(small);
        CHECK(both.near.options().receive_buffer_bytes == 40'000U);
        CHECK(both.near.options().send_buffer_bytes == 20'000U);
        auto listener = tcp_listener::bind(loopback());
        auto made = co_await tcp_stream::connect(listener.local_endpoint(), small);
        CHECK(made.options().receive_buffer_bytes == 40'000U);
        const int port = listener.local_endpoint().port();
        auto by_name = co_await tcp_stream::connect("127.0.0.1", port, small);
        CHECK(by_name.options().send_buffer_bytes == 20'000U);
        // And they bind: a peer that does not read holds up a writer sooner.
        const tcp_stream far = co_await listener.accept();
        const std::string piece(100'000, 'x');
        std::size_t taken = 0;
        for (bool full = false; !full;) {
            auto writing = made.write_some(piece);
            const auto sent = co_await nothrow(timeout(20ms, std::move(writing)));
            full = !sent;
            if (sent) taken += *sent;
        }
        ends wide = co_await connected();
        const std::size_t at_once = co_await wide.near.write_some(std::string(2'000'000, 'x'));
        CHECK(at_once > 100'000);
        CHECK(taken > 0);
    });
}

TEST_CASE("tcp_options: options that make no sense are refused by their names, and none is set") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        const auto refusal = [&both](const tcp_options& options) {
            try {
                both.near.set_options(options);
            } catch (const std::invalid_argument& error) {
                return std::string(error.what());
            }
            return std::string("nothing was refused");
        };
        tcp_options idle;
        idle.no_delay = false;
        idle.keep_alive_idle = 0s;
        CHECK(refusal(idle) == "tcp_options.keep_alive_idle is 0; give 1 to 32767");
        CHECK(both.near.options().no_delay == true);
        tcp_options probes;
        probes.keep_alive_probes = 128;
        CHECK(refusal(probes) == "tcp_options.keep_alive_probes is 128; give 1 to 127");
        tcp_options late;
        late.user_timeout = -1ms;
        CHECK(refusal(late) == "tcp_options.user_timeout is -1; give 0 to 2147483647");
        tcp_options huge;
        huge.send_buffer_bytes = ~std::size_t{0};
        CHECK(refusal(huge).find("send_buffer_bytes is 9223372036854775807; give 0 to") !=
              std::string::npos);
        CHECK_THROWS_AS((void)tcp_stream::connect(loopback(), idle), std::invalid_argument);
        CHECK_THROWS_AS((void)tcp_stream::connect("localhost", 1, idle), std::invalid_argument);
    });
}

TEST_CASE("tcp_options: an option that the socket does not have is an error with its name") {
    on_loop([]() -> task<> {
        std::array<int, 2> pair{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
        tcp_stream one(pair[0]);
        const tcp_stream other(pair[1]);
        std::string text;
        try {
            (void)one.options();
        } catch (const std::system_error& error) {
            text = error.what();
        }
        CHECK(text.rfind("asking for the option no_delay: ", 0) == 0);
        co_await one.abort();  // of what knows no reset, a close
    });
}

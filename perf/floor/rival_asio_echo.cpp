// The same server as one would write it with Asio's coroutines (its epoll reactor): the rival that
// every Debian has.
#include <asio.hpp>

#include <exception>
#include <vector>

#include "listener.hpp"

namespace {

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket client, std::size_t buffer_bytes) {
    std::vector<char> buffer(buffer_bytes);
    try {
        for (;;) {
            const std::size_t length =
                co_await client.async_read_some(asio::buffer(buffer), asio::use_awaitable);
            co_await asio::async_write(client, asio::buffer(buffer, length), asio::use_awaitable);
        }
    } catch (const std::system_error&) {
        co_return;  // the peer closed or reset: this connection ends, no other
    }
}

asio::awaitable<void> serve(tcp::acceptor listener, std::size_t buffer_bytes) {
    for (;;) {
        tcp::socket client = co_await listener.async_accept(asio::use_awaitable);
        asio::co_spawn(client.get_executor(), echo(std::move(client), buffer_bytes),
                       asio::detached);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const floor_server::arguments chosen(argc, argv, 64 * 1024);
        floor_server::allow_all_descriptors();
        asio::io_context context(1);
        tcp::acceptor listener(context, tcp::v4(),
                               floor_server::listen_at(chosen.port, SOCK_NONBLOCK));
        asio::co_spawn(context, serve(std::move(listener), chosen.buffer_bytes), asio::detached);
        context.run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "rival_asio_echo: %s\n", failure.what());
        return 1;
    }
}

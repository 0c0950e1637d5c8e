// The same server as one would write it with Asio's coroutines: on its epoll reactor, or with
// -DASIO_HAS_IO_URING -DASIO_DISABLE_EPOLL on io_uring.
#include <asio.hpp>

#include <exception>
#include <memory>

#include "listener.hpp"

namespace {

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket client, std::size_t buffer_bytes) {
    // Not zeroed: an idle client's buffer then takes no memory.
    const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_bytes);
    const auto room = asio::buffer(buffer.get(), buffer_bytes);
    try {
        for (;;) {
            const std::size_t length = co_await client.async_read_some(room, asio::use_awaitable);
            const auto read = asio::buffer(room, length);
            co_await asio::async_write(client, read, asio::use_awaitable);
        }
    } catch (const std::system_error&) {
        co_return;  // the peer closed or reset: this connection ends, no other
    }
}

asio::awaitable<void> serve(tcp::acceptor listener, std::size_t buffer_bytes) {
    const auto executor = co_await asio::this_coro::executor;
    for (;;) {
        tcp::socket client = co_await listener.async_accept(asio::use_awaitable);
        asio::co_spawn(executor, echo(std::move(client), buffer_bytes), asio::detached);
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
        std::fprintf(stderr, "echo_asio: %s\n", failure.what());
        return 1;
    }
}

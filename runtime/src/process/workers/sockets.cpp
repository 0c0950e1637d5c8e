#include "process/workers/sockets.hpp"

#include <lariat/net/address.hpp>

#include <utility>

namespace lariat::detail {

int worker_sockets::find(unsigned worker, const std::string& address, std::uint16_t port) {
    const bool own = sharing_ == listener_sharing::reuse_port;
    std::uint16_t real = port;
    for (const bound& each : all_) {
        if (each.address != address || each.asked != port) continue;
        if (!own || each.worker == worker) return each.listener.descriptor();
        real = each.listener.local_endpoint().port();  // a port that the system chose is for all
    }
    listen_options options;
    options.reuse_port = own;
    tcp_listener listener = tcp_listener::bind(endpoint(address, real), options);
    all_.push_back(bound{worker, address, port, std::move(listener)});
    return all_.back().listener.descriptor();
}

}  // namespace lariat::detail

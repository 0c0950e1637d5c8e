#pragma once

#include <lariat/net/tcp_listener.hpp>
#include <lariat/process/workers.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace lariat::detail {

/// The listening sockets of all workers. They are the supervisor's, so what waits in their queues
/// survives any worker.
class worker_sockets {
 public:
    explicit worker_sockets(listener_sharing how) noexcept : sharing_(how) {}

    /// The socket for this worker, bound if it is the first to ask. Errors: std::system_error,
    /// std::invalid_argument for what is no address.
    [[nodiscard]] int find(unsigned worker, const std::string& address, std::uint16_t port);

 private:
    struct bound {
        unsigned worker;  // of those that share the port; 0 for a socket that all have
        std::string address;
        std::uint16_t asked;
        tcp_listener listener;
    };

    listener_sharing sharing_;
    std::vector<bound> all_;
};

}  // namespace lariat::detail

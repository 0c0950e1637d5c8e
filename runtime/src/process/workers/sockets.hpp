#pragma once

#include <lariat/net/tcp_listener.hpp>
#include <lariat/process/workers.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace lariat::detail {

/// The listening sockets of all workers. They are the supervisor's, so what waits in their queues
/// survives any worker.
///
/// States       open -> turning away (turn_away) -> closed, worker by worker or all at once
class worker_sockets {
 public:
    explicit worker_sockets(listener_sharing how) noexcept : sharing_(how) {}

    /// The socket for this worker, bound if it is the first to ask. Errors: std::system_error
    /// (ESHUTDOWN: nothing is bound once new connections are turned away), std::invalid_argument
    /// for what is no address.
    [[nodiscard]] int find(unsigned worker, const std::string& address, std::uint16_t port);

    /// From now on nobody gets into the queues, and what is in them stays there. Who tries asks
    /// again a second later (a SYN without an answer, tcp(7)), and is refused if by then all have
    /// closed the socket, or finds whoever has the port next.
    void turn_away() noexcept;
    /// Those of this worker alone. What is in their queues, and nobody else has, is reset.
    void close_of(unsigned worker) noexcept;
    /// Those of this worker in whose queue nobody waits, if another worker has one for the same
    /// port: so new ones go there. find() binds it anew.
    void close_idle_of(unsigned worker) noexcept;
    void close_all() noexcept { all_.clear(); }

 private:
    struct bound {
        unsigned worker;  // of those that share the port; 0 for a socket that all have
        std::string address;
        std::uint16_t asked;
        tcp_listener listener;
    };

    listener_sharing sharing_;
    std::vector<bound> all_;
    bool turns_away_ = false;
};

/// How many connections are complete and wait in this listening socket's queue; 0 if it is none.
[[nodiscard]] unsigned waiting_connections(int listener) noexcept;

}  // namespace lariat::detail

#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace lariat {

/// What the kernel is told about one TCP connection, or asked. What is empty is left as it is.
///
///     lariat::tcp_options careful;
///     careful.keep_alive = true;
///     careful.keep_alive_idle = 30s;
///     stream.set_options(careful);
///
/// A buffer takes full effect only before the connection is made (tcp(7)): give it to connect or,
/// for accepted streams, to bind.
struct tcp_options {
    /// Sends small segments at once, without Nagle's delay; on from the start (TCP_NODELAY).
    std::optional<bool> no_delay;
    /// Probes an idle peer; off from the start (SO_KEEPALIVE).
    std::optional<bool> keep_alive;
    /// Idle for so long, it is probed; 1 s to 32,767 s, 2 h from the start (TCP_KEEPIDLE).
    std::optional<std::chrono::seconds> keep_alive_idle;
    /// Between two probes; 1 s to 32,767 s, 75 s from the start (TCP_KEEPINTVL).
    std::optional<std::chrono::seconds> keep_alive_interval;
    /// So many without an answer end the connection; 1 to 127, 9 from the start (TCP_KEEPCNT).
    std::optional<int> keep_alive_probes;
    /// Sent data may stay unacknowledged for so long, then the connection ends with ETIMEDOUT; 0 is
    /// the system's own measure, some 15 minutes (TCP_USER_TIMEOUT).
    std::optional<std::chrono::milliseconds> user_timeout;
    /// The kernel's buffers, up to 1 GiB. Linux keeps twice what is set, for its own bookkeeping,
    /// and that is what it gives when asked; it cuts what is more than the system allows
    /// (net.core.rmem_max, wmem_max) and does not let a set buffer grow by itself any more
    /// (socket(7), SO_RCVBUF, SO_SNDBUF).
    std::optional<std::size_t> receive_buffer_bytes;
    std::optional<std::size_t> send_buffer_bytes;

    tcp_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

}  // namespace lariat

#include "process/workers/sockets.hpp"

#include <lariat/net/address.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace lariat::detail {

namespace {

/// Drops what would begin a connection. A socket's filter sees a segment from its TCP header on;
/// the flags are its 14th byte (RFC 9293, 3.1). Sockets made from the listener later inherit it, to
/// which no SYN comes.
void drop_beginnings(int listener) noexcept {
    constexpr unsigned flags_at = 13;
    constexpr unsigned syn = 0x02;
    constexpr unsigned whole = 0xffffffff;
    std::array<sock_filter, 4> code{
        sock_filter{BPF_LD | BPF_B | BPF_ABS, 0, 0, flags_at},
        sock_filter{BPF_JMP | BPF_JSET | BPF_K, 0, 1, syn},
        sock_filter{BPF_RET | BPF_K, 0, 0, 0},
        sock_filter{BPF_RET | BPF_K, 0, 0, whole},
    };
    const sock_fprog program{code.size(), code.data()};
    // Refused, by a sandbox: then who comes between the last look at a queue and its end is reset.
    (void)::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

}  // namespace

int worker_sockets::find(unsigned worker, const std::string& address, std::uint16_t port) {
    const bool own = sharing_ == listener_sharing::reuse_port;
    std::uint16_t real = port;
    for (const bound& each : all_) {
        if (each.address != address || each.asked != port) continue;
        if (!own || each.worker == worker) return each.listener.descriptor();
        real = each.listener.local_endpoint().port();  // a port that the system chose is for all
    }
    if (turns_away_)
        throw std::system_error(ESHUTDOWN, std::system_category(),
                                "the workers are being stopped: no listener for " + address);
    listen_options options;
    options.reuse_port = own;
    tcp_listener listener = tcp_listener::bind(endpoint(address, real), options);
    all_.push_back(bound{worker, address, port, std::move(listener)});
    return all_.back().listener.descriptor();
}

void worker_sockets::turn_away() noexcept {
    turns_away_ = true;
    for (const bound& each : all_) drop_beginnings(each.listener.descriptor());
}

void worker_sockets::close_of(unsigned worker) noexcept {
    if (sharing_ == listener_sharing::inherited) return;
    std::erase_if(all_, [worker](const bound& each) { return each.worker == worker; });
}

void worker_sockets::close_idle_of(unsigned worker) noexcept {
    if (sharing_ == listener_sharing::inherited) return;
    const auto is_idle = [&](const bound& each) {
        if (each.worker != worker || waiting_connections(each.listener.descriptor()) != 0)
            return false;
        return std::ranges::any_of(all_, [&](const bound& other) {
            return other.worker != worker && other.asked == each.asked &&
                   other.address == each.address;
        });
    };
    // Not std::erase_if: what it has moved would be asked.
    for (std::size_t i = all_.size(); i-- > 0;) {
        if (!is_idle(all_[i])) continue;
        // The ring of a killed process holds it for a while after that was reaped.
        (void)::shutdown(all_[i].listener.descriptor(), SHUT_RDWR);
        all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

// Linux tells a listening socket's queue where another's unacknowledged segments are
// (tcp_get_info(), since 2.6.18).
unsigned waiting_connections(int listener) noexcept {
    tcp_info told{};
    socklen_t size = sizeof told;
    if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &told, &size) != 0) return 0;
    return told.tcpi_state == TCP_LISTEN ? told.tcpi_unacked : 0;
}

}  // namespace lariat::detail

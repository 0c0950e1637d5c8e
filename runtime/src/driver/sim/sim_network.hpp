#pragma once

#include <lariat/base/clock.hpp>

#include "driver/would_block.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace lariat::detail {

/// What one end of a connection does to the bytes it sends.
struct sim_link {
    duration latency{0};  ///< from the send to the other end
    std::size_t capacity =
        64 * 1024;  ///< bytes under way or unread; a send that finds no room waits
    std::size_t chunk = ~std::size_t{0};  ///< at most so many bytes are received at once
};

/// Stream sockets in memory, under a virtual clock. It knows no operations: its verbs never wait,
/// and say `would_block`, a result, or a negated errno, as the kernel's TCP does. Tests use them as
/// the world outside the driver; the driver uses them for its ops.
///
/// Descriptors are numbered from `first_descriptor`, so that none is ever a real one, and the
/// lowest free number is used again at once, as the kernel does.
///
/// Threads      one
/// Cost         of the bytes and stretches that are unread, and of a logarithm of how many are
///              open; accept() and a listener's close() also ask all who connect to its port
class sim_network {
 public:
    static constexpr int first_descriptor = 1 << 30;

    /// Returns an unconnected socket.
    int socket();
    /// Returns a listener on `port` (0: one that is free), or -EADDRINUSE.
    int listen(std::uint16_t port, int backlog = 128);
    /// Returns two connected ends, each taking `capacity` bytes before the other must read.
    std::pair<int, int> socket_pair(std::size_t capacity = sim_link().capacity);
    [[nodiscard]] std::uint16_t port_of(int listener) const;

    int connect(int fd, const sockaddr* to, std::uint32_t length);
    int accept(int fd);
    int send(int fd, const void* bytes, std::size_t count);
    int recv(int fd, void* buffer, std::size_t count, int flags = 0);
    /// SHUT_RD, SHUT_WR or SHUT_RDWR.
    int shutdown(int fd, int how);
    /// Both ends read what has arrived, then -ECONNRESET.
    int reset(int fd);
    /// With bytes unread it resets the other end, as TCP does.
    int close(int fd);
    /// The POLL events that hold; POLLNVAL when there is no such descriptor.
    [[nodiscard]] int ready(int fd) const;

    /// For what `fd` sends from now on; and for ends that are made later.
    void shape(int fd, const sim_link& link);
    void shape_new(const sim_link& link) { new_link_ = link; }
    /// From now on descriptors beyond `count` open ones are refused with -EMFILE by accept.
    void limit_descriptors(std::size_t count) { limit_ = count; }
    [[nodiscard]] std::size_t open_descriptors() const noexcept { return open_; }

    [[nodiscard]] time_point now() const noexcept { return now_; }
    /// When something will change by itself; `forever`: never.
    [[nodiscard]] time_point next_event() const noexcept;
    void advance(time_point to);
    /// The descriptors whose readiness may have changed since the last call.
    [[nodiscard]] std::vector<int> take_touched();

 private:
    enum class role : std::uint8_t { unconnected, listener, stream };
    enum class segment_kind : std::uint8_t { data, end, reset };
    struct segment {
        segment_kind kind = segment_kind::data;
        time_point due;
        std::string bytes;
    };
    struct endpoint {
        role is = role::unconnected;
        int fd = -1;  // -1: not accepted yet
        bool write_closed = false;
        bool read_closed = false;
        bool touched = false;
        bool connecting = false;
        std::uint16_t port = 0;  // listener, or where it is connecting to
        time_point connected_at;
        endpoint* peer = nullptr;  // nullptr: gone
        sim_link link;             // of what it sends
        time_point last_due;       // of what it sent: bytes do not overtake one another
        std::size_t inbound_bytes = 0;
        std::list<segment> inbound;  // a list: empty ones, of a million, take nothing
        std::size_t backlog = 0;
        std::list<std::unique_ptr<endpoint>> pending;
    };
    /// What a port number leads to.
    struct door {
        endpoint* listener = nullptr;
        std::set<int> connecting;
    };
    struct event {
        time_point due;
        int fd;
        bool operator>(const event& other) const noexcept { return due > other.due; }
    };

    [[nodiscard]] endpoint* find(int fd) const noexcept;
    int adopt(std::unique_ptr<endpoint> item);
    [[nodiscard]] endpoint* listener_on(std::uint16_t port) const noexcept;
    void stop_connecting(endpoint& item);
    void touch(endpoint* item);
    void touch_at(time_point due, int fd);
    void transmit(endpoint& from, segment_kind kind, std::string bytes);
    void join(endpoint& one, endpoint& other);
    void part(endpoint& item, segment_kind last_words);
    [[nodiscard]] bool due(const segment& s) const noexcept { return s.due <= now_; }
    [[nodiscard]] bool reset_due(const endpoint& item) const noexcept;
    [[nodiscard]] int send_room(const endpoint& item) const noexcept;
    void wake_connectors(std::uint16_t port);

    time_point now_{std::chrono::hours(1)};  // some time that is not the epoch
    sim_link new_link_;
    std::size_t limit_ = ~std::size_t{0};
    std::size_t open_ = 0;
    std::uint16_t next_port_ = 49152;
    std::vector<std::unique_ptr<endpoint>> descriptors_;
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;  // of those
    std::unordered_map<std::uint16_t, door> ports_;
    std::vector<int> touched_;
    std::priority_queue<event, std::vector<event>, std::greater<>> events_;
};

}  // namespace lariat::detail

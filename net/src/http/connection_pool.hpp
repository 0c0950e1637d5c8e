#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/list.hpp>
#include <lariat/net/http/client_options.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/timer_queue.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "http/response_parser.hpp"

namespace lariat::http::detail {

class connection_pool;
struct host_slots;

struct age_link : list_link {};
struct host_link : list_link {};

/// One connection and the reader of its answers. Idle, it is on the lists of its host and of its
/// age.
struct connection : age_link, host_link {
    connection(tcp_stream made, const response_limits& limits) noexcept;

    /// Whether bytes, the end or an error are there already, though nothing was asked: then it is
    /// of no use. Pre: nobody reads. Never suspends.
    [[nodiscard]] bool spoiled() noexcept;

    tcp_stream stream;
    response_parser parser;
    time_point idle_until = forever;
    host_slots* home = nullptr;
};

/// What a pool knows of one host.
///
/// Invariant 1  open counts the leases in hand and the idle connections, and never exceeds the
///              limit
/// Invariant 2  while somebody is in line, nothing is idle: what comes back goes to the first of
///              them
/// Invariant 3  it exists while open != 0 or somebody is in line
struct host_slots {
    const std::string* name = nullptr;  ///< its key in the pool's map
    std::size_t open = 0;
    list<host_link> idle;  ///< owned; the back was used last
    wait_queue line;
};

/// The right to one connection to a host, with the connection once there is one.
///
/// Lifetime     its end closes the connection and passes the right on
class lease {
 public:
    lease() noexcept = default;
    lease(lease&& other) noexcept;
    lease& operator=(lease&& other) noexcept;
    ~lease() { give_back(nullptr); }

    [[nodiscard]] bool connected() const noexcept { return held_ != nullptr; }
    [[nodiscard]] connection& operator*() const noexcept { return *held_; }
    [[nodiscard]] connection* operator->() const noexcept { return held_.get(); }

    /// Takes a connection that was made for this lease.
    void adopt(tcp_stream made);
    /// Closes the connection; the right stays.
    void disconnect() noexcept { held_.reset(); }
    /// Ends the lease: the connection may carry other requests.
    void keep() noexcept { give_back(std::move(held_)); }

 private:
    friend class connection_pool;
    void give_back(std::unique_ptr<connection> kept) noexcept;

    std::shared_ptr<connection_pool> pool_;  // a response may outlive its client
    host_slots* at_ = nullptr;
    std::unique_ptr<connection> held_;
};

/// A client's connections: so many a host, and those that wait for their next request.
///
/// Order        FIFO for each host; of the idle connections the one used last is taken first
/// Lifetime     leases share it; close() comes before the end of its owner
/// Allocation   a record a host that has connections
class connection_pool : public std::enable_shared_from_this<connection_pool>, private timer_entry {
 public:
    struct counters {
        std::uint64_t opened = 0;
        std::uint64_t reused = 0;
        std::size_t open = 0;
        std::size_t idle = 0;
        std::size_t waiting = 0;
    };

    explicit connection_pool(const client_options& options);
    ~connection_pool();

    class acquire_awaiter;
    /// Suspends until the host has a connection to give, or room for one · Cancel: leaves the line.
    [[nodiscard]] acquire_awaiter acquire(std::string host);
    /// Keeps nothing from now on.
    void close() noexcept;
    [[nodiscard]] const counters& stats() const noexcept { return counts_; }

 private:
    friend class lease;

    /// True if it waits.
    [[nodiscard]] bool begin(acquire_awaiter& asker);
    void put_back(host_slots& at, std::unique_ptr<connection> kept) noexcept;
    void keep(host_slots& at, std::unique_ptr<connection> kept) noexcept;
    std::unique_ptr<connection> take_idle(connection& idle) noexcept;
    void drop_idle(connection& idle) noexcept;
    void free_slot(host_slots& at) noexcept;
    void watch_age() noexcept;
    static void due(timer_entry& self) noexcept;

    std::size_t most_per_host_;
    std::size_t most_idle_;
    duration keep_alive_;
    response_limits limits_;
    std::unordered_map<std::string, host_slots> hosts_;
    list<age_link> ages_;         // the front is idle for longest
    scheduler* clock_ = nullptr;  // whose timer is armed
    counters counts_;
    bool closed_ = false;
};

class connection_pool::acquire_awaiter : public line_point {
 public:
    acquire_awaiter(std::shared_ptr<connection_pool> pool, std::string host) noexcept
        : line_point(kind_of_wait), pool_(std::move(pool)), host_(std::move(host)) {}
    acquire_awaiter(acquire_awaiter&& other) noexcept = default;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!pool_->begin(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    lease await_resume() {
        throw_if_cut();
        return std::move(granted_);
    }

 private:
    friend class connection_pool;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    std::shared_ptr<connection_pool> pool_;
    std::string host_;
    lease granted_;
};

}  // namespace lariat::http::detail

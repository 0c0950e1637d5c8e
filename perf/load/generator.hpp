#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "connection.hpp"
#include "options.hpp"
#include "server_usage.hpp"

namespace echo_load {

/// What one run found.
struct outcome {
    double seconds = 0;
    double load_cpu_seconds = 0;
    double server_cpu_seconds = 0;
    double server_kernel_seconds = 0;
    memory_use memory_before;  // of the server: before the first connection
    memory_use memory_after;   // at the end, all connections still open
};

/// One thread, one epoll, many connections: runs the phases of a measurement.
class generator {
 public:
    explicit generator(const options& chosen);
    explicit generator(options&& chosen) = delete;  // they are kept by reference
    generator(generator&&) = delete;
    ~generator();

    /// Connects, warms up, measures. Errors: std::system_error, std::runtime_error when the server
    /// cannot be reached or no connection is left; what went wrong on a connection is in result().
    [[nodiscard]] outcome run();

    [[nodiscard]] const tally& result() const noexcept { return shared_.tally; }

 private:
    void run_echo(outcome& found);
    void run_churn(outcome& found);
    void run_idle(outcome& found);
    void measure(outcome& found, double seconds);

    void open_all();
    void open(connection& which);
    void start_traffic();
    template <class Condition>
    void pump(nanoseconds_t until, const Condition& finished);
    void wait_once(nanoseconds_t until);
    void grant_due_requests();
    void on_ready(std::uint32_t index, std::uint32_t events);

    const options& options_;
    shared_state shared_;
    sockaddr_in server_{};
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t opened_ = 0;
    std::size_t connecting_ = 0;
    bool refill_ = false;  // closed loop under way: an answer starts the next request
    double interval_ = 0;  // open loop: nanoseconds between two requests
    nanoseconds_t started_ = 0;
    std::uint64_t granted_ = 0;
};

}  // namespace echo_load

#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "pattern.hpp"
#include "tally.hpp"

namespace echo_load {

using nanoseconds_t = std::int64_t;  // CLOCK_MONOTONIC

[[nodiscard]] nanoseconds_t now() noexcept;

/// What all connections of a run have in common.
struct shared_state {
    shared_state(std::size_t request_bytes, std::size_t in_flight, bool close_after_one)
        : size(request_bytes), pipeline(in_flight), one_shot(close_after_one) {}

    const std::size_t size;
    const std::size_t pipeline;
    const bool one_shot;  // churn: the clock starts at connect(), the stream ends after one answer
    int epoll = -1;
    byte_pattern pattern;
    std::unique_ptr<char[]> incoming = std::make_unique<char[]>(byte_pattern::longest);
    echo_load::tally tally;
};

/// One stream to the server: sends requests, checks each echoed byte, notes each answer's latency.
///
/// States: closed -> connecting (open) -> open (first writable event) -> closed (close, failure,
/// or after one answer in churn).
class connection {
 public:
    connection(shared_state& shared, std::uint32_t index);
    connection(connection&&) = delete;
    ~connection() { close(); }

    /// Starts connecting, from `source` unless it is INADDR_ANY. A refusal is counted.
    void open(const sockaddr_in& server, in_addr_t source);
    void close() noexcept;

    /// Open loop: request number n is due at first + n * step, and latency counts from then.
    void schedule(nanoseconds_t first, nanoseconds_t step) noexcept;

    /// Lets `more` requests go as soon as fewer than the pipeline's depth are in flight.
    void grant(std::uint64_t more);

    /// Handles what epoll reported. `refill`: every answer grants the next request.
    void on_event(std::uint32_t events, bool refill);

    [[nodiscard]] bool is_open() const noexcept { return state_ == state::open; }
    [[nodiscard]] bool is_closed() const noexcept { return state_ == state::closed; }
    [[nodiscard]] std::uint64_t answered() const noexcept { return answered_; }

 private:
    enum class state : std::uint8_t { closed, connecting, open };

    void finish_connecting();
    void issue();
    void flush();
    void receive(bool refill);
    void take_answers(std::size_t bytes, bool refill);
    void fail(const char* doing, int error);

    shared_state& shared_;
    const std::uint32_t index_;
    int fd_ = -1;
    state state_ = state::closed;
    std::size_t send_position_ = 0;
    std::size_t receive_position_ = 0;
    std::size_t unsent_ = 0;     // bytes of issued requests
    std::size_t partial_ = 0;    // bytes of an answer that is not complete
    std::uint64_t granted_ = 0;  // requests that may go
    std::uint64_t issued_ = 0;
    std::uint64_t answered_ = 0;
    std::size_t oldest_ = 0;  // place in started_at_ of the oldest request in flight
    std::size_t newest_ = 0;
    nanoseconds_t first_due_ = 0;
    nanoseconds_t step_ = 0;
    std::unique_ptr<nanoseconds_t[]> started_at_;
};

}  // namespace echo_load

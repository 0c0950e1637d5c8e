#pragma once

#include <lariat/base/result.hpp>
#include <lariat/net/address.hpp>
#include <lariat/net/buffer.hpp>
#include <lariat/net/lent_bytes.hpp>
#include <lariat/net/stream_verbs.hpp>
#include <lariat/net/tcp_options.hpp>
#include <lariat/net/verb.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace lariat {

namespace detail {
struct connect_failures;
class last_call_awaiter;
}  // namespace detail

/// A TCP connection.
///
/// Order        bytes go and come in order; one task reads and one writes at a time (asserted)
/// Threads      the loop it was first used on
/// Lifetime     a handle: move-only; its end closes the connection, whatever is in flight. After
///              close every verb reports closed_error
/// Allocation   one record a connection; none for a read or a write
class LARIAT_EXPORT tcp_stream {
 public:
    /// Empty: every verb reports closed_error.
    tcp_stream() noexcept = default;
    /// Takes over a connected stream socket, for instance one inherited. It is closed also if this
    /// throws (std::bad_alloc).
    explicit tcp_stream(int descriptor);
    tcp_stream(tcp_stream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    tcp_stream& operator=(tcp_stream&& other) noexcept {
        tcp_stream taken(std::move(other));
        std::swap(state_, taken.state_);  // what was here is closed
        return *this;
    }
    ~tcp_stream() {
        if (state_ != nullptr) release();
    }

    /// Suspends until connected · Errors: std::system_error with the address; at once
    /// std::invalid_argument for options that make no sense · Cancel: no connection is left.
    [[nodiscard]] static verb<tcp_stream> connect(endpoint to,
                                                  const tcp_options& options = tcp_options());
    /// The same by name: tries the host's addresses in the order of resolve(), the families in
    /// turn, the next one when the one before has failed or has not answered for 250 ms; the first
    /// that answers is taken, the others are given up (RFC 8305, "Happy Eyeballs") · Errors:
    /// resolve_error; std::system_error with host, port, the code of the last address to fail, and
    /// each one's reason; at once std::invalid_argument for a port that is not 0 to 65535 · Cancel:
    /// no connection is left.
    [[nodiscard]] static verb<tcp_stream> connect(std::string host, int port,
                                                  const tcp_options& options = tcp_options());
    /// Suspends until bytes are there · Returns how many were put into `room`, 0 at the end of the
    /// stream · Errors: std::system_error, after the bytes that came before it; closed_error ·
    /// Cancel: no byte is taken. Pre: room for at least one byte.
    [[nodiscard]] read_awaiter read_some(mutable_bytes room) noexcept;
    /// The same without a copy: the bytes where the kernel put them, any number; none at the end.
    [[nodiscard]] receive_awaiter receive() noexcept;

    /// Suspends until the kernel has taken some · Returns how many · Cancel: none was taken.
    [[nodiscard]] write_some_awaiter write_some(bytes data) noexcept;
    /// Suspends until the kernel has taken all · Errors: std::system_error; broken_error after a
    /// write that was cut short · Cancel: if part of it had gone the stream is broken: close it.
    [[nodiscard]] write_awaiter write_all(bytes data) noexcept;
    /// The same for several stretches, sent in order as if they were one, without joining them.
    [[nodiscard]] gather_write_awaiter write_all(std::span<const bytes> parts);

    /// Tells the peer that nothing more will come; receiving goes on.
    void shutdown();
    /// Closes at once for everybody; awaiting it waits until the descriptor is gone. Never fails.
    close_awaiter close() noexcept;
    /// The same with a reset: what was not sent yet is dropped, and the peer's next read or write
    /// fails with ECONNRESET (socket(7), SO_LINGER).
    close_awaiter abort() noexcept;

    /// Errors, for the four: std::system_error; closed_error.
    [[nodiscard]] endpoint local_endpoint() const;
    [[nodiscard]] endpoint remote_endpoint() const;
    /// All of them, as the kernel has them.
    [[nodiscard]] tcp_options options() const;
    /// Sets those that are not empty, in the order of tcp_options · Errors: also
    /// std::invalid_argument for what makes no sense, and then none is set.
    void set_options(const tcp_options& options);

 private:
    friend class accept_awaiter;
    friend class detail::last_call_awaiter;

    explicit tcp_stream(detail::stream_state* state) noexcept : state_(state) {}

    [[nodiscard]] static task<result<tcp_stream>> connect_to(endpoint to, tcp_options options);
    [[nodiscard]] static task<result<tcp_stream>> connect_to_first(
        std::unique_ptr<detail::connect_failures> failed, std::string host, int port,
        tcp_options options);
    void release() noexcept;
    /// Errors: closed_error.
    [[nodiscard]] int open_descriptor(const char* what) const;

    detail::stream_state* state_ = nullptr;
};

}  // namespace lariat

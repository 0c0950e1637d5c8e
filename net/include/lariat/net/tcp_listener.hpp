#pragma once

#include <lariat/net/address.hpp>
#include <lariat/net/tcp_options.hpp>
#include <lariat/net/tcp_stream.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace lariat {

namespace detail {
struct listener_state;
class connection_set;

/// A verb's own reference: the listener's handle may go before the verb has ended.
class LARIAT_EXPORT listener_ref {
 public:
    explicit listener_ref(listener_state* listener) noexcept;
    listener_ref(listener_ref&& other) noexcept
        : listener_(std::exchange(other.listener_, nullptr)) {}
    listener_ref& operator=(listener_ref&&) = delete;
    ~listener_ref() {
        if (listener_ != nullptr) drop();
    }

    [[nodiscard]] listener_state* operator->() const noexcept { return listener_; }
    [[nodiscard]] explicit operator bool() const noexcept { return listener_ != nullptr; }

 private:
    void drop() noexcept;

    listener_state* listener_;
};
}  // namespace detail

struct listen_options {
    int backlog = 4096;  ///< connections the kernel completes ahead of accept (listen(2)); not
                         ///< negative
    bool reuse_address = true;  ///< binds though old connections linger (SO_REUSEADDR)
    bool reuse_port = false;    ///< several listeners share the port (SO_REUSEPORT)
    tcp_options streams;        ///< what accepted streams start with

    listen_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

/// Waits for a connection. Being cut, it has taken none.
class LARIAT_EXPORT accept_awaiter : public line_point {
 public:
    explicit accept_awaiter(detail::listener_state* listener) noexcept
        : line_point(kind_of_wait), listener_(listener) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    tcp_stream await_resume() { return finish_nothrow().value("accepting"); }
    result<tcp_stream> finish_nothrow();

 private:
    [[nodiscard]] bool must_wait() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    detail::listener_ref listener_;
};

namespace detail {

/// Waits for a connection that the kernel had given before a pause() took effect. Empty: there is
/// none left.
class LARIAT_EXPORT last_call_awaiter : public wait_point {
 public:
    explicit last_call_awaiter(listener_state* listener) noexcept
        : wait_point(kind_of_wait), listener_(listener) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    std::optional<tcp_stream> await_resume();

 private:
    [[nodiscard]] bool must_wait() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    listener_ref listener_;
};

}  // namespace detail

/// A socket that accepts TCP connections.
///
/// Order        connections come in the kernel's order; tasks that accept at once are served in
///              FIFO
/// Threads      the loop it was first used on
/// Lifetime     a handle: move-only; its end closes the socket and the connections nobody took
/// Limits       out of descriptors or memory it pauses, says so once on stderr, tries again every
///              100 ms and goes on by itself; accept() just waits. A connection that was there when
///              memory ran out is lost
class LARIAT_EXPORT tcp_listener {
 public:
    tcp_listener() noexcept = default;
    tcp_listener(tcp_listener&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    tcp_listener& operator=(tcp_listener&& other) noexcept {
        tcp_listener taken(std::move(other));
        std::swap(state_, taken.state_);  // what was here is closed
        return *this;
    }
    ~tcp_listener() {
        if (state_ != nullptr) release();
    }

    /// Binds and listens; port 0 lets the system choose: see local_endpoint() · Errors:
    /// std::system_error with the endpoint; std::invalid_argument for options that make no sense.
    [[nodiscard]] static tcp_listener bind(const endpoint& where,
                                           const listen_options& options = listen_options());
    /// Takes over a listening socket, for instance one inherited. It is closed also if this throws
    /// (std::bad_alloc). What is no listening socket says so in accept().
    [[nodiscard]] static tcp_listener adopt(int descriptor);
    /// The same for a socket from which other processes accept too: none of them misses a
    /// connection because another was killed. It is made to never block, for all of them. Errors:
    /// also std::system_error.
    [[nodiscard]] static tcp_listener adopt_shared(int descriptor);

    /// Suspends until there is a connection · Errors: std::system_error; closed_error · Cancel:
    /// none is taken.
    [[nodiscard]] accept_awaiter accept() noexcept { return accept_awaiter(state_); }
    /// Stops taking connections from the kernel until the next accept(); those taken already stay.
    void pause() noexcept;

    [[nodiscard]] endpoint local_endpoint() const;
    /// Its number, to hand a duplicate to another process; the listener keeps it. -1 once closed.
    [[nodiscard]] int descriptor() const noexcept;
    /// Closes at once; tasks that accept get closed_error.
    void close() noexcept;

 private:
    friend class detail::connection_set;

    explicit tcp_listener(detail::listener_state* state) noexcept : state_(state) {}
    void release() noexcept;
    /// There was no memory to use a connection: pauses as its Limits say.
    void rest() noexcept;
    /// After pause(). Pre: nobody else asks it.
    [[nodiscard]] detail::last_call_awaiter last_call() noexcept {
        return detail::last_call_awaiter(state_);
    }

    detail::listener_state* state_ = nullptr;
};

}  // namespace lariat

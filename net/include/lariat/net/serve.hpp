#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/child_set.hpp>
#include <lariat/task/spawn.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <utility>

namespace lariat {

/// What a serve() counts, for whoever shows it; from any thread, or any process that maps it.
struct serve_counters {
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> open{0};
};

struct serve_options {
    std::size_t max_connections = 100'000;  ///< 1 or more; the kernel's backlog holds the others
    duration drain = duration::zero();      ///< how long open connections may go on after the stop
    signals stop_on;                        ///< which signals stop it; none by default
    serve_counters* counters = nullptr;     ///< counted there as well; outlives the serving

    serve_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

namespace detail {

/// The connections of one serve().
///
/// States       serving (begin) -> draining (stop) -> ended (the last child); a drain that takes
///              too long, or an accept that fails, cancels what is left
class LARIAT_EXPORT connection_set : public child_set, private timer_entry {
 public:
    explicit connection_set(const serve_options& options) noexcept;
    ~connection_set();

    /// Waits until fewer than max_connections are open.
    class LARIAT_EXPORT room_awaiter : public wait_point {
     public:
        explicit room_awaiter(connection_set& set) noexcept;
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
            party& p = party_of(frame);
            if (!set_->full()) return pass(p, frame);
            set_->waits_for_room_ = this;
            park(p, frame);
            return true;
        }
        void await_resume() const { throw_if_cut(); }

     private:
        static void leave(waiter& w) noexcept;
        static const wait_kind kind_of_wait;
        connection_set* set_;
    };
    [[nodiscard]] room_awaiter room() noexcept { return room_awaiter(*this); }
    [[nodiscard]] bool full() const noexcept { return open_ >= most_; }

    void add(task<> connection);
    /// A handler that failed before it gave a task.
    void report_failure(const std::exception_ptr& error) const noexcept;
    /// What the kernel had handed over when accepting stopped is served as well, if there is a
    /// drain: its clients believe they are connected.
    [[nodiscard]] static last_call_awaiter last_call(tcp_listener& listener) noexcept {
        return listener.last_call();
    }
    [[nodiscard]] bool drains() const noexcept { return drain_ != duration::zero(); }
    /// There was no memory to start a handler: accepting pauses, as it does without descriptors.
    static void pause_for_memory(tcp_listener& listener) noexcept { listener.rest(); }
    /// Stops at the first of these signals.
    void watch(const signals& which);
    /// The accept loop runs inside: cancelling it stops.
    [[nodiscard]] cancel_scope& accepting() noexcept { return accepting_; }

    /// Runs `accepting` beside the connections it adds, and waits for all of them.
    class LARIAT_EXPORT run_awaiter : public wait_point {
     public:
        run_awaiter(connection_set& set, task<> accepting) noexcept;
        /// Pre: not awaited yet. GCC 12 wants every awaiter to be movable.
        run_awaiter(run_awaiter&& other) noexcept;
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> frame) {
            begin(party_of(frame));
            park(party_of(frame), frame);
        }
        void await_resume();

     private:
        void begin(party& p);
        static void leave(waiter& w) noexcept;
        static const wait_kind kind_of_wait;

        connection_set* set_;
        task<> accepting_;
        party acceptor_;
    };
    [[nodiscard]] run_awaiter run(task<> accepting) noexcept {
        return run_awaiter(*this, std::move(accepting));
    }

 private:
    static void child_ended(group_core& group, party& p) noexcept;
    static void drain_over(timer_entry& due) noexcept;
    void begin_drain() noexcept;
    void end_drain() noexcept;

    cancel_scope accepting_;
    std::size_t most_;
    duration drain_;
    serve_counters* counters_;
    std::size_t open_ = 0;
    waiter* waits_for_room_ = nullptr;
    const party* acceptor_ = nullptr;
    join_handle<> watcher_;
};

template <class Handler>
void start_handler(connection_set& set, tcp_listener& listener, Handler& handler,
                   tcp_stream accepted) {
    try {
        set.add(handler(std::move(accepted)));
    } catch (const std::bad_alloc&) {
        connection_set::pause_for_memory(listener);
    } catch (...) {
        set.report_failure(std::current_exception());
    }
}

template <class Handler>
task<> accept_all(connection_set& set, tcp_listener& listener, Handler& handler) {
    for (;;) {
        co_await set.room();
        tcp_stream accepted = co_await listener.accept();
        start_handler(set, listener, handler, std::move(accepted));
    }
}

/// The accept loop under its scope, beside the wait for a signal.
template <class Handler>
task<> accept_until_stopped(connection_set& set, tcp_listener& listener, Handler& handler,
                            signals stop_on) {
    if (!stop_on.empty()) set.watch(stop_on);
    try {
        co_await set.accepting().run(accept_all(set, listener, handler));
    } catch (const closed_error&) {
        // Closing the listener is one of the ways to stop.
    }
    listener.pause();
    while (set.drains()) {
        std::optional<tcp_stream> accepted = co_await connection_set::last_call(listener);
        if (!accepted) break;
        start_handler(set, listener, handler, *std::move(accepted));
    }
}

template <class Handler>
task<> serve_checked(tcp_listener& listener, Handler handler, serve_options options) {
    connection_set connections(options);
    co_await connections.run(accept_until_stopped(connections, listener, handler, options.stop_on));
}

/// Errors: std::invalid_argument with the option's name and what is right.
LARIAT_EXPORT void check_options(const serve_options& options);

}  // namespace detail

/// Accepts connections and runs handler(stream), a task, for each, until it is stopped.
///
/// A handler that fails ends its own connection; the failure goes to the report hook and serving
/// goes on. Beyond max_connections nothing is accepted. Short of descriptors or memory the listener
/// pauses and resumes; a connection whose handler finds no memory to start is lost.
///
/// Suspends until stopped by a signal of stop_on, by listener.close(), or by cancellation; then no
/// more is accepted, open connections, and those the kernel has handed over by then (unless the
/// listener was closed), have `drain` to end, and what is left is cancelled and awaited · Errors:
/// the listener's; at once std::invalid_argument for options that make no sense · Cancel: as said;
/// it takes up to `drain`, then throws · Borrows the listener; the handler is moved into the
/// serving task.
template <class Handler>
task<> serve(tcp_listener& listener, Handler handler, serve_options options = serve_options()) {
    detail::check_options(options);
    return detail::serve_checked(listener, std::move(handler), options);
}

}  // namespace lariat

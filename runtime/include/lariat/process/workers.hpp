#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/net/serve.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/process/family.hpp>
#include <lariat/task/task.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace lariat {

enum class workers_mode : std::uint8_t {
    processes,  ///< a worker that crashes takes nobody along
    threads,    ///< the same program in one process
};

/// How the workers come by connections.
enum class listener_sharing : std::uint8_t {
    reuse_port,  ///< a socket for each worker; the kernel spreads connections evenly (SO_REUSEPORT)
    inherited,   ///< one socket for all: whoever is free takes the next
};

/// workers_options::count: a worker for each core that this process may use.
inline constexpr unsigned per_core = 0;

struct workers_options {
    workers_mode mode = workers_mode::processes;
    unsigned count = per_core;
    bool pin = true;  ///< worker i runs on one core only, the i-th of those there are
    listener_sharing sharing = listener_sharing::reuse_port;
    std::string name = "worker";  ///< they are called worker-0, worker-1, ...

    /// For open connections, once a worker is to end; duration::max(): as long as they take.
    duration drain = std::chrono::seconds(10);
    duration grace = std::chrono::seconds(2);  ///< after that, until it is killed
    /// For a worker to be ready, the first, one that replaces it, or one of a reload. One that by
    /// then has no listener() and has not called ready() is killed, and counts as crashed, however
    /// well it works; standard error says which one and why. A thread cannot be killed: that is
    /// said, and it goes on.
    duration start_limit = std::chrono::seconds(30);
    /// What a worker that crashed is replaced after: this long, and twice as long each time, up to
    /// the most; one that ran for the most is forgiven. Who is in its queue waits as long
    /// (reuse_port); if nobody is, and the pause is longer than 100 ms, its socket is closed
    /// meanwhile, so that new clients go to the workers that serve the same port; who is connecting
    /// at that very moment may be reset.
    duration first_backoff = std::chrono::milliseconds(100);
    duration most_backoff = std::chrono::seconds(10);
    /// So many failures in a row before a worker was ready (it crashed, took too long, could not
    /// be started) end run_workers: it cannot start.
    unsigned most_failed_starts = 5;

    /// A Unix socket that answers each connection with a line a worker, as JSON; empty: none. A
    /// file there that is no socket, or one in use, is left alone, and refused.
    std::string status_path;

    workers_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

namespace detail {
struct worker_state;
}

/// What a worker's function has of the house it works in.
///
/// Threads      its worker's loop
/// Lifetime     longer than the function's task
class LARIAT_EXPORT worker_context {
 public:
    /// Library use.
    explicit worker_context(std::unique_ptr<detail::worker_state> state) noexcept;
    worker_context(const worker_context&) = delete;
    worker_context& operator=(const worker_context&) = delete;
    ~worker_context();

    /// A listener at that address, which stays this context's. The supervisor holds its socket as
    /// well: a worker that crashes leaves the connections it has not accepted to the next; one
    /// whose function returns leaves none, and new ones go to the others. Once it has a listener, a
    /// worker counts as ready. The same address again: the same listener. Port 0: a free port, the
    /// same one for all workers.
    ///
    /// When the worker is asked to end the listener is closed, as soon as serve() has taken what
    /// its queue holds (what nobody takes within a second is reset).
    ///
    /// Blocks until the supervisor has answered · Errors: std::system_error with the endpoint;
    /// EMFILE when this worker has no descriptor left, ESHUTDOWN when all are ending; that the
    /// supervisor is gone.
    [[nodiscard]] tcp_listener& listener(const std::string& address, std::uint16_t port);
    /// For serve: drains as long as workers_options::drain says, and counts for the status.
    [[nodiscard]] serve_options options() const noexcept;
    /// This worker can do its work: one that has no listener must say so, or it is killed after
    /// workers_options::start_limit. A reload waits for it.
    void ready();
    /// Counts requests, for the status.
    void count_request(std::uint64_t count = 1) noexcept;

    [[nodiscard]] unsigned index() const noexcept;
    [[nodiscard]] unsigned count() const noexcept;
    /// It was asked to end, by whomever: its function is being cancelled.
    [[nodiscard]] bool stopping() const noexcept;

 private:
    std::unique_ptr<detail::worker_state> state_;
};

/// A worker's function: it serves until it is cancelled.
using worker_function = task<> (*)(worker_context&);

/// Runs `function` in a process (or a thread) for each core, each with its own loop, and supervises
/// them: the whole of a server's main().
///
///     lariat::task<> worker(lariat::worker_context& self) {
///         co_await lariat::serve(self.listener("0.0.0.0", 8080), echo, self.options());
///     }
///     int main() { return lariat::run_workers(worker); }
///
/// A worker that crashes (a signal, an exit code, be it 0 before its function has returned, an
/// exception of whatever type) is reported on standard error and replaced. So is one to whose pid
/// somebody else sends SIGTERM: it drains, and another takes its place at once, without a back-off
/// if it was ready. One whose function returns of itself is done, and not replaced. SIGTERM or
/// SIGINT end all: a worker's function is cancelled, so that serve() drains,
/// and what is left after drain and grace is killed. Who was connected by then is served; who comes
/// later is refused, at once or when its kernel asks again a second later. SIGHUP replaces all, one
/// after another: the new one is ready before the old one is asked to end, and no connection is
/// lost. It is a fresh start of the same program, not of a new one on disk. Killed itself, it takes
/// its processes along within a second.
///
/// Blocks until all workers have ended · Returns 0 after SIGTERM or SIGINT, and when every function
/// has returned; 1 when a worker could not be started, or when the fork server was killed, which
/// takes the worker processes along; why is said on standard error · Errors:
/// std::invalid_argument for options that make no sense; std::system_error for a status_path that
/// is in use, is no socket (EEXIST) or cannot be made. Pre: no loop runs on this thread; processes:
/// no other thread exists.
[[nodiscard]] LARIAT_EXPORT int run_workers(worker_function function,
                                            const workers_options& options = workers_options());

}  // namespace lariat

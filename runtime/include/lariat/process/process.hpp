#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/process_options.hpp>
#include <lariat/process/process_status.hpp>
#include <lariat/process/start_request.hpp>
#include <lariat/task/task.hpp>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

struct process_state;

/// A counted reference to what this process knows of one that it started.
class LARIAT_EXPORT process_ref {
 public:
    process_ref() noexcept = default;
    /// Takes over a reference.
    explicit process_ref(process_state* state) noexcept : state_(state) {}
    process_ref(const process_ref& other) noexcept;
    process_ref(process_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    process_ref& operator=(process_ref other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~process_ref() {
        if (state_ != nullptr) drop();
    }

    [[nodiscard]] process_state* operator->() const noexcept { return state_; }
    [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
    void drop() noexcept;

    process_state* state_ = nullptr;
};

/// Waits until a process has ended and was reaped.
class LARIAT_EXPORT process_wait : public io_awaiter {
 public:
    explicit process_wait(process_ref child) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (must_wait()) return io_awaiter::await_suspend(frame);
        return pass(party_of(frame), frame);
    }
    process_status await_resume();
    lariat::result<process_status> finish_nothrow();

 private:
    [[nodiscard]] bool must_wait() noexcept;

    process_ref state_;
    bool waits_ = false;
};

}  // namespace detail

/// A process of this program's family that runs a function.
///
///     lariat::process buyer = lariat::process::start(buy, lock, tickets);
///     lariat::process_status status = co_await buyer.join();
///
/// It is a clean copy of what the program was when its fork server started (see start_fork_server):
/// no loop, no thread, no descriptor but the standard streams and those among the arguments. What a
/// function is given, it is given as values; a task runs on a loop of the process's own. Standard
/// streams are flushed at its end. std::exit there ends it with that code, and runs what the
/// process itself has registered, not what it inherited.
///
/// Order        none among processes
/// Threads      of one handle: one at a time; join from any loop
/// Lifetime     a handle that goes while its process runs hands it to the loop that runs here,
///              which asks it to end (SIGTERM), kills it after the grace period, and lets `run`
///              return when it is gone; where no loop runs, the destructor does that itself, and
///              waits. detach(child) lets it go on. An exception that ended a process which nobody
///              joined goes to the loop's report hook, or to standard error. No zombie stays
/// Allocation   some records when it starts
/// Limits       1,024 processes of a family at a time, the first and the fork server among them:
///              1,022 that were started. Once the fork server was killed no process can be
///              started, and no end is known: join fails and says so
class LARIAT_EXPORT process {
 public:
    /// Empty: for a move into it. Every verb but the destructor needs one that was started.
    process() noexcept = default;
    process(process&& other) noexcept = default;
    process& operator=(process&& other) noexcept;
    ~process();

    /// Starts a process that calls function(arguments...): a plain function, a lambda without
    /// captures, or an object that can be sent; see `transferable` for the arguments. What it
    /// returns is dropped; what it throws comes with its status.
    ///
    /// Blocks until the pid is known, some 300 us · Errors: std::system_error that names the step
    /// and what the system says (no process, descriptor, memory or slot left; the fork server
    /// gone): then none was started. std::logic_error where there is no fork server, in a daemon,
    /// and in a process that was forked by hand; std::invalid_argument for a function of a library
    /// that was loaded after the fork server started · Cost: independent of this process's size.
    template <class Fn, class... Args>
        requires(!std::is_same_v<std::remove_cvref_t<Fn>, process_options>)
    [[nodiscard("a process whose handle goes is ended: keep it, or detach(it)")]] static process
    start(Fn&& function, Args&&... arguments) {
        return start(process_options(), std::forward<Fn>(function),
                     std::forward<Args>(arguments)...);
    }
    template <class Fn, class... Args>
    [[nodiscard("a process whose handle goes is ended: keep it, or detach(it)")]] static process
    start(const process_options& options, Fn&& function, Args&&... arguments) {
        return process(detail::make_request(options, std::forward<Fn>(function),
                                            std::forward<Args>(arguments)...));
    }
    /// The same in the program executed anew, not in a copy of it: for what a copy cannot have, as
    /// a library that minds to be forked. Nothing of this process's memory is there. Its static
    /// objects are made again, and main() runs until it begins the family (start_fork_server, or
    /// the first loop): there the function is called, and the process ends as std::exit ends it,
    /// static objects and all. So what main() does before that is done again.
    ///
    /// Errors: those of start; what hinders the new program comes with its status (the file cannot
    /// be executed any more; main() ended before it began the family) · Cost: that of the
    /// program's start, some milliseconds.
    template <class Fn, class... Args>
        requires(!std::is_same_v<std::remove_cvref_t<Fn>, process_options>)
    [[nodiscard("a process whose handle goes is ended: keep it, or detach(it)")]] static process
    spawn_fresh(Fn&& function, Args&&... arguments) {
        return spawn_fresh(process_options(), std::forward<Fn>(function),
                           std::forward<Args>(arguments)...);
    }
    template <class Fn, class... Args>
    [[nodiscard("a process whose handle goes is ended: keep it, or detach(it)")]] static process
    spawn_fresh(const process_options& options, Fn&& function, Args&&... arguments) {
        auto request = detail::make_request(options, std::forward<Fn>(function),
                                            std::forward<Args>(arguments)...);
        request.anew = true;
        return process(std::move(request));
    }
    /// Library use.
    explicit process(detail::start_request&& request);

    [[nodiscard]] int pid() const noexcept;
    [[nodiscard]] const std::string& name() const noexcept;
    /// False also when the fork server was killed, and nobody knows.
    [[nodiscard]] bool is_alive() const;
    /// Empty while it runs. Errors: those of join.
    [[nodiscard]] std::optional<process_status> exit_status() const;

    /// Suspends until it has ended, not at all if it has; any number of tasks, and again · Returns
    /// how it ended, whatever that was; see process_status::check · Errors: std::system_error
    /// (ECHILD) when the fork server was killed, which alone knew · Cancel: stops waiting, it goes
    /// on; so a time limit is timeout(d, join()).
    [[nodiscard]] detail::process_wait join() const noexcept {
        return detail::process_wait(state_);
    }
    /// The same for a thread without a loop: it blocks, `limit` at most. Returns an empty optional
    /// if it still runs then.
    process_status join_blocking() const;
    [[nodiscard]] std::optional<process_status> join_blocking(duration limit) const;

    /// Sends a signal. Returns false if it has ended: the signal never reaches a stranger who got
    /// its number · Errors: std::system_error for what is no signal.
    bool send_signal(int number);
    /// SIGTERM, which it may ignore. SIGKILL, which it cannot.
    bool terminate() { return send_signal(15); }
    bool kill() { return send_signal(9); }
    /// Ends it: SIGTERM, and SIGKILL when it is still there after the grace period.
    ///
    /// Suspends until it has ended · Returns how · Errors: those of join · Cancel: stops waiting;
    /// what the signals did stays done.
    [[nodiscard]] task<process_status> stop();

 private:
    friend LARIAT_EXPORT void detach(process child) noexcept;

    detail::process_ref state_;
};

/// Lets a process go on without a handle, also after the end of this process; a daemon only until
/// then. An empty handle is none.
///
///     lariat::detach(std::move(child));
LARIAT_EXPORT void detach(process child) noexcept;

/// One line of active_children().
struct process_info {
    int pid = 0;
    std::string name;
    bool daemon = false;
};

/// The processes that this one has started, whose handles are still held (or left to a loop) and
/// that have not ended. Threads: any.
[[nodiscard]] LARIAT_EXPORT std::vector<process_info> active_children();

namespace detail {
[[nodiscard]] LARIAT_EXPORT task<process_status> run_process(start_request request);
}

/// Starts a process and awaits its end: a process as a member of a task group, a gather, a timeout.
///
///     co_await lariat::with_group([&](lariat::task_group& group) -> lariat::task<> {
///         group.spawn(lariat::run_process(crunch, first));
///         group.spawn(lariat::run_process(crunch, second));
///         co_return;
///     });
///
/// Suspends until it has ended · Returns how · Errors: those of start and join, and what
/// process_status::check throws: a process that failed fails its group · Cancel: it is ended,
/// SIGTERM and after the grace period SIGKILL, and awaited.
template <class Fn, class... Args>
    requires(!std::is_same_v<std::remove_cvref_t<Fn>, process_options>)
[[nodiscard]] task<process_status> run_process(Fn&& function, Args&&... arguments) {
    return detail::run_process(detail::make_request(process_options(), std::forward<Fn>(function),
                                                    std::forward<Args>(arguments)...));
}
template <class Fn, class... Args>
[[nodiscard]] task<process_status> run_process(const process_options& options, Fn&& function,
                                               Args&&... arguments) {
    return detail::run_process(detail::make_request(options, std::forward<Fn>(function),
                                                    std::forward<Args>(arguments)...));
}

}  // namespace lariat

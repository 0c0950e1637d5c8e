#pragma once

#include <lariat/base/config.hpp>
#include <lariat/offload/pipe.hpp>
#include <lariat/offload/subprocess_options.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

struct child_process;
struct launched_child;

/// A counted reference to what the loop knows of a child.
class LARIAT_EXPORT subprocess_ref {
 public:
    subprocess_ref() noexcept = default;
    /// Takes over a reference.
    explicit subprocess_ref(child_process* child) noexcept : child_(child) {}
    subprocess_ref(const subprocess_ref& other) noexcept;
    subprocess_ref(subprocess_ref&& other) noexcept
        : child_(std::exchange(other.child_, nullptr)) {}
    subprocess_ref& operator=(subprocess_ref other) noexcept {
        std::swap(child_, other.child_);
        return *this;
    }
    ~subprocess_ref() {
        if (child_ != nullptr) drop();
    }

    [[nodiscard]] child_process* operator->() const noexcept { return child_; }
    [[nodiscard]] explicit operator bool() const noexcept { return child_ != nullptr; }

 private:
    void drop() noexcept;

    child_process* child_ = nullptr;
};

/// Waits until a child has ended.
class LARIAT_EXPORT subprocess_wait : public line_point, public single_step {
 public:
    explicit subprocess_wait(subprocess_ref child) noexcept
        : line_point(kind_of_wait), child_(std::move(child)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    int await_resume() { return finish_nothrow().value("waiting for a subprocess"); }
    lariat::result<int> finish_nothrow();

 private:
    /// True if it stands in the line now.
    [[nodiscard]] bool must_wait() noexcept;
    static const wait_kind kind_of_wait;

    subprocess_ref child_;
};

}  // namespace detail

/// How a program ended, and what it said.
struct program_result {
    int exit_code = 0;   ///< -N: signal N ended it
    std::string output;  ///< of the streams that were pipes
    std::string errors;
};

/// A program that runs beside this one: start, feed, listen, wait, end.
///
///     lariat::subprocess_options options("grep", "-c", "lariat");
///     options.input = lariat::stdio::pipe();
///     lariat::subprocess grep = co_await lariat::subprocess::start(options);
///     co_await grep.input().write_all(text);
///     grep.input().close();
///     int exit_code = co_await grep.wait();
///
/// The child gets nothing but what it is given: no other descriptor, no signal blocked, handled or
/// ignored. Children that the program makes and waits for otherwise are left alone, and SIGCHLD is
/// not touched.
///
/// Order        who waits first goes on first
/// Threads      one loop: the one it was started on
/// Lifetime     nothing outlives its owner: a subprocess that goes while its child runs hands it to
///              the loop, which asks it to end (SIGTERM), kills it after the grace period, and lets
///              `run` return when it is gone. A loop that closes kills it at once. No zombie stays
/// Allocation   one record a child, one a pipe; none for a wait
/// Limits       what is left of a process in an uninterruptible wait cannot be killed: it holds the
///              loop's end up. A process that has become another user's may not be killed: that
///              goes to the report hook, once, and the loop's end leaves it to itself. The name of
///              a `whole_group` is its leader's number: once somebody else has reaped the leader
///              (SIGCHLD is ignored, a thread waits for every child) what is left of it gets no
///              signal any more. That is asked before each; a leader reaped in between is missed
class LARIAT_EXPORT subprocess {
 public:
    /// Empty: for a move into it. Every verb but the destructor needs one that was started.
    subprocess() noexcept = default;
    subprocess(subprocess&& other) noexcept = default;
    subprocess& operator=(subprocess&& other) noexcept;
    ~subprocess();

    /// Starts a program, on the pool for blocking work: neither a slow disk nor the size of this
    /// process holds the loop up.
    ///
    /// Suspends until the program is loaded · Errors: std::system_error with the errno and what it
    /// was: "no such program: x", a working directory, an interpreter, a file; then nothing was
    /// started. std::invalid_argument for options that mean nothing · Cancel: nothing was started;
    /// one that is started already is delivered.
    [[nodiscard]] static task<subprocess> start(subprocess_options options);

    [[nodiscard]] int pid() const noexcept;
    /// The parent's ends of the streams that are pipes; the others are empty.
    [[nodiscard]] pipe_writer& input() noexcept { return input_; }
    [[nodiscard]] pipe_reader& output() noexcept { return output_; }
    [[nodiscard]] pipe_reader& errors() noexcept { return errors_; }

    /// Suspends until the child has ended, not at all if it has; any number of tasks, and again ·
    /// Returns its exit code, or -N if signal N ended it · Errors: std::system_error (ECHILD), on
    /// kernels before 6.15, if somebody else in this process waited for it · Cancel: stops waiting.
    ///
    /// A child that fills a pipe which nobody reads never ends: see communicate().
    [[nodiscard]] detail::subprocess_wait wait() noexcept {
        return detail::subprocess_wait(child_);
    }
    /// The same without suspending: empty while it runs.
    [[nodiscard]] std::optional<int> exit_code() const;

    /// Sends a signal. Returns false if it has ended: the signal never reaches a stranger who got
    /// its number · Errors: std::system_error, for what is no signal, and for a process that has
    /// become another user's.
    bool send_signal(int number);
    /// SIGTERM, which it may ignore. SIGKILL, which it cannot.
    bool terminate() { return send_signal(15); }
    bool kill() { return send_signal(9); }
    /// Ends it: SIGTERM, and SIGKILL when it is still there after the grace period.
    ///
    /// Suspends until it has ended · Returns its exit code · Errors: std::system_error, if the
    /// kernel refuses SIGTERM, as for another user's process: it goes on; those of wait. A SIGKILL
    /// refused later goes to the report hook · Cancel: stops waiting; what the signals did stays
    /// done.
    [[nodiscard]] task<int> stop();

    /// Writes `input` and closes the pipe, reads what comes until both pipes end, all at once, so
    /// that neither side waits for ever for the other; then waits. A child that does not take all
    /// of its input is no error.
    ///
    /// Suspends until it has ended, and whoever else holds its pipes, a grandchild for instance ·
    /// Errors: limit_error, see output_limit; closed_error if there is a `text` and the input was
    /// closed before, by hand or by an earlier communicate · Cancel: what came so far is lost; the
    /// child goes on. Pre: options.input was a pipe, or `text` is empty.
    [[nodiscard]] task<program_result> communicate(std::string text = std::string());

 private:
    explicit subprocess(detail::launched_child& started, const subprocess_options& options);

    detail::subprocess_ref child_;
    pipe_writer input_;
    pipe_reader output_;
    pipe_reader errors_;
    std::size_t output_limit_ = 0;
    bool takes_input_ = false;  // through a pipe, also when that is closed
};

/// Runs a program to its end. What is left unsaid of its output and errors is captured; its input
/// is `text`, or nothing.
///
///     auto listing = co_await lariat::run_program({"ls", "-l"});      // or options
///
/// Suspends until it has ended · Returns exit code, output, errors: a program that failed is no
/// error here · Errors: those of start and communicate · Cancel: the program is ended, as when a
/// subprocess goes.
[[nodiscard]] LARIAT_EXPORT task<program_result> run_program(subprocess_options options,
                                                             std::string text = std::string());
[[nodiscard]] LARIAT_EXPORT task<program_result> run_program(std::vector<std::string> argv,
                                                             std::string text = std::string());

}  // namespace lariat

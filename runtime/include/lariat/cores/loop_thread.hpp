#pragma once

#include <lariat/base/bound_call.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/loop/options.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

/// How a thread with a loop is made.
struct loop_thread_options {
    std::string name;  ///< empty: "loop-1", "loop-2", ...; the system shows 15 characters
    run_options run;   ///< of its loop; `run.report` also hears of a failure nobody joins
    std::optional<unsigned> core;  ///< it runs on this one only; none: where its maker may
    bool daemon = false;           ///< once detached: it does not hold the program, see detach()
    duration exit_grace = std::chrono::seconds(1);  ///< a daemon's time to end, at exit

    loop_thread_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

/// One line of loop_threads().
struct loop_thread_info {
    std::string name;
    std::thread::id id;
    bool alive = false;  ///< false: it has ended, and its handle is still held
    bool daemon = false;
};

namespace detail {

struct loop_thread_state;

/// The main function of a thread with its arguments.
struct thread_main {
    thread_main() noexcept = default;
    thread_main(const thread_main&) = delete;
    thread_main& operator=(const thread_main&) = delete;
    virtual ~thread_main() = default;
    /// On the thread, with its loop.
    [[nodiscard]] virtual task<> begin() = 0;
};

template <class Call>
struct bound_main final : thread_main {
    template <class... Args>
    explicit bound_main(Args&&... args) : call(std::in_place, std::forward<Args>(args)...) {}
    task<> begin() override { return call(); }

    Call call;
};

template <class Fn, class... Args>
concept thread_function =
    std::same_as<std::invoke_result_t<std::decay_t<Fn>&, std::decay_t<Args>...>, task<>>;

}  // namespace detail

/// A thread that owns a loop and runs a task on it: a std::jthread for coroutines.
///
///     lariat::loop_thread feeder(feed, std::ref(prices));   // task<> feed(price_table&)
///     ...
///     feeder.stop();
///     co_await feeder.join();                 // or join_blocking() on a plain thread
///
/// Order        the constructor returns when the loop is there: what is posted then is not lost
/// Threads      of one handle: one at a time; ref() from anywhere
/// Lifetime     its end stops the thread and joins it, which blocks: on a loop's thread co_await
///              join() first. A failure that nobody joined is reported then: to the run's report
///              hook, on this thread, or printed. A forked child may destroy what it inherited,
///              nothing else: the thread is its parent's
/// Allocation   some records when it starts
class LARIAT_EXPORT loop_thread {
 public:
    /// Names no thread.
    loop_thread() noexcept;
    /// Starts a thread whose main task is main(args...): it is called there, with its own copies;
    /// references need std::ref.
    ///
    /// Errors: std::system_error that says why the thread did not start, or was not pinned; what
    /// making the loop throws.
    template <class Fn, class... Args>
        requires detail::thread_function<Fn, Args...>
    explicit loop_thread(Fn&& main, Args&&... args)
        : loop_thread(loop_thread_options(), std::forward<Fn>(main), std::forward<Args>(args)...) {}
    template <class Fn, class... Args>
        requires detail::thread_function<Fn, Args...>
    loop_thread(const loop_thread_options& options, Fn&& main, Args&&... args)
        : loop_thread(options, std::make_unique<detail::bound_main<detail::bound<Fn, Args...>>>(
                                   std::forward<Fn>(main), std::forward<Args>(args)...)) {}
    /// One that runs what is posted to it (and what call_on brings) until it is stopped.
    explicit loop_thread(const loop_thread_options& options);

    loop_thread(loop_thread&& other) noexcept;
    /// A thread that was named before is stopped and joined first.
    loop_thread& operator=(loop_thread&& other) noexcept;
    ~loop_thread();

    /// Suspends until the thread has ended · Errors: what its main task, or a task spawned there,
    /// failed with; it is thrown once · Cancel: stops waiting, the thread goes on; so a time limit
    /// is timeout(d, join()) · Overlap: several may join · Pre: not on the thread itself.
    [[nodiscard]] task<> join() const;
    /// The same on a plain thread, which it blocks. Errors: timeout_error as well, for the second.
    /// Pre: no loop runs on it.
    void join_blocking() const;
    void join_blocking(duration length) const;

    /// Cancels its main task, and with that the run, from any thread; a thread that has ended, or
    /// ends by itself meanwhile, does not mind. What ended that way is no failure.
    void stop() const;

    /// Lets the thread go on without this handle, which then names none. At the end of main, or at
    /// exit(), a daemon is stopped and awaited for its `exit_grace`, then left to the end of the
    /// process; any other is awaited, as Python does. Both come before the destruction of statics
    /// that were made before this call; what may run longer must not touch those.
    void detach();

    /// False for one that names no thread; the other questions may then not be asked.
    [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
    [[nodiscard]] bool is_alive() const noexcept;
    [[nodiscard]] const std::string& name() const noexcept;
    [[nodiscard]] std::thread::id id() const noexcept;
    /// Its loop: for post, and call_on(thread.ref(), fn).
    [[nodiscard]] loop_ref ref() const;

 private:
    loop_thread(const loop_thread_options& options, std::unique_ptr<detail::thread_main> main);
    [[nodiscard]] detail::loop_thread_state& checked() const noexcept;
    [[nodiscard]] detail::loop_thread_state& at_home() const noexcept;
    void end() noexcept;

    std::shared_ptr<detail::loop_thread_state> state_;
};

/// Every thread with a loop that was made here and is alive, or has a handle still; in the order of
/// their start. Threads: any.
[[nodiscard]] LARIAT_EXPORT std::vector<loop_thread_info> loop_threads();
/// How many of them are alive.
[[nodiscard]] LARIAT_EXPORT std::size_t active_loop_threads();

}  // namespace lariat

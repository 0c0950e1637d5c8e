#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/cores/loop_thread.hpp>
#include <lariat/loop/future.hpp>
#include <lariat/task/cancel_scope.hpp>

#include "base/fork_guard.hpp"

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace lariat::detail {

/// One thread with a loop: shared by the thread, its handle, and the list of all.
///
/// States       starting -> running (its loop is made) -> ended; starting -> ended (it failed to)
/// Invariant 1  what lies under `mutex` is anybody's; `scope` and `stop_asked` are its own loop's
/// Invariant 2  `thread` is joined by whoever takes it out of the list of all, or not at all
struct loop_thread_state : std::enable_shared_from_this<loop_thread_state> {
    enum class phase : std::uint8_t { starting, running, ended };

    loop_thread_state(const loop_thread_options& chosen, std::unique_ptr<thread_main> its_main);

    /// Returns when the loop is made. Errors: why it was not.
    void start();
    void stop();
    [[nodiscard]] future<> when_ended();
    /// False if `until` came first.
    [[nodiscard]] bool wait_ended(time_point until);
    /// Pre: it has ended. Waits for the last of the thread itself.
    void join_thread();
    /// Throws what it failed with, once. Pre: it has ended.
    void throw_failure();
    /// A failure that nobody took, if there is one, goes to the report hook. Pre: it has ended.
    void report_failure() noexcept;
    void detach() noexcept;

    [[nodiscard]] bool alive();
    [[nodiscard]] bool is_detached();
    [[nodiscard]] bool on_it() const noexcept { return std::this_thread::get_id() == id; }

    const loop_thread_options options;
    const std::string name;
    std::thread::id id;
    std::optional<loop_ref> ref;  ///< set before `running`, and not after
    const fork_guard home;        ///< where its thread is

 private:
    void body() noexcept;
    void prepare() const;
    void run_loop();
    task<> run_main();
    void set_running(const loop& own);
    void set_ended(std::exception_ptr why) noexcept;

    std::unique_ptr<thread_main> main_;
    cancel_scope* scope_ = nullptr;
    bool stop_asked_ = false;

    std::mutex mutex_;
    std::condition_variable changed_;
    phase now_ = phase::starting;
    bool started_ = false;
    bool detached_ = false;
    std::exception_ptr failure_;
    std::vector<promise<>> joiners_;

    std::mutex join_mutex_;
    std::thread thread_;
};

/// The list of all. It is never destroyed: threads may end after the statics have.
class thread_list {
 public:
    [[nodiscard]] static thread_list& get();

    void add(std::shared_ptr<loop_thread_state> made);
    void remove(const loop_thread_state& joined);
    [[nodiscard]] std::vector<std::shared_ptr<loop_thread_state>> all();
    /// Joins those that nobody holds and that have ended.
    void reap();
    /// At the end of the process: waits as loop_thread::detach says.
    static void at_exit();

 private:
    thread_list();
    void join_detached();

    std::mutex mutex_;
    std::vector<std::shared_ptr<loop_thread_state>> all_;
    std::vector<std::shared_ptr<loop_thread_state>> left_running_;  ///< to the process's end
};

}  // namespace lariat::detail

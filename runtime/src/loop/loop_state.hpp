#pragma once

#include <lariat/loop/io.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/scope.hpp>

#include "driver/driver.hpp"
#include "loop/asked_polls.hpp"
#include "loop/brief_spin.hpp"
#include "loop/report_printer.hpp"
#include "loop/signal_desk.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>

namespace lariat::detail {

/// What a loop is made of; each part has its own header and test.
struct loop_state : scheduler {
    /// Legs run between two looks at the kernel, the clock and the mailbox: the price of a look (a
    /// clock reading, at worst a system call) is spread over so many.
    static constexpr int legs_per_turn = 128;

    loop_state(loop& face, const run_options& chosen);
    ~loop_state();

    [[nodiscard]] static loop_state& current() noexcept {
        return static_cast<loop_state&>(required_scheduler("an operation"));
    }

    /// From here on until expect_no_more() something waits for another process's word.
    void expect() noexcept {
        ++expected_;
        progressed_ = true;
    }
    void expect_no_more() noexcept {
        --expected_;
        progressed_ = true;
    }

    /// True: this poll is the loop's own until it completes it, from its first look on, ready or
    /// not. False: it is to be submitted. See asked_polls.
    [[nodiscard]] bool ask(op& poll) noexcept;
    /// Ends one of those as cancelled, at once. False: it is none.
    [[nodiscard]] bool end_asking(op& poll) noexcept;

    void turn();
    void drive(party& main);
    /// Throws the first failure that reached no caller, if there was one.
    void finish_run(party& main);
    void close() noexcept;

    /// A run's share of signals: Ctrl-C, and SIGQUIT in debug mode.
    void begin_signals();
    /// Ends the process if Ctrl-C did: the main task unwound from it, or it came too late for that.
    void end_signals(bool main_cancelled);

    loop& face_;
    run_options options_;
    driver driver_;
    std::shared_ptr<mailbox> box_;
    signal_desk signals_;
    group_core root_;
    list<io_object> objects_;
    std::size_t orphans_ = 0;
    list<party> unclaimed_;      ///< spawned, failed, and a handle may still ask why
    std::exception_ptr failed_;  ///< the first failure that reached no caller
    report_printer printer_;
    bool futexes_refused_ = false;  ///< by the driver, which is not asked again
    bool interrupted_ = false;      ///< by a Ctrl-C that cancelled the main task
    bool running_ = false;
    bool closed_ = false;
    party* main_ = nullptr;
    std::uint64_t turns_ = 0;
    std::uint64_t legs_ = 0;
    bool worked_ = true;  ///< since it last had nothing to do
    time_point spin_until_;
    std::size_t expected_ = 0;  ///< words of other processes that are waited for; see brief_spin
    bool progressed_ = false;   ///< one came, or another one is waited for
    brief_spin brief_;
    asked_polls asked_;
    bool handing_over_ = false;  ///< those that are asked for, to the driver

 private:
    /// Comes up when all that was ready before it has run.
    struct end_mark : runnable {
        end_mark() noexcept {
            run = [](runnable& self) noexcept { static_cast<end_mark&>(self).reached = true; };
        }
        bool reached = false;
    };

    void run_ready();
    void end_late_tasks() noexcept;
    void run_watched(ready_item item);
    void report_left() const;
    void call_posted();
    void handle_signals();
    void die_of_interrupt() noexcept;
    void poll();
    [[nodiscard]] bool spins() noexcept;
    void hand_over() noexcept;
    void shut_objects() noexcept;
    static void root_child_finished(group_core& group, party& p) noexcept;
    static void report_failure(scheduler& self, const party* who, const std::exception_ptr& error,
                               bool fatal) noexcept;

    end_mark all_before_;
};

}  // namespace lariat::detail

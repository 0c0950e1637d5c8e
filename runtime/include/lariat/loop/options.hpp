#pragma once

#include <lariat/driver/options.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <string>

namespace lariat {

/// An exception that reached no caller.
struct failure_report {
    std::string task;   ///< its name, or the function it began in; "a call" for call_soon, post
    std::string trace;  ///< where it waited last, innermost first, a line each
    std::exception_ptr error;
};

/// How a loop is made and how `run` behaves.
struct run_options {
    driver_options driver;

    /// Checks that cost: tasks that hold the thread too long or were never awaited, objects used
    /// from the wrong thread, what is left at the end; SIGQUIT dumps the tasks. Also by
    /// LARIAT_DEBUG=1.
    bool debug = false;
    /// Debug mode names a task that held the thread for longer.
    std::chrono::milliseconds slow_after{100};

    /// With nothing to do, the loop looks for news for so long before it sleeps. A message then
    /// finds it awake (under 1 us instead of some 50), and so does data on a socket; the price is
    /// the core, busy meanwhile. For a loop that has a core to itself.
    std::chrono::microseconds spin{0};
    /// Without `spin`, when it begins to wait for the word of another process (a pipe, an object in
    /// shared memory, a process_pool, a manager): if the last such waits were mostly shorter than
    /// 200 us, the loop looks for news for so long before it sleeps, and lets others have the core
    /// between two looks. Off, it sleeps at once.
    bool brief_spin = true;

    /// While `run` is on the main thread and SIGINT is not handled otherwise: the first Ctrl-C
    /// cancels the main task, a second one ends the program.
    bool handle_interrupt = true;

    /// Where failures go that reach no caller. Default: printed to stderr with name and trace. In
    /// either case the run ends by throwing the first of them. What the hook itself throws ends the
    /// program: there is nobody left to tell.
    std::function<void(const failure_report&)> report;

    run_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

}  // namespace lariat

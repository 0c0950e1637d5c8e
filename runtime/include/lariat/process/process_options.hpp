#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace lariat {

/// How a process is started.
struct process_options {
    process_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    explicit process_options(std::string its_name) : name(std::move(its_name)) {}

    /// Empty: "process-1", "process-2", ...; the system shows 15 characters, Lariat 255.
    std::string name;
    /// It goes with the process that starts it, also when that is killed: SIGTERM, and SIGKILL
    /// 300 ms later. It may have no children of its own.
    bool daemon = false;
    /// It runs on this core only; none: where the first process might when the family began.
    std::optional<unsigned> core;
    /// One that is stopped, or whose handle goes, gets SIGTERM, and SIGKILL after so long; 0: at
    /// once.
    std::chrono::milliseconds grace{2000};
};

}  // namespace lariat

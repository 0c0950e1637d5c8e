#pragma once

#include <functional>
#include <string>

namespace lariat::test {

/// What became of a process that ran something.
struct ending {
    int exit_code = -1;  ///< -1 if a signal ended it
    int signal = 0;
    std::string text;  ///< its standard error and output
};

/// Runs `body` in a child process, which then exits with 0. For rules that stop the program.
///
/// Pre: no other thread runs here.
[[nodiscard]] ending run_in_child(const std::function<void()>& body);

/// The same, once the threads of the shared pool, made by tests before, have ended: a child that a
/// sanitizer watches takes them for its own, and for forgotten.
[[nodiscard]] ending run_in_lone_child(const std::function<void()>& body);

/// Whether `body` stops its process (SIGABRT) with these words; else what happened
/// is in the test's report.
[[nodiscard]] bool stops_with(const char* words, const std::function<void()>& body);

}  // namespace lariat::test

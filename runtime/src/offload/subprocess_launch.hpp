#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/offload/subprocess_options.hpp>

#include "offload/subprocess_child.hpp"

#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace lariat::detail {

/// A child that runs, and the parent's ends of its pipes. One that nobody takes over (its pidfd is
/// still here) is killed and reaped by its end.
struct launched_child {
    launched_child() noexcept = default;
    launched_child(launched_child&& other) noexcept = default;
    launched_child& operator=(launched_child&& other) = delete;
    ~launched_child();

    pid_t pid = -1;
    unique_fd pidfd;
    unique_fd input;
    unique_fd output;
    unique_fd errors;
};

/// A program's start, with all text laid out as the kernel wants it.
///
/// Threads      made on the loop's thread, as it reads the environment; launch on any
/// Lifetime     borrows the options
class launch_plan {
 public:
    /// Errors: std::invalid_argument for options that mean nothing.
    explicit launch_plan(const subprocess_options& options);
    launch_plan(const launch_plan&) = delete;
    launch_plan& operator=(const launch_plan&) = delete;

    /// Blocks until the program is loaded. Errors: std::system_error that names what was wrong;
    /// then there is no child.
    [[nodiscard]] launched_child launch();

 private:
    struct ends {
        unique_fd child;
        unique_fd parent;
    };

    void check() const;
    void lay_out_environment();
    void lay_out_programs();
    [[nodiscard]] ends open_stream(const stdio& stream, int number) const;
    [[nodiscard]] ends open_pipe(bool to_child) const;
    [[nodiscard]] unique_fd open_file(const std::string& path, int flags) const;
    [[noreturn]] void fail(int error, const std::string& what) const;
    [[noreturn]] void fail_as_child() const;
    [[nodiscard]] bool some_program_exists() const;

    const subprocess_options& options_;
    std::vector<std::string> environment_;
    std::vector<std::string> programs_;
    std::vector<char*> argv_pointers_;
    std::vector<char*> environment_pointers_;
    std::vector<const char*> program_pointers_;
    child_orders orders_;
};

/// Waits for a child that has ended or is about to, and takes it out of the kernel's table. The
/// number of an exit, negative for a signal.
struct reaped {
    bool ended = false;
    int code = 0;   ///< exit code, or -N for signal N
    int error = 0;  ///< an errno: it has ended, and nobody can say how
};

/// `keep`: its entry in the process table stays, and with it the meaning of its number. `wait`:
/// blocks until it has ended.
[[nodiscard]] reaped reap(int pidfd, bool keep, bool wait) noexcept;

}  // namespace lariat::detail

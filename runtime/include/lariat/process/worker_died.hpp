#pragma once

#include <lariat/base/config.hpp>

#include <stdexcept>
#include <string>

namespace lariat {

/// The worker of a process_pool that had begun a call ended before the call did: killed, out of
/// memory, by std::exit in it, or by an exception in a task that a call had spawned. The call may
/// have done part of its work.
class LARIAT_EXPORT worker_died : public std::runtime_error {
 public:
    /// `exit_code` as process_status has it: -N for signal N. `uncaught` is what ended the
    /// process, type and text, if one did.
    worker_died(const std::string& worker, int pid, int exit_code,
                const std::string& uncaught = std::string());
    ~worker_died() override;

    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// The signal that ended it, or 0.
    [[nodiscard]] int signal() const noexcept { return exit_code_ < 0 ? -exit_code_ : 0; }
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
    int pid_;
    int exit_code_;
};

/// Workers of a process_pool did not come up, one after the other: their initializer throws, say.
/// what() has what became of the last. The pool starts no more of them, and takes no more calls;
/// those that it has begun end as ever, and its other workers then. See
/// process_pool_options::most_start_failures. Given to the loop's report hook, it says that a pool
/// goes on with fewer workers.
class LARIAT_EXPORT pool_start_error : public std::runtime_error {
 public:
    explicit pool_start_error(const std::string& what);
    ~pool_start_error() override;
};

}  // namespace lariat

#pragma once

#include <lariat/base/config.hpp>

#include <stdexcept>
#include <string>

namespace lariat {

/// A manager's process ended, or is out of reach, while it was still wanted: what it held is gone.
/// An operation that was under way may have been done.
class LARIAT_EXPORT manager_died : public std::runtime_error {
 public:
    /// `exit_code` as process_status has it: -N for signal N; only the process that started the
    /// manager knows it.
    manager_died(const std::string& manager, int pid, bool known, int exit_code);
    ~manager_died() override;

    /// 0: it was reached by an address.
    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// The signal that ended it; 0 if none did, or where that is not known.
    [[nodiscard]] int signal() const noexcept { return exit_code_ < 0 ? -exit_code_ : 0; }

 private:
    int pid_;
    int exit_code_;
};

/// A manager's process, stopped or stuck, answered nothing for half a second when a wait was cut
/// that holds a lock at its end. The guard is empty; if the manager goes on, the lock is given
/// back.
class LARIAT_EXPORT manager_silent : public std::runtime_error {
 public:
    manager_silent(const std::string& manager, int pid);
    ~manager_silent() override;

    /// 0: it was reached by an address.
    [[nodiscard]] int pid() const noexcept { return pid_; }

 private:
    int pid_;
};

/// Two programs that met at a manager's address do not have the same key; or one of them is no
/// manager at all.
class LARIAT_EXPORT authentication_error : public std::runtime_error {
 public:
    explicit authentication_error(const std::string& what);
    ~authentication_error() override;
};

}  // namespace lariat

#pragma once

#include <lariat/base/config.hpp>

#include <string>
#include <system_error>

namespace lariat {

/// A process ended while it held a lock, or permits, in shared memory: what they guard may be half
/// changed. Every one who comes is told so, until somebody has repaired it. Its code is
/// std::errc::owner_dead.
class LARIAT_EXPORT owner_died : public std::system_error {
 public:
    /// `advice` names the verb that repairs: "take it with lock_to_repair()".
    owner_died(const std::string& object, int pid, const std::string& advice);
    ~owner_died() override;

    /// Of the process that ended. It may be another's by now.
    [[nodiscard]] int pid() const noexcept { return pid_; }

 private:
    int pid_;
};

namespace detail {
[[noreturn]] LARIAT_EXPORT void throw_owner_died(const char* object, int pid, const char* advice);
}

}  // namespace lariat

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/transaction.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

namespace lariat::detail {

/// A process as the fork server knows it.
struct member {
    pid_t pid = 0;  ///< 0: a free place
    pid_t parent = 0;
    owner_id owner = nobody;
    bool daemon = false;
    bool ending = false;             ///< a daemon whose parent has gone: it was asked to end
    time_point killed_at{};          ///< and is made to, then
    unique_fd channel;               ///< empty when it has closed its end
    unique_fd status;                ///< whoever started it reads at the other end
    std::vector<std::byte> failure;  ///< a packed exception_record: what it said last
    std::string name;

    /// On standard error, as nobody else hears of it.
    void say_failure() const noexcept;
};

/// All processes of a family but the fork server. The first one has a place of its own.
///
/// Threads      one
/// Allocation   with a process's name and failure
class members {
 public:
    [[nodiscard]] member& root() noexcept { return all_[0]; }
    /// A free place; nullptr if there is none. It is taken once it has a pid.
    [[nodiscard]] member* free_place() noexcept;
    void added() noexcept { ++count_; }
    void remove(member& gone) noexcept;
    /// Of those that were started.
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

    [[nodiscard]] member* by_pid(pid_t pid) noexcept;
    [[nodiscard]] member* by_channel(int fd) noexcept;
    template <class Look>
    void each(Look look) {
        for (member& one : all_)
            if (one.pid != 0) look(one);
    }

    /// SIGTERM to the daemons of a process that has gone; SIGKILL 300 ms later.
    void end_daemons_of(pid_t parent) noexcept;
    [[nodiscard]] bool all_are_ending() noexcept;
    /// Until the next of these is due, in ms; -1: none.
    [[nodiscard]] int kill_timeout() noexcept;
    void kill_overdue() noexcept;

 private:
    std::array<member, max_processes> all_;
    std::size_t count_ = 0;
    std::size_t ending_ = 0;
};

}  // namespace lariat::detail

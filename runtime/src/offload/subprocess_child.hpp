#pragma once

#include <array>
#include <cstdint>

#include <sched.h>
#include <sys/types.h>

namespace lariat::detail {

/// What a new process is to do before it becomes another program, and where it failed. Everything
/// it needs has been made ready: between its making and execve it may not allocate or lock, as it
/// runs in its parent's memory.
struct child_orders {
    enum class step : std::uint8_t { none, group, death_signal, stream, folder, program };

    const char* const* programs = nullptr;  ///< paths to be tried in turn; ends with null
    char* const* argv = nullptr;
    char* const* environment = nullptr;
    const char* folder = nullptr;            ///< null: the parent's
    std::array<int, 3> streams{-1, -1, -1};  ///< descriptors above 2; -1: as the parent's
    bool errors_merged = false;
    bool own_group = false;
    int death_signal = 0;
    pid_t parent = 0;
    const cpu_set_t* cores = nullptr;  ///< null: those of the thread that makes it

    // The answer:
    step failed = step::none;
    int error = 0;
};

/// Makes a process that does as it is told. The calling thread, and no other, stands still until
/// it has become another program or failed; nothing of the parent is copied, however large it is.
///
/// Returns its pid, and its pidfd in `pidfd`; or a negated errno. Pre: this thread blocks every
/// signal. If `orders.failed` says so, the process ends at once and is to be reaped.
[[nodiscard]] pid_t make_child(child_orders& orders, int& pidfd) noexcept;

}  // namespace lariat::detail

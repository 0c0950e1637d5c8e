#pragma once

#include <optional>

#include <sched.h>
#include <unistd.h>

namespace lariat::detail {

/// Where the process may run, which is where its main thread may: if that is not where the calling
/// thread may, as that is pinned. Empty also where the system does not tell.
[[nodiscard]] inline std::optional<cpu_set_t> cores_beyond_own() noexcept {
    cpu_set_t own;
    cpu_set_t all;
    if (::sched_getaffinity(0, sizeof own, &own) != 0) return std::nullopt;
    if (::sched_getaffinity(::getpid(), sizeof all, &all) != 0) return std::nullopt;
    if (CPU_EQUAL(&own, &all)) return std::nullopt;
    return all;
}

/// For a thread that serves the process: it was made by whoever asked first, and runs where that
/// may. Where the system refuses, it stays there: slower, not wrong.
inline void leave_callers_cores() noexcept {
    if (const auto all = cores_beyond_own()) (void)::sched_setaffinity(0, sizeof *all, &*all);
}

}  // namespace lariat::detail

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace echo_load {

/// CPU time of all threads of the processes, those that ended among them, user and kernel, by the
/// kernel's process clocks (clock_getcpuclockid(3)): in nanoseconds, where /proc/PID/stat has ticks
/// of 10 ms. Errors: std::system_error when a process is not there.
[[nodiscard]] std::chrono::nanoseconds cpu_time_of(const std::vector<pid_t>& processes);

/// Of the same, the part spent in the kernel, from /proc/PID/stat (in steps of 10 ms).
[[nodiscard]] std::chrono::nanoseconds kernel_time_of(const std::vector<pid_t>& processes);

struct memory_use {
    std::int64_t resident_bytes = 0;  // VmRSS
    std::int64_t data_bytes = 0;      // VmData: private writable mappings, touched or not
};

[[nodiscard]] memory_use memory_of(const std::vector<pid_t>& processes);

}  // namespace echo_load

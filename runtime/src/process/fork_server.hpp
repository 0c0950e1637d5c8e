#pragma once

#include <lariat/base/unique_fd.hpp>

#include <sys/resource.h>
#include <sys/types.h>

namespace lariat::detail {

/// What the fork server knows of the process that made it.
struct server_orders {
    unique_fd channel;  ///< to the first process
    pid_t root = 0;
    rlimit descriptors{};  ///< RLIMIT_NOFILE, for the processes to be made
};

/// The fork server's whole life: makes processes when it is asked to, hears of their ends, and
/// tells who waits for them. It ends when the last process of the family has gone. In each process
/// that it makes, this runs what that was made for.
///
/// Pre: in a process of its own, whose signals are all blocked, and which has nothing open but the
/// standard streams, the channel and the family's memory.
[[noreturn]] void serve_family(server_orders orders) noexcept;

}  // namespace lariat::detail

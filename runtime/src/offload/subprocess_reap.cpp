#include "offload/subprocess_launch.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include <sys/ioctl.h>
#include <sys/wait.h>

namespace lariat::detail {

namespace {

/// <linux/pidfd.h> of 6.15: what the kernel tells of a process through its pidfd, also when it has
/// been waited for. The first published size, 64 bytes.
struct pidfd_info {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::array<std::uint32_t, 11> ids;
    std::int32_t exit_code;  ///< as waitpid(2) gives it
};
constexpr std::uint64_t tells_exit = 1U << 3;
constexpr unsigned long get_info = _IOWR(0xFF, 11, pidfd_info);

int code_of(int wait_status) noexcept {
    return WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/// Somebody else in this process has waited for it, or SIGCHLD is ignored.
reaped ask_pidfd(int pidfd) noexcept {
    reaped found;
    found.ended = true;
    pidfd_info info{};
    info.mask = tells_exit;
    if (::ioctl(pidfd, get_info, &info) == 0 && (info.mask & tells_exit) != 0) {
        found.code = code_of(info.exit_code);
    } else {
        found.error = ECHILD;
    }
    return found;
}

}  // namespace

reaped reap(int pidfd, bool keep, bool wait) noexcept {
    const int how = WEXITED | (keep ? WNOWAIT : 0) | (wait ? 0 : WNOHANG);
    siginfo_t about{};
    int result = 0;
    do {
        result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &about, how);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return ask_pidfd(pidfd);
    reaped found;
    found.ended = about.si_pid != 0;
    found.code = about.si_code == CLD_EXITED ? about.si_status : -about.si_status;
    return found;
}

}  // namespace lariat::detail

// What runs between the making of a process and its becoming another program. It shares its
// parent's memory (and the calling thread's thread-local storage), has a stack of its own, and the
// thread that made it stands still. So: system calls alone, by number, as the C library's own may
// be wrapped by a sanitizer; and no function here is instrumented.

#include "offload/subprocess_child.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
// ThreadSanitizer takes clone() for a fork, and releases its locks on both sides of it: twice, as
// the memory is one. The C library's other name for it goes past that.
extern "C" int __clone(int (*)(void*), void*, int, void*, ...) noexcept;
#define LARIAT_CLONE __clone
#else
#define LARIAT_CLONE ::clone
#endif

#define LARIAT_IN_CHILD __attribute__((no_sanitize_address, no_sanitize_thread))

namespace lariat::detail {

namespace {

using step = child_orders::step;

constexpr int highest_signal = 64;
constexpr std::size_t kernel_set_bytes = 8;

/// The kernel's own sigaction, of which 0 means the default, and larger than it is anywhere.
struct kernel_sigaction {
    unsigned long words[8];
};

/// Handlers would be called in the parent's memory, and what is ignored would stay so.
LARIAT_IN_CHILD void reset_signals() noexcept {
    const kernel_sigaction plain{};
    for (int number = 1; number <= highest_signal; ++number)
        ::syscall(SYS_rt_sigaction, number, &plain, nullptr, kernel_set_bytes);
}

LARIAT_IN_CHILD bool set_streams(const child_orders& orders) noexcept {
    for (int target = 0; target < 3; ++target) {
        const int from = orders.streams[static_cast<std::size_t>(target)];
        if (target == STDERR_FILENO && orders.errors_merged) {
            if (::syscall(SYS_dup3, STDOUT_FILENO, STDERR_FILENO, 0) < 0) return false;
        } else if (from >= 0 && ::syscall(SYS_dup3, from, target, 0) < 0) {
            return false;
        }
        // Else it stays as it is. One that is marked to be closed is no standard stream: a program
        // started without them has its loop's own descriptors at these numbers.
    }
    return true;
}

/// Marked, not closed: sanitizers' and debuggers' own are in use until the last moment.
LARIAT_IN_CHILD void mark_the_rest() noexcept {
    constexpr unsigned first = STDERR_FILENO + 1;
    if (::syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    rlimit most{};  // before 5.11
    ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &most);
    const auto end = static_cast<int>(most.rlim_cur < INT_MAX ? most.rlim_cur : INT_MAX);
    for (int fd = first; fd < end; ++fd) ::syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

/// As execvp(3): the first that can be run. One that may not be is remembered while others are
/// tried. Returns why none was.
LARIAT_IN_CHILD int become_program(const child_orders& orders) noexcept {
    bool denied = false;
    int error = ENOENT;
    for (const char* const* path = orders.programs; *path != nullptr; ++path) {
        ::syscall(SYS_execve, *path, orders.argv, orders.environment);
        error = errno;
        if (error == EACCES) denied = true;
        const bool goes_on = error == EACCES || error == ENOENT || error == ENOTDIR ||
                             error == ESTALE || error == ENODEV || error == ETIMEDOUT;
        if (!goes_on) return error;
    }
    return denied ? EACCES : error;
}

LARIAT_IN_CHILD step follow(child_orders& orders) noexcept {
    reset_signals();
    if (orders.own_group && ::syscall(SYS_setpgid, 0, 0) < 0) return step::group;
    if (orders.death_signal != 0) {
        if (::syscall(SYS_prctl, PR_SET_PDEATHSIG, orders.death_signal, 0, 0, 0) < 0)
            return step::death_signal;
        // It is not sent for a parent that was gone before.
        if (::syscall(SYS_getppid) != orders.parent) ::syscall(SYS_exit_group, 127);
    }
    // Refused, it runs where its maker may.
    if (orders.cores != nullptr)
        ::syscall(SYS_sched_setaffinity, 0, sizeof *orders.cores, orders.cores);
    if (!set_streams(orders)) return step::stream;
    if (orders.folder != nullptr && ::syscall(SYS_chdir, orders.folder) < 0) return step::folder;
    mark_the_rest();
    const std::uint64_t none = 0;
    static_assert(sizeof none == kernel_set_bytes);
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, kernel_set_bytes);
    errno = become_program(orders);
    return step::program;
}

LARIAT_IN_CHILD int child_main(void* told) noexcept {
    auto& orders = *static_cast<child_orders*>(told);
    const step failed = follow(orders);
    orders.error = errno;
    orders.failed = failed;
    ::syscall(SYS_exit_group, 127);
    return 127;
}

}  // namespace

// CLONE_VFORK: this thread goes on when the child has let go of its memory. CLONE_PIDFD: no time
// passes in which the number could come to mean another process.
pid_t make_child(child_orders& orders, int& pidfd) noexcept {
    constexpr std::size_t stack_bytes = 16 * 1024;  // the functions above need a few hundred
    alignas(16) std::array<std::byte, stack_bytes> stack;
    constexpr int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    const pid_t child =
        LARIAT_CLONE(&child_main, stack.data() + stack.size(), flags, &orders, &pidfd);
    return child < 0 ? -errno : child;
}

}  // namespace lariat::detail

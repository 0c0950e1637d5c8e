#pragma once

#include <cerrno>
#include <ctime>

#include <pthread.h>
#include <signal.h>

namespace lariat::detail {

/// A flag of pwritev2(2): no SIGPIPE from this write. From 6.18 on, <linux/fs.h>; where it is not
/// known, by the kernel or for the file, the write is refused with EOPNOTSUPP.
inline constexpr int rwf_nosignal = 0x100;

/// The same without the flag, for three system calls more: SIGPIPE, which is sent to the writing
/// thread (pipe(7)), is held back for one call() and taken away if that raised it. Returns what
/// call() does, which is -EPIPE where the pipe is broken.
template <class Call>
int without_pipe_signal(Call call) noexcept {
    sigset_t pipe_signal;
    sigset_t pending;
    sigset_t kept;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    ::sigpending(&pending);
    const bool was_pending = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &kept);
    const int result = call();
    const timespec at_once{};
    if (result == -EPIPE && !was_pending) ::sigtimedwait(&pipe_signal, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &kept, nullptr);
    return result;
}

}  // namespace lariat::detail

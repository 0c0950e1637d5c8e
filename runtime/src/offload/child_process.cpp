#include "offload/child_process.hpp"

#include <lariat/base/error.hpp>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::detail {

child_process::child_process(launched_child& started, const subprocess_options& options)
    : io_object(&child_process::loop_closes),
      timer_entry(&child_process::grace_over),
      pid(started.pid),
      pidfd(std::move(started.pidfd)),
      parent(::getpid()),
      grace(options.grace),
      whole_group(options.whole_group) {
    op::code = op_code::poll;
    op::fd = pidfd.get();
    op::argument = POLLIN;
    op::complete = &child_process::noticed;
}

void child_process::watch() noexcept {
    attach();
    add_ref();
    if (io_object::submit(*this)) noticed(*this);
}

void child_process::noticed(op& done) noexcept {
    auto& self = static_cast<child_process&>(done);
    bool over = false;
    if (self.op::result == -ECANCELED) {  // by loop_closes, whom the kernel refused
        self.leave_to_itself();
        over = true;
    } else if (self.op::result <
               0) {  // the kernel has no memory to watch it: it is not left unwatched
        (void)self.signal(SIGKILL);
        over = self.take_end(true);
    } else {
        over = self.take_end(false);
    }
    while (!over) {
        if (!self.io_object::submit(self)) return;
        over = self.take_end(self.op::result < 0);
    }
    self.home->timers.disarm(self);
    self.waiters.wake_all();
    if (self.abandoned) self.end_group();
    self.let_run_end();
    self.detach();
    self.drop_ref();
}

bool child_process::take_end(bool wait) noexcept {
    const reaped found = reap(pidfd.get(), whole_group, wait);
    if (!found.ended) return false;
    ended = true;
    code = found.code;
    error = found.error;
    if (!whole_group || !number_is_kept()) pidfd.reset();
    return true;
}

// SIGCHLD may be ignored, and others may wait for every child: then it is out of the process table
// as soon as it has ended, and its number, of a process and of a group, may come to be a
// stranger's.
bool child_process::number_is_kept() const noexcept {
    siginfo_t about{};
    return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &about, WEXITED | WNOWAIT | WNOHANG) ==
           0;
}

int child_process::signal_leader(int number) const noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) < 0 ? errno : 0;
}

// The leader is in its group, or in another by now: it gets the signal once. SIGKILL does no harm
// twice, and whether it reaches the leader decides whether its end comes.
int child_process::signal(int number) const noexcept {
    if (!whole_group) return signal_leader(number);
    if (!number_is_kept()) return ESRCH;
    const bool leads = ::getpgid(pid) == pid;
    const int group = ::kill(-pid, number) < 0 ? errno : 0;
    if (leads && number != SIGKILL) return group;
    const int leader = signal_leader(number);
    return leader == ESRCH ? group : leader;
}

bool child_process::send_signal(int number) {
    if (!pidfd) return false;
    const int failed = signal(number);
    if (failed != 0 && failed != ESRCH)
        throw_error(system_code(-failed), "sending signal " + std::to_string(number) +
                                              " to process " + std::to_string(pid));
    return failed == 0;
}

int child_process::ask_to_end() noexcept {
    if (ended || asked_to_end) return 0;
    const bool at_once = grace <= duration::zero();
    const int failed = signal(at_once ? SIGKILL : SIGTERM);
    if (failed != 0 && failed != ESRCH) return failed;
    asked_to_end = true;
    if (!at_once) home->timers.arm(*this, saturating_add(home->now(), grace));
    return 0;
}

void child_process::grace_over(timer_entry& self) noexcept {
    (void)static_cast<child_process&>(self).make_end();
}

bool child_process::make_end() noexcept {
    const int failed = signal(SIGKILL);
    if (failed == 0 || failed == ESRCH) return true;
    asked_to_end = false;
    let_run_end();
    if (std::exchange(refusal_told, true)) return false;
    try {
        throw_error(system_code(-failed),
                    "killing process " + std::to_string(pid) + ", which is left to itself");
    } catch (...) {
        home->report(*home, nullptr, std::current_exception(), false);
    }
    return false;
}

void child_process::let_run_end() noexcept {
    if (std::exchange(holds_run, false)) release_loop();
}

void child_process::leave_to_itself() noexcept {
    if (take_end(false)) return;
    ended = true;
    error = EPERM;
    pidfd.reset();
}

void child_process::abandon() noexcept {
    if (::getpid() != parent) return;  // in a forked copy: the child is not this process's
    if (ended) return end_group();
    abandoned = true;
    holds_run = true;
    hold_loop();
    const bool counts_time = this_scheduler == home;  // no other loop counts the grace period
    if (!counts_time || ask_to_end() != 0) (void)make_end();
}

// What is left of the group when its leader has ended and its subprocess has gone.
void child_process::end_group() noexcept {
    if (!whole_group || !pidfd) return;
    (void)signal(SIGKILL);
    (void)reap(pidfd.get(), false, true);
    pidfd.reset();
}

void child_process::loop_closes(io_object& self) noexcept {
    auto& child = static_cast<child_process&>(self);
    child.io_object::unlink();  // the list must come to its end; `home` is needed yet
    if (!child.make_end()) child.io_object::cancel(child);
}

}  // namespace lariat::detail

#include "offload/child_process.hpp"

#include <lariat/base/error.hpp>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include <poll.h>
#include <sys/syscall.h>
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
    if (self.op::result < 0) {  // the kernel has no memory to watch it: it is not left unwatched
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
    if (self.abandoned) {
        self.end_group();
        self.release_loop();
    }
    self.detach();
    self.drop_ref();
}

bool child_process::take_end(bool wait) noexcept {
    const reaped found = reap(pidfd.get(), whole_group, wait);
    if (!found.ended) return false;
    ended = true;
    code = found.code;
    error = found.error;
    if (!whole_group) pidfd.reset();
    return true;
}

int child_process::signal(int number) const noexcept {
    const int sent =
        whole_group
            ? ::kill(-pid, number)
            : static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0));
    return sent < 0 ? errno : 0;
}

bool child_process::send_signal(int number) {
    if (!pidfd) return false;
    const int failed = signal(number);
    if (failed != 0 && failed != ESRCH)
        throw_error(system_code(-failed), "sending signal " + std::to_string(number) +
                                              " to process " + std::to_string(pid));
    return failed == 0;
}

void child_process::ask_to_end() noexcept {
    if (ended || std::exchange(asked_to_end, true)) return;
    if (grace <= duration::zero()) {
        (void)signal(SIGKILL);
        return;
    }
    (void)signal(SIGTERM);
    home->timers.arm(*this, saturating_add(home->now(), grace));
}

void child_process::grace_over(timer_entry& self) noexcept {
    (void)static_cast<child_process&>(self).signal(SIGKILL);
}

void child_process::abandon() noexcept {
    if (::getpid() != parent) return;  // in a forked copy: the child is not this process's
    if (ended) return end_group();
    abandoned = true;
    hold_loop();
    if (this_scheduler == home) {
        ask_to_end();
    } else {
        (void)signal(SIGKILL);  // no loop runs here that could count the time
    }
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
    (void)child.signal(SIGKILL);
}

}  // namespace lariat::detail

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/offload/subprocess_options.hpp>
#include <lariat/task/timer_queue.hpp>
#include <lariat/task/wait_queue.hpp>

#include "offload/subprocess_launch.hpp"

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

namespace lariat::detail {

/// What a loop knows of a child. It watches the child's pidfd from the start, so one that nobody
/// awaits is reaped as well, and by nobody else.
///
/// States       running -> ended (the pidfd became readable, and it was reaped)
///              running -> abandoned (its subprocess went: it is being ended) -> ended
/// Invariant 1  while it runs, the operation on the pidfd is in flight, and holds a reference
/// Invariant 2  while it runs abandoned, its loop's run does not end; but for one that the kernel
///              does not let us kill
/// Invariant 3  with `whole_group` it stays in the process table until its subprocess has gone: its
///              number names the group, and must not come to name another. Others may take it out
///              all the same, so the number is not used without asking whether it is still there
struct child_process : io_object, op, timer_entry {
    /// Takes the child over. Errors: std::bad_alloc; then it is still the caller's.
    child_process(launched_child& started, const subprocess_options& options);
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    /// Watches it from now on. Pre: a loop runs here.
    void watch() noexcept;
    /// False if there is nobody to get it. Errors: std::system_error.
    bool send_signal(int number);
    /// SIGTERM now, SIGKILL after the grace period. Returns 0, or the errno of a signal that the
    /// kernel refused: then it was not asked. Pre: its loop runs here.
    [[nodiscard]] int ask_to_end() noexcept;
    /// Its subprocess goes.
    void abandon() noexcept;
    void add_ref() noexcept { ++refs; }
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }

    wait_queue waiters;
    const pid_t pid;
    unique_fd pidfd;
    const pid_t parent;
    const duration grace;
    const bool whole_group;
    bool ended = false;
    int code = 0;   ///< exit code, or -N for signal N
    int error = 0;  ///< an errno: it has ended, and nobody can say how

 private:
    [[nodiscard]] bool number_is_kept() const noexcept;
    /// 0, or an errno: ESRCH if there is nobody to get it.
    [[nodiscard]] int signal(int number) const noexcept;
    [[nodiscard]] int signal_leader(int number) const noexcept;
    [[nodiscard]] bool take_end(bool wait) noexcept;
    /// SIGKILL. Returns false if the kernel refuses it: that is reported once, and no run waits
    /// for its end any more.
    [[nodiscard]] bool make_end() noexcept;
    void let_run_end() noexcept;
    void leave_to_itself() noexcept;
    void end_group() noexcept;
    static void noticed(op& done) noexcept;
    static void grace_over(timer_entry& self) noexcept;
    static void loop_closes(io_object& self) noexcept;

    std::uint32_t refs = 1;
    bool abandoned = false;
    bool asked_to_end = false;
    bool holds_run = false;
    bool refusal_told = false;
};

}  // namespace lariat::detail

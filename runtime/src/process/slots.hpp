#pragma once

#include <lariat/process/transaction.hpp>

#include <sys/types.h>

namespace lariat::detail {

/// The processes of the family, as shared memory knows them.
///
/// States       free -> being made (open_slot; pid 0) -> alive (set_pid) -> free (sweep_process)
/// Threads      open_slot, set_pid and sweep_process: one process at a time, which is the fork
///              server, and before there is one the first process; the rest: any

enum class slot_for : std::uint8_t { member, fork_server };

/// A slot for a process that is about to be forked; nobody if all are in use.
[[nodiscard]] owner_id open_slot(slot_for whom = slot_for::member) noexcept;
/// In the new process: it is `owner` from now on.
void enter_slot(owner_id owner) noexcept;
/// 0 while it is being made, and for one that was swept or never was.
[[nodiscard]] pid_t pid_of(owner_id owner) noexcept;
void set_pid(owner_id owner, pid_t pid) noexcept;
/// Gives back all that a dead process held in shared memory, wakes who waits for it, and frees the
/// slot. Pre: it runs no more; the caller has entered a slot of its own.
void sweep_process(owner_id dead) noexcept;
/// Whether it ended, be it swept or not; asks the kernel.
[[nodiscard]] bool process_is_gone(owner_id owner) noexcept;

}  // namespace lariat::detail

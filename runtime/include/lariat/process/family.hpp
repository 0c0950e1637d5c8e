#pragma once

#include <lariat/base/config.hpp>

#include <string>

namespace lariat {

/// Starts this program's **family** of processes: a fork server, of which every later process is a
/// clean child, and the memory that they share. It is called first in main(), or left to the first
/// loop (`run`): a program that includes a header of lariat/process has it done there.
///
/// The fork server is a copy of this process as it is at this call, and so is every process that is
/// started: of globals, the environment and the working directory it sees what they are now, not
/// what becomes of them later. Standard streams are inherited, other descriptors are not; signals
/// have their default actions, and none is blocked. A standard stream that is closed stays one on
/// which nothing is read or written (EBADF), but its number is taken from now on: no other
/// descriptor is met there. Libraries loaded later are not there (see process::start).
///
/// Shared objects are made and go under a lock of the family's. A process that is stopped (SIGSTOP)
/// while it has that lock, which is rare, stops all others that make, send or drop one, until it
/// goes on (SIGCONT) or is killed.
///
/// Limits       64 GiB of shared memory are reserved, of which the system gives what is used; less
///              where address space (ulimit -v) or the size of files (ulimit -f) is limited
///
/// Pre: no other thread, no loop. Errors: std::logic_error that says who is there already;
/// std::system_error where the system refuses. Again: nothing happens.
LARIAT_EXPORT void start_fork_server();

/// About the process that asks. Threads: any.
namespace this_process {

/// What it was started as; "main" for the first of the family, and outside of one.
[[nodiscard]] LARIAT_EXPORT std::string name();
/// Whether it was started by process::start.
[[nodiscard]] LARIAT_EXPORT bool is_child() noexcept;
/// Whether it goes with the process that started it, and may have no children of its own.
[[nodiscard]] LARIAT_EXPORT bool is_daemon() noexcept;
/// The pid of the process that started it; of the first one's parent in the first.
[[nodiscard]] LARIAT_EXPORT int parent_pid() noexcept;

}  // namespace this_process

namespace detail {

/// The first loop of this program starts the family; a refusal is thrown by the first use of it.
LARIAT_EXPORT bool start_fork_server_with_first_loop() noexcept;
inline const bool starts_fork_server = start_fork_server_with_first_loop();

}  // namespace detail

}  // namespace lariat

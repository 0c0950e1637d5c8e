#pragma once

#include <lariat/base/config.hpp>

#include <source_location>
#include <string>

namespace lariat {

struct party;

/// A task's name, or the function it began in; "a task" of one that runs and has no name.
[[nodiscard]] LARIAT_EXPORT std::string describe_party(const party& p);
/// Where it waits, or was last resumed: "at file:line in function".
[[nodiscard]] LARIAT_EXPORT std::string describe_place(const party& p);
/// The same in words of its own, in one form from every compiler: "file:line in function", and the
/// function alone.
[[nodiscard]] LARIAT_EXPORT std::string describe_place(const std::source_location& where);
[[nodiscard]] LARIAT_EXPORT std::string describe_function(const std::source_location& where);
/// The frames that await each other, innermost first, a line each: "  #0 file:line in function".
/// None of a task that runs: the one it last waited in may be gone. Cost: none until asked; each
/// await notes its place by one store.
[[nodiscard]] LARIAT_EXPORT std::string trace_of(const party& p);

/// Every task of the running loop as a tree: name, state, what it waits for, and where.
///
/// Threads      the loop's own
[[nodiscard]] LARIAT_EXPORT std::string dump_tasks();

}  // namespace lariat

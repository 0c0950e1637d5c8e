#pragma once

#include "process/arena_layout.hpp"

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// The mapping of this process, nullptr outside of a family. A child that is forked has it too.
[[nodiscard]] arena_header* the_arena() noexcept;
/// Pre: there is one.
[[nodiscard]] inline arena_header& arena() noexcept { return *the_arena(); }

/// Makes the family's memory and takes its first slot for this process. `bytes` are reserved, not
/// used; less, down to a sixteenth, where the system does not let us reserve as much, and where
/// files are limited (RLIMIT_FSIZE) as much as that allows.
///
/// Pre: once in a family, before its fork server is made. Errors: std::system_error; EFBIG where
/// the limit allows less than 16 MiB.
void create_arena(std::size_t bytes);
/// The same memory, in a process that was executed anew. EEXIST: something else lies there. Returns
/// 0 or an errno.
[[nodiscard]] int map_arena(int memory, std::uintptr_t where, std::size_t bytes);
/// The memory's own: every process of the family keeps it open. -1: there is none.
[[nodiscard]] int arena_descriptor() noexcept;

/// The smallest class of blocks that hold so many bytes; aligned to 64 from 64 on. Errors:
/// std::system_error (ENOMEM) for more than any has.
[[nodiscard]] std::uint32_t class_for(std::uint64_t bytes);

/// Before a large block is taken: has the system promise its memory, outside of the lock, as that
/// takes a second for some GiB. What others have taken meanwhile, take_block promises itself.
void promise_block(std::uint32_t size_class) noexcept;
/// Takes a block, inside `change`; what it holds is left of its last use. nullptr: the arena is
/// used up, or the system's memory is.
[[nodiscard]] void* take_block(transaction& change, std::uint32_t size_class) noexcept;
/// Pre: it was just taken. Does not touch the pages of a large one that the system gives zeroed.
void zero_block(void* block, std::uint32_t size_class) noexcept;
/// The system has the pages of a large block back. Before it is given back, outside of the lock: it
/// is the caller's alone. Twice does no harm.
void trim_block(void* block, std::uint32_t size_class) noexcept;
/// Gives one back, inside `change`.
void give_block(transaction& change, void* block, std::uint32_t size_class) noexcept;

/// Whether the address can be that of a block of `alignment`: it came from a message.
[[nodiscard]] bool in_arena(std::uintptr_t address, std::size_t alignment) noexcept;

/// In a new process: what its image remembers of its parent's handles is not its own.
void forget_local_cells() noexcept;

/// Drops a reference, and frees the cell if it was the last.
void drop_reference(reference& gone) noexcept;
/// Frees a cell that has no reference. Pre: this process dropped the last, or the one that did is
/// dead.
void free_cell(cell& dying) noexcept;
/// Inside `change`: from now on it is held by the owner of `list`.
void move_reference(transaction& change, reference& item, std::atomic<reference*>& list) noexcept;
/// Inside `change`: returns the cell if this was the last that led to it.
[[nodiscard]] cell* remove_reference(transaction& change, reference& gone) noexcept;
/// Inside `change`: one of the cells that the dead process was freeing is this one's to free;
/// nullptr if there is none.
[[nodiscard]] cell* inherit_dying(transaction& change, owner_id dead) noexcept;

}  // namespace lariat::detail

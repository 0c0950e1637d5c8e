#pragma once

#include <lariat/process/arena.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/transaction.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <sys/types.h>

namespace lariat::detail {

/// One reference to a cell, on its owner's list. What is under way in a message is named by its
/// address, which is the same in all processes of the family.
struct reference {
    std::atomic<cell*> to;
    std::atomic<std::atomic<reference*>*> list;  // its owner's
    std::atomic<reference*> next;
    std::atomic<reference*> previous;
};
static_assert(sizeof(reference) == 32);

/// Heads a block of shared memory; the body follows.
///
/// Invariant 1  `references` counts the reference records that lead here
/// Invariant 2  at 0 references it is dying, and on the list of the process `freed_by`, which
///              empties `held` and frees the block; if that process is killed meanwhile, the
///              sweeper goes on
/// Invariant 3  what a process holds in it is found from the process's references; or it is
///              `loose`, and on the arena's list of such cells: a process has given its last
///              reference back and kept something (cell_kind::keeps)
struct alignas(64) cell {
    image_pointer<cell_kind> kind;
    std::uint32_t size_class;
    std::atomic<std::uint32_t> references;
    std::atomic<owner_id> freed_by;  // whose reference was the last
    std::atomic<std::uint32_t> loose;
    std::atomic<cell*> next;  // of the loose, or of those that are dying
    std::atomic<cell*> previous;
    std::atomic<reference*> held;  // to others, by messages that lie in this object

    [[nodiscard]] void* body() noexcept { return this + 1; }
};
static_assert(sizeof(cell) == 64);

/// A process of the family.
struct process_slot {
    std::atomic<owner_id> owner;  // nobody: free
    std::atomic<std::uint32_t> life;
    std::atomic<std::int32_t> pid;
    std::atomic<std::uint32_t> unused;
    std::atomic<reference*> held;
    std::atomic<reference*> swept;  // once it is dead: those whose cells hold nothing of it
    std::atomic<cell*> dying;       // that it frees
};

/// Blocks come in sizes of 32, 64, 96, 128, 192, 256, ... bytes: two to a power of two.
inline constexpr std::uint32_t size_classes = 64;
[[nodiscard]] constexpr std::uint64_t bytes_of_class(std::uint32_t size_class) noexcept {
    const std::uint64_t power = std::uint64_t{32} << ((size_class + 1) / 2);
    return size_class % 2 == 0 ? power : power - power / 4;
}
static_assert(bytes_of_class(0) == 32 && bytes_of_class(2) == 64 && bytes_of_class(3) == 96);

/// A block that nobody uses.
struct free_block {
    std::atomic<free_block*> next;
};

inline constexpr std::uint32_t server_slot = max_processes - 1;  // the fork server's

/// The first page of the arena, mapped at one address in all processes of the family.
struct arena_header {
    std::uint64_t capacity;
    guarded guard;  // of everything below, and of all lists of cells and references
    std::atomic<std::uint64_t> top;        // bytes given out from the start
    std::atomic<std::uint64_t> committed;  // bytes that the system has promised
    std::atomic<std::uint64_t> reference_count;
    std::atomic<std::uint64_t> cell_count;
    std::atomic<cell*> loose;
    std::atomic<cell*> next_loose;  // for the sweeper, whose walk lets others in between
    std::array<std::atomic<free_block*>, size_classes> free;
    std::array<process_slot, max_processes> slots;
};

[[nodiscard]] constexpr std::uint32_t slot_of(owner_id owner) noexcept {
    return (owner & 0x7ffU) - 1U;
}
[[nodiscard]] constexpr owner_id make_owner(std::uint32_t slot, std::uint32_t life) noexcept {
    return (slot + 1U) | ((life & 0x7ffffU) << 11U);
}

}  // namespace lariat::detail

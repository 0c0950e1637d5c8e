#include "process/slots.hpp"

#include "process/arena_memory.hpp"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

process_slot& slot(owner_id owner) noexcept { return arena().slots[slot_of(owner)]; }

/// Whether the kernel lists it as dead and not yet waited for: it holds nothing any more.
bool is_zombie(pid_t pid) noexcept {
    char path[40];
    (void)std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return errno == ENOENT;
    char text[512];
    const ssize_t count = ::read(file, text, sizeof text);
    ::close(file);
    if (count <= 0) return count < 0 && errno == ESRCH;
    // "pid (name) S": the name may hold anything, so the last bracket counts.
    const char* end = text + count;
    const char* bracket = end;
    while (bracket != text && *bracket != ')') --bracket;
    return bracket + 2 < end && (bracket[2] == 'Z' || bracket[2] == 'X');
}

/// What the dead process held in one shared object. The arena's lock is held meanwhile, so that the
/// object stays; therefore nobody may ask the arena for anything while it holds an object's lock.
void sweep_cell(cell& at, owner_id dead) noexcept {
    const cell_kind& kind = *at.kind.get();
    if (kind.guard != nullptr) kind.guard(at.body())->recover(dead);
    if (kind.sweep != nullptr) kind.sweep(at.body(), dead);
}

/// The objects that it had references to, which are all that it can have been doing something with.
/// One at a time: a process with many of them does not keep the others from the arena.
void sweep_held(owner_id dead) noexcept {
    process_slot& of = slot(dead);
    for (;;) {
        transaction walk(arena().guard);
        reference* first = of.held.load(std::memory_order_relaxed);
        if (first == nullptr) return walk.commit();
        move_reference(walk, *first, of.swept);
        sweep_cell(*first->to.load(std::memory_order_relaxed), dead);
        walk.commit();
    }
}

/// Those in which it may have left something when it gave its references back.
void sweep_loose(owner_id dead) noexcept {
    arena_header& all = arena();
    {
        transaction begin(all.guard);
        begin.set(all.next_loose, all.loose.load(std::memory_order_relaxed));
        begin.commit();
    }
    // What becomes loose from now on did so by a living process, or is among those swept before.
    for (;;) {
        transaction walk(all.guard);
        cell* at = all.next_loose.load(std::memory_order_relaxed);
        if (at == nullptr) return walk.commit();
        walk.set(all.next_loose, at->next.load(std::memory_order_relaxed));
        sweep_cell(*at, dead);
        walk.commit();
    }
}

void sweep_references(std::atomic<reference*>& list) noexcept {
    for (;;) {
        cell* last = nullptr;
        {
            transaction change(arena().guard);
            reference* first = list.load(std::memory_order_relaxed);
            if (first == nullptr) return change.commit();
            last = remove_reference(change, *first);
            change.commit();
        }
        if (last != nullptr) free_cell(*last);
    }
}

/// Cells that it was freeing when it was killed.
void finish_freeing(owner_id dead) noexcept {
    for (;;) {
        cell* found = nullptr;
        {
            // From now on it is this process that frees it: its own death, too, can be swept.
            transaction change(arena().guard);
            found = inherit_dying(change, dead);
            change.commit();
        }
        if (found == nullptr) return;
        free_cell(*found);
    }
}

}  // namespace

bool process_is_gone(owner_id owner) noexcept {
    const process_slot& of = slot(owner);
    if (of.owner.load(std::memory_order_acquire) != owner) return true;
    const pid_t pid = of.pid.load(std::memory_order_relaxed);
    if (pid == 0) return false;  // it is being made
    return (::kill(pid, 0) != 0 && errno == ESRCH) || is_zombie(pid);
}

owner_id open_slot(slot_for whom) noexcept {
    const bool server = whom == slot_for::fork_server;
    const std::uint32_t end = server ? max_processes : server_slot;
    for (std::uint32_t i = server ? server_slot : 0; i < end; ++i) {
        process_slot& free = arena().slots[i];
        if (free.owner.load(std::memory_order_relaxed) != nobody) continue;
        const std::uint32_t life = free.life.load(std::memory_order_relaxed) + 1;
        free.life.store(life, std::memory_order_relaxed);
        free.pid.store(0, std::memory_order_relaxed);
        const owner_id owner = make_owner(i, life);
        free.owner.store(owner, std::memory_order_release);
        return owner;
    }
    return nobody;
}

void enter_slot(owner_id owner) noexcept { this_owner.store(owner, std::memory_order_relaxed); }

pid_t pid_of(owner_id owner) noexcept {
    const process_slot& of = slot(owner);
    return of.owner.load(std::memory_order_acquire) == owner
               ? of.pid.load(std::memory_order_relaxed)
               : 0;
}

void sweep_process(owner_id dead) noexcept {
    arena().guard.recover(dead);
    sweep_held(dead);
    sweep_loose(dead);
    sweep_references(slot(dead).swept);
    sweep_references(slot(dead).held);  // what was entrusted to it meanwhile
    finish_freeing(dead);
    slot(dead).owner.store(nobody, std::memory_order_release);
}

void set_pid(owner_id owner, pid_t pid) noexcept {
    slot(owner).pid.store(pid, std::memory_order_release);
}

}  // namespace lariat::detail

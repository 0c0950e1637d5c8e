#include <lariat/process/arena.hpp>

#include "process/arena_memory.hpp"
#include "process/family.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

namespace lariat::detail {

/// What this process knows of a cell that it uses.
struct local_cell {
    cell* shared;
    reference* held;  // this process's, while there is a cell_ref
    std::atomic<std::uint32_t> count{1};
};

namespace {

/// One record for each cell that this process uses: the family counts it once.
struct local_cells {
    std::mutex lock;
    std::unordered_map<cell*, std::unique_ptr<local_cell>> by_address;
};
local_cells& locals() {
    // Never destroyed: handles that are static objects may go after it would.
    static auto* all = new local_cells;
    return *all;
}

[[noreturn]] void refuse_memory(const char* what) {
    throw std::system_error(ENOMEM, std::system_category(), what);
}

process_slot& own_slot() noexcept {
    return arena().slots[slot_of(this_owner.load(std::memory_order_relaxed))];
}

void link(transaction& change, reference& item, std::atomic<reference*>& list) noexcept {
    reference* first = list.load(std::memory_order_relaxed);
    change.set(item.list, &list);
    change.set(item.next, first);
    change.set(item.previous, nullptr);
    if (first != nullptr) change.set(first->previous, &item);
    change.set(list, &item);
}

void unlink(transaction& change, reference& item) noexcept {
    reference* next = item.next.load(std::memory_order_relaxed);
    reference* previous = item.previous.load(std::memory_order_relaxed);
    if (next != nullptr) change.set(next->previous, previous);
    if (previous != nullptr) {
        change.set(previous->next, next);
    } else {
        change.set(*item.list.load(std::memory_order_relaxed), next);
    }
}

void link_cell(transaction& change, cell& item, std::atomic<cell*>& list) noexcept {
    cell* first = list.load(std::memory_order_relaxed);
    change.set(item.next, first);
    change.set(item.previous, nullptr);
    if (first != nullptr) change.set(first->previous, &item);
    change.set(list, &item);
}

void unlink_cell(transaction& change, cell& item, std::atomic<cell*>& list) noexcept {
    cell* next = item.next.load(std::memory_order_relaxed);
    cell* previous = item.previous.load(std::memory_order_relaxed);
    if (next != nullptr) change.set(next->previous, previous);
    if (previous != nullptr) {
        change.set(previous->next, next);
    } else {
        change.set(list, next);
    }
}

/// This process's reference to it goes: what it keeps in there all the same must be found.
void note_what_is_kept(transaction& change, cell& in) noexcept {
    const cell_kind* const kind = in.kind.get();
    if (kind == nullptr || kind->keeps == nullptr) return;
    if (in.loose.load(std::memory_order_relaxed) != 0) return;
    if (!kind->keeps(in.body(), this_owner.load(std::memory_order_relaxed))) return;
    link_cell(change, in, arena().loose);
    change.set(in.loose, 1);
}

void leave_loose(transaction& change, cell& item) noexcept {
    if (item.loose.load(std::memory_order_relaxed) == 0) return;
    arena_header& all = arena();
    if (all.next_loose.load(std::memory_order_relaxed) == &item)
        change.set(all.next_loose, item.next.load(std::memory_order_relaxed));
    unlink_cell(change, item, all.loose);
    change.set(item.loose, 0);
}

std::atomic<cell*>& dying_with(owner_id process) noexcept {
    return arena().slots[slot_of(process)].dying;
}

/// Of a dying cell that holds nothing any more.
void free_empty(transaction& change, cell& dying) noexcept {
    unlink_cell(change, dying, dying_with(dying.freed_by.load(std::memory_order_relaxed)));
    arena_header& all = arena();
    change.set(all.cell_count, all.cell_count.load(std::memory_order_relaxed) - 1);
    give_block(change, &dying, dying.size_class);
}

/// Counts one more reference to `to`, on `list`. nullptr: no memory.
reference* add_reference(transaction& change, cell& to, std::atomic<reference*>& list) noexcept {
    auto* made = static_cast<reference*>(take_block(change, 0));
    if (made == nullptr) return nullptr;
    change.set(made->to, &to);
    link(change, *made, list);
    change.set(to.references, to.references.load(std::memory_order_relaxed) + 1);
    arena_header& all = arena();
    change.set(all.reference_count, all.reference_count.load(std::memory_order_relaxed) + 1);
    return made;
}

}  // namespace

void move_reference(transaction& change, reference& item, std::atomic<reference*>& list) noexcept {
    unlink(change, item);
    link(change, item, list);
}

cell* remove_reference(transaction& change, reference& gone) noexcept {
    cell* to = gone.to.load(std::memory_order_relaxed);
    unlink(change, gone);
    change.set(gone.list, nullptr);
    give_block(change, &gone, 0);
    arena_header& all = arena();
    change.set(all.reference_count, all.reference_count.load(std::memory_order_relaxed) - 1);
    const std::uint32_t left = to->references.load(std::memory_order_relaxed) - 1;
    change.set(to->references, left);
    if (left != 0) return nullptr;
    leave_loose(change, *to);
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    change.set(to->freed_by, self);
    link_cell(change, *to, dying_with(self));
    return to;
}

cell* inherit_dying(transaction& change, owner_id dead) noexcept {
    cell* found = dying_with(dead).load(std::memory_order_relaxed);
    if (found == nullptr) return nullptr;
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    unlink_cell(change, *found, dying_with(dead));
    link_cell(change, *found, dying_with(self));
    change.set(found->freed_by, self);
    return found;
}

void forget_local_cells() noexcept {
    // Their references are the parent's. The records are left: what points to them was copied, too.
    for (auto& known : locals().by_address) (void)known.second.release();
    locals().by_address.clear();
}

// Objects lie in messages inside other objects as deep as there is memory. So what a nested one
// holds becomes the outer one's to give back, and nothing is called once for each depth.
void free_cell(cell& dying) noexcept {
    cell* nested = nullptr;  // whose last reference `dying` held
    for (;;) {
        cell& now = nested != nullptr ? *nested : dying;
        reference* held = now.held.load(std::memory_order_relaxed);  // nobody else changes it now
        if (held == nullptr) trim_block(&now, now.size_class);
        transaction change(arena().guard);
        if (held == nullptr) {
            free_empty(change, now);
            change.commit();
            if (nested == nullptr) return;
            nested = nullptr;
        } else if (nested != nullptr) {
            move_reference(change, *held, dying.held);
            change.commit();
        } else {
            nested = remove_reference(change, *held);
            change.commit();
        }
    }
}

void drop_reference(reference& gone) noexcept {
    cell* last = nullptr;
    {
        transaction change(arena().guard);
        cell& to = *gone.to.load(std::memory_order_relaxed);
        if (to.references.load(std::memory_order_relaxed) > 1) note_what_is_kept(change, to);
        last = remove_reference(change, gone);
        change.commit();
    }
    if (last != nullptr) free_cell(*last);
}

cell_ref::cell_ref(const cell_ref& other) noexcept : local_(other.local_) {
    if (local_ != nullptr) local_->count.fetch_add(1, std::memory_order_relaxed);
}

void* cell_ref::address() const noexcept {
    require(local_ != nullptr, "this handle names no shared object: it was moved from");
    return local_->shared->body();
}

const cell_kind& cell_ref::kind() const noexcept {
    require(local_ != nullptr, "this handle names no shared object: it was moved from");
    return *local_->shared->kind.get();
}

void cell_ref::drop() noexcept {
    if (this_owner.load(std::memory_order_relaxed) == nobody) return;  // forked by hand: not ours
    local_cells& all = locals();
    std::unique_ptr<local_cell> last;
    {
        const std::lock_guard hold(all.lock);
        if (local_->count.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        const auto found = all.by_address.find(local_->shared);
        last = std::move(found->second);
        all.by_address.erase(found);
    }
    drop_reference(*last->held);
}

transit_ref cell_ref::share() const {
    require_family("sending a shared object");
    require(local_ != nullptr, "this handle names no shared object: it was moved from");
    transaction change(arena().guard);
    const reference* made = add_reference(change, *local_->shared, own_slot().held);
    if (made == nullptr) refuse_memory("no shared memory is left to send a shared object");
    change.commit();
    return transit_ref(reinterpret_cast<std::uintptr_t>(made));
}

cell_ref cell_ref::take(transit_ref&& arrived, const cell_kind& wanted) {
    require_family("receiving a shared object");
    transit_ref taken = std::move(arrived);
    auto* item = reinterpret_cast<reference*>(static_cast<std::uintptr_t>(taken.id()));
    if (!in_arena(taken.id(), alignof(reference)) || item->list.load() == nullptr) {
        (void)taken.release();
        throw std::system_error(EBADMSG, std::system_category(),
                                "this message names a shared object that is not there");
    }
    cell* shared = item->to.load(std::memory_order_relaxed);
    if (const cell_kind* const brought = shared->kind.get(); brought != &wanted)
        throw std::system_error(
            EBADMSG, std::system_category(),
            std::string("this message brought a shared ") +
                (brought == nullptr ? "object of a library that is not here" : brought->name) +
                " where a " + wanted.name + " is read");
    local_cells& all = locals();
    const std::lock_guard hold(all.lock);
    std::unique_ptr<local_cell>& known = all.by_address[shared];
    if (known != nullptr) {
        known->count.fetch_add(1, std::memory_order_relaxed);
        return cell_ref(known.get());  // and `taken` gives the second reference back
    }
    try {
        known = std::make_unique<local_cell>(shared, item);
    } catch (...) {
        all.by_address.erase(shared);
        throw;
    }
    transaction change(arena().guard);
    unlink(change, *item);
    link(change, *item, own_slot().held);
    change.commit();
    (void)taken.release();
    return cell_ref(known.get());
}

cell_ref make_cell_with(const cell_kind& kind, std::size_t bytes,
                        void (*construct)(void* body, void* with), void* with) {
    require_family("making a shared object");
    const std::uint32_t size_class = class_for(sizeof(cell) + bytes);
    auto record = std::make_unique<local_cell>(nullptr, nullptr);
    promise_block(size_class);
    local_cells& all = locals();
    const std::lock_guard hold(all.lock);
    all.by_address.reserve(all.by_address.size() + 1);
    transaction change(arena().guard);
    void* block = take_block(change, size_class);
    if (block == nullptr) refuse_memory("no shared memory is left for a shared object");
    zero_block(block, size_class);
    cell& made = *std::construct_at(static_cast<cell*>(block));
    made.kind = &kind;
    made.size_class = size_class;
    construct(made.body(), with);
    record->shared = &made;
    record->held = add_reference(change, made, own_slot().held);
    if (record->held == nullptr) refuse_memory("no shared memory is left for a shared object");
    arena_header& arena_now = arena();
    change.set(arena_now.cell_count, arena_now.cell_count.load(std::memory_order_relaxed) + 1);
    local_cell* owned = record.get();
    all.by_address.emplace(&made, std::move(record));
    change.commit();
    return cell_ref(owned);
}

void entrust(const transit_ref& under_way, const cell_ref& carrier) noexcept {
    auto* item = reinterpret_cast<reference*>(static_cast<std::uintptr_t>(under_way.id()));
    auto* holder = reinterpret_cast<cell*>(&carrier.body<std::byte>()) - 1;
    transaction change(arena().guard);
    unlink(change, *item);
    link(change, *item, holder->held);
    change.commit();
}

void entrust(std::uint64_t under_way, owner_id process) noexcept {
    auto* item = reinterpret_cast<reference*>(static_cast<std::uintptr_t>(under_way));
    if (!in_arena(under_way, alignof(reference)) || item->list.load() == nullptr) return;
    transaction change(arena().guard);
    unlink(change, *item);
    link(change, *item, arena().slots[slot_of(process)].held);
    change.commit();
}

void give_back_transit(std::uint64_t id) noexcept {
    if (this_owner.load(std::memory_order_relaxed) == nobody) return;
    auto* item = reinterpret_cast<reference*>(static_cast<std::uintptr_t>(id));
    if (in_arena(id, alignof(reference)) && item->list.load() != nullptr) drop_reference(*item);
}

void require_family(const char* verb) {
    if (this_owner.load(std::memory_order_relaxed) != nobody) [[likely]]
        return;
    if (the_arena() == nullptr) family::rethrow_refusal();
    throw std::logic_error(
        std::string(verb) +
        (the_arena() == nullptr
             ? ": no family of processes was started here; call lariat::start_fork_server() first "
               "in main(), before any thread, or lariat::run()"
             : ": this process was forked by hand and does not belong to its parent's family; make "
               "it with lariat::process::start()"));
}

}  // namespace lariat::detail

namespace lariat {

arena_stats shared_memory_stats() {
    detail::require_family("shared_memory_stats");
    detail::arena_header& all = detail::arena();
    detail::transaction look(all.guard);
    arena_stats now;
    now.capacity_bytes = all.capacity;
    now.used_bytes = all.committed.load(std::memory_order_relaxed);
    now.cells = all.cell_count.load(std::memory_order_relaxed);
    now.references = all.reference_count.load(std::memory_order_relaxed);
    now.processes = static_cast<std::size_t>(
        std::count_if(all.slots.begin(), all.slots.begin() + detail::server_slot,
                      [](const detail::process_slot& slot) {
                          return slot.owner.load(std::memory_order_relaxed) != detail::nobody;
                      }));
    look.commit();
    return now;
}

}  // namespace lariat

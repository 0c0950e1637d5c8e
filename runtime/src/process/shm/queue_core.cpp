#include <lariat/process/shm/queue_core.hpp>

#include <lariat/base/error.hpp>

#include "process/arena_memory.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace lariat::detail {

namespace {

constexpr std::uint64_t most_items = std::uint64_t{1} << 24U;
constexpr std::uint32_t most_payload = 16 * 1024;
constexpr std::size_t most_boxed = std::size_t{64} << 20U;
constexpr std::uint32_t boxed = ~std::uint32_t{0};  // in place of a size

/// What a slot begins with, unless the items are bare.
struct slot_head {
    std::uint32_t size;
    std::uint32_t unused;
};

/// Heads a box: the bytes follow, and then the names of the references.
struct box_body {
    std::uint64_t bytes;
    std::uint64_t references;

    [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
    [[nodiscard]] std::uint64_t* names() noexcept {
        return reinterpret_cast<std::uint64_t*>(data() + (bytes + 7) / 8 * 8);
    }
};
constexpr cell_kind box_kind{"item of a queue"};

owner_id self_in(const char* rule) noexcept {
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    require(self != nobody, rule);
    return self;
}
constexpr const char* not_ours =
    "a process that was forked by hand does not use its parent's shm::queue: make it with "
    "lariat::process::start()";

cell& cell_of(queue_body& body) noexcept { return *(reinterpret_cast<cell*>(&body) - 1); }
reference& named(std::uint64_t box) noexcept {
    return *reinterpret_cast<reference*>(static_cast<std::uintptr_t>(box));
}

/// What a side's lock guards has changed for good, and the lock stays.
void keep_changes(guarded& guard) noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    guard.changes.store(0, std::memory_order_release);
    step();
}

void wake_all(wait_word& who) noexcept {
    if (who.bump()) who.wake_all();
}

}  // namespace

const cell_kind queue_kind{
    "queue", nullptr,
    +[](void* body, owner_id dead) noexcept { static_cast<queue_body*>(body)->sweep(dead); },
    +[](void* body, owner_id who) noexcept {
        return static_cast<queue_body*>(body)->held[slot_of(who)].load(std::memory_order_relaxed) !=
               0;
    }};

queue_body::queue_body(const shape& wanted) noexcept
    : of(wanted),
      mask(std::bit_ceil(wanted.max) - 1),
      slot_bytes((wanted.payload_bytes + 7U) / 8U * 8U +
                 (wanted.bare ? 0U : static_cast<std::uint32_t>(sizeof(slot_head)))) {}

cell_ref make_queue(const queue_body::shape& of) {
    if (of.max == 0 || of.max > most_items)
        throw std::invalid_argument("shm::queue: it has room for 1 to " +
                                    std::to_string(most_items) + " items, not for " +
                                    std::to_string(of.max));
    if (of.payload_bytes < sizeof(std::uint64_t) || of.payload_bytes > most_payload) {
        if (!of.bare)
            throw std::invalid_argument("shm::queue: a slot is for 8 to " +
                                        std::to_string(most_payload) + " bytes, not for " +
                                        std::to_string(of.payload_bytes));
    }
    queue_body::shape wanted = of;
    const std::size_t ring = std::bit_ceil(of.max) * queue_body(of).slot_bytes;
    return make_cell_with(
        queue_kind, sizeof(queue_body) + ring,
        [](void* body, void* with) {
            std::construct_at(static_cast<queue_body*>(body),
                              *static_cast<queue_body::shape*>(with));
        },
        &wanted);
}

// The lock came from one who was killed with it: what it had done for good is shown now.
void queue_body::settle(side& which, std::atomic<std::uint64_t>& shown,
                        wait_word& others) noexcept {
    if (which.boxing.load(std::memory_order_relaxed) != 0) [[unlikely]] {
        transaction undone(arena().guard);  // by its constructor, if it was not committed
        undone.commit();
        which.boxing.store(0, std::memory_order_relaxed);
    }
    const std::uint64_t next = which.next.load(std::memory_order_relaxed);
    if (shown.load(std::memory_order_relaxed) != next) [[unlikely]] {
        shown.store(next, std::memory_order_seq_cst);
        wake_all(others);
    }
}

bool queue_body::is_full(std::uint32_t* value) noexcept {
    const std::uint64_t next = put.next.load(std::memory_order_relaxed);
    const auto full = [&] { return next - put.seen.load(std::memory_order_relaxed) >= of.max; };
    if (!full()) return false;
    put.seen.store(head.load(std::memory_order_acquire), std::memory_order_relaxed);
    if (!full()) return false;
    if (value == nullptr) return true;
    *value = room.prepare();
    put.seen.store(head.load(std::memory_order_seq_cst), std::memory_order_relaxed);
    return full();
}

bool queue_body::is_empty(std::uint32_t* value, bool& over) noexcept {
    const std::uint64_t next = get.next.load(std::memory_order_relaxed);
    const auto empty = [&] { return next == get.seen.load(std::memory_order_relaxed); };
    if (!empty()) return false;
    get.seen.store(tail.load(std::memory_order_acquire), std::memory_order_relaxed);
    if (!empty()) return false;
    if (value != nullptr) *value = items.prepare();
    over = closed.load(std::memory_order_seq_cst) != 0;  // before the last look: see close()
    get.seen.store(tail.load(std::memory_order_seq_cst), std::memory_order_relaxed);
    return empty();
}

void queue_body::fill(std::byte* slot, const queue_item& item) const noexcept {
    if (of.bare) {
        std::memcpy(slot, item.bytes, of.payload_bytes);
        return;
    }
    const slot_head first{item.box != 0 ? boxed : item.size, 0};
    std::memcpy(slot, &first, sizeof first);
    if (item.box != 0) {
        std::memcpy(slot + sizeof first, &item.box, sizeof item.box);
    } else if (item.size != 0) {
        std::memcpy(slot + sizeof first, item.bytes, item.size);
    }
}

void queue_body::read(const std::byte* slot, queue_place& place) const noexcept {
    place.box = 0;
    if (of.bare) {
        std::memcpy(place.bytes, slot, of.payload_bytes);
        return;
    }
    slot_head first;
    std::memcpy(&first, slot, sizeof first);
    if (first.size == boxed) {
        std::memcpy(&place.box, slot + sizeof first, sizeof place.box);
    } else {
        place.size = std::min(first.size, of.payload_bytes);
        std::memcpy(place.bytes, slot + sizeof first, place.size);
    }
}

queue_turn queue_body::give(const queue_item& item, std::uint32_t* value) noexcept {
    (void)self_in(not_ours);
    {
        transaction change(put.guard);
        settle(put, tail, items);
        const bool over = closed.load(std::memory_order_relaxed) != 0;
        if (over || is_full(value)) {
            change.commit();
            return over ? queue_turn::closed : queue_turn::later;
        }
        const std::uint64_t next = put.next.load(std::memory_order_relaxed);
        fill(slot(next), item);
        step();
        if (item.box != 0) {
            put.boxing.store(1, std::memory_order_release);
            transaction pass(arena().guard);
            move_reference(pass, named(item.box), cell_of(*this).held);
            pass.set(put.next, next + 1);
            pass.commit();
            put.boxing.store(0, std::memory_order_release);
        } else {
            put.next.store(next + 1, std::memory_order_release);
        }
        step();
        // Partner of the look after prepare() in is_empty: either it sees the item, or we see that
        // somebody may sleep.
        (void)tail.exchange(next + 1, std::memory_order_seq_cst);
        step();
        change.commit();
    }
    step();
    if (items.bump()) items.wake_one();
    return queue_turn::done;
}

queue_turn queue_body::take(queue_place& place, std::uint32_t* value) noexcept {
    std::atomic<std::uint32_t>& mine = held[slot_of(self_in(not_ours))];
    {
        transaction change(get.guard);
        settle(get, head, room);
        bool over = false;
        if (is_empty(value, over)) {
            change.commit();
            return over ? queue_turn::closed : queue_turn::later;
        }
        const std::uint64_t next = get.next.load(std::memory_order_relaxed);
        read(slot(next), place);
        const std::uint32_t more = mine.load(std::memory_order_relaxed) + 1;
        if (place.box != 0) {
            get.boxing.store(1, std::memory_order_release);
            transaction pass(arena().guard);
            move_reference(pass, named(place.box), arena().slots[slot_of(self_in(not_ours))].held);
            pass.set(get.next, next + 1);
            pass.set(mine, more);
            pass.commit();
            get.boxing.store(0, std::memory_order_release);
        } else {
            change.set(get.next, next + 1);
            change.set(mine, more);
            keep_changes(get.guard);
        }
        step();
        // Partner of the look after prepare() in is_full. It also ends our reading of the slot.
        (void)head.exchange(next + 1, std::memory_order_seq_cst);
        step();
        change.commit();
    }
    step();
    if (room.bump()) room.wake_one();
    return queue_turn::done;
}

void queue_body::close() noexcept {
    (void)self_in(not_ours);
    {
        transaction change(put.guard);
        settle(put, tail, items);
        closed.store(1, std::memory_order_seq_cst);  // whoever sees it sees the last item, too
        change.commit();
    }
    wake_all(items);
    wake_all(room);
}

bool queue_body::task_done() noexcept {
    std::atomic<std::uint32_t>& mine = held[slot_of(self_in(not_ours))];
    {
        transaction change(get.guard);
        settle(get, head, room);
        const std::uint32_t now = mine.load(std::memory_order_relaxed);
        if (now == 0) return false;
        change.set(mine, now - 1);
        change.set(done, done.load(std::memory_order_relaxed) + 1);
        change.commit();
    }
    // Partner of prepare() in all_done.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (finished() == tail.load(std::memory_order_seq_cst)) wake_all(joiners);
    return true;
}

queue_turn queue_body::all_done(std::uint32_t* value) noexcept {
    // What is finished was put before: read in this order they are equal only if they were.
    const auto all = [this] {
        const std::uint64_t now = finished();
        return now == tail.load(std::memory_order_seq_cst);
    };
    if (all()) return queue_turn::done;
    if (value == nullptr) return queue_turn::later;
    *value = joiners.prepare();
    return all() ? queue_turn::done : queue_turn::later;
}

std::uint64_t queue_body::finished() const noexcept {
    return done.load(std::memory_order_seq_cst) + lost.load(std::memory_order_seq_cst);
}

std::uint64_t queue_body::size() const noexcept {
    const std::uint64_t from = head.load(std::memory_order_acquire);
    return std::min(tail.load(std::memory_order_acquire) - from, of.max);
}

void queue_body::sweep(owner_id dead) noexcept {
    const auto take_over = [dead](side& which, std::atomic<std::uint64_t>& shown) {
        if (which.guard.lock.holder() != dead || !which.guard.lock.inherit(dead)) return;
        which.guard.undo();
        which.boxing.store(0, std::memory_order_relaxed);  // the arena is as it was, or done
        shown.store(which.next.load(std::memory_order_relaxed), std::memory_order_seq_cst);
        which.guard.lock.unlock();
    };
    take_over(put, tail);
    take_over(get, head);
    lost.fetch_add(held[slot_of(dead)].exchange(0, std::memory_order_relaxed),
                   std::memory_order_seq_cst);
    for (wait_word* each : {&items, &room, &joiners}) each->sweep();
}

transit_ref box_item(parcel&& item) {
    parcel whole = std::move(item);
    if (!whole.descriptors.empty())
        throw std::invalid_argument(
            "shm::queue: an item has descriptors, which need a process at the other end to hold "
            "them: send it through a lariat::pipe");
    if (whole.bytes.size() > most_boxed)
        throw limit_error("shm::queue: an item of " + std::to_string(whole.bytes.size()) +
                          " bytes; it may have " + std::to_string(most_boxed));
    box_body first{whole.bytes.size(), whole.references.size()};
    const std::size_t bytes =
        sizeof first + (whole.bytes.size() + 7) / 8 * 8 + first.references * sizeof(std::uint64_t);
    // The bytes come after: it is made under the arena's lock.
    const cell_ref box = make_cell_with(
        box_kind, bytes,
        [](void* body, void* with) {
            std::construct_at(static_cast<box_body*>(body), *static_cast<const box_body*>(with));
        },
        &first);
    auto& body = box.body<box_body>();
    if (!whole.bytes.empty()) std::memcpy(body.data(), whole.bytes.data(), whole.bytes.size());
    std::uint64_t* name = body.names();
    for (transit_ref& each : whole.references) {
        *name++ = each.id();
        entrust(each, box);
        (void)each.release();
    }
    return box.share();
}

opened_box::opened_box(std::uint64_t box) : box_(cell_ref::take(transit_ref(box), box_kind)) {
    auto& body = box_.body<box_body>();
    references_.reserve(body.references);
    for (std::uint64_t i = 0; i < body.references; ++i) references_.emplace_back(body.names()[i]);
}

parcel_reader opened_box::reader() noexcept {
    auto& body = box_.body<box_body>();
    return parcel_reader(std::span<const std::byte>(body.data(), body.bytes), {}, references_);
}

void throw_not_taken() {
    throw std::logic_error(
        "shm::queue: task_done() was called more often than this process has taken items");
}

void throw_other_items(const std::type_info& wanted, const std::type_info& there) {
    throw parcel_error("this message brought a shm::queue of " + type_name(there) +
                       " where one of " + type_name(wanted) + " is read");
}

}  // namespace lariat::detail

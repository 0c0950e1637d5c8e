#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/wait_word.hpp>
#include <lariat/process/transaction.hpp>
#include <lariat/process/transit.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <typeinfo>
#include <vector>

namespace lariat::detail {

/// How a verb of a queue went.
enum class queue_turn : std::uint8_t {
    done,
    later,   ///< there is no room, or no item
    closed,  ///< and, for a get, drained
};

/// An item as it lies in the ring: its bytes, or the name of a box, which is a cell of its own.
struct queue_item {
    const void* bytes = nullptr;
    std::uint32_t size = 0;
    std::uint64_t box = 0;
};
/// Where a get puts one.
struct queue_place {
    void* bytes = nullptr;  ///< payload_bytes of room
    std::uint32_t size = 0;
    std::uint64_t box = 0;  ///< this process's from now on; 0: the bytes are the item
};

/// A queue in shared memory: a ring of slots, with a side for those who put and one for those who
/// get, which meet only where the ring is empty or full.
///
/// An item in the ring is taken or put by one store, of the side's `next`, or, for a box, by the
/// arena's transaction that also passes its reference on. What comes after, showing it to the other
/// side, is done by whoever has the side's lock next if a kill comes between.
///
/// Invariant 1  head <= tail <= head + max; slots in [head, tail) are whole items
/// Invariant 2  tail == put.next and head == get.next whenever a side's lock is free, unless its
///              last holder was killed
/// Invariant 3  held[s] is how many items the process of slot s has taken and not said to be done;
///              their sum, done, lost and the items in the ring are all that were put
struct LARIAT_EXPORT queue_body {
    struct shape {
        std::uint64_t max = 0;
        std::uint32_t payload_bytes = 0;
        bool bare = false;  ///< all items have one size, and are never boxed
        image_pointer<std::type_info> type;
    };
    /// One of the two ends. The cache line of its lock is that of its positions, too.
    struct side {
        std::atomic<std::uint64_t> next{0};    // the first position not yet put, or taken
        std::atomic<std::uint64_t> seen{0};    // of the other side, when it was last looked at
        std::atomic<std::uint32_t> boxing{0};  // the arena's transaction may be under way
        guarded guard;
    };

    explicit queue_body(const shape& of) noexcept;

    /// Whether it happened; `value`, if there is one, is set for the wait when it is later.
    [[nodiscard]] queue_turn give(const queue_item& item, std::uint32_t* value) noexcept;
    [[nodiscard]] queue_turn take(queue_place& place, std::uint32_t* value) noexcept;
    void close() noexcept;
    /// False if this process has no item that is not done.
    [[nodiscard]] bool task_done() noexcept;
    [[nodiscard]] queue_turn all_done(std::uint32_t* value) noexcept;

    [[nodiscard]] bool is_closed() const noexcept {
        return closed.load(std::memory_order_acquire) != 0;
    }
    [[nodiscard]] std::uint64_t size() const noexcept;
    [[nodiscard]] std::uint64_t finished() const noexcept;
    /// What the process that is gone held: see cell_kind.
    void sweep(owner_id dead) noexcept;

    const shape of;
    const std::uint64_t mask;
    const std::uint32_t slot_bytes;
    alignas(64) side put;
    alignas(64) side get;
    alignas(64) std::atomic<std::uint64_t> tail{0};
    alignas(64) std::atomic<std::uint64_t> head{0};
    alignas(64) wait_word items;
    wait_word room;
    wait_word joiners;
    std::atomic<std::uint32_t> closed{0};
    alignas(64) std::atomic<std::uint64_t> done{0};
    std::atomic<std::uint64_t> lost{0};  // the fork server's alone to change
    std::atomic<std::uint32_t> held[max_processes]{};
    // and the ring

 private:
    [[nodiscard]] std::byte* slot(std::uint64_t position) noexcept {
        return reinterpret_cast<std::byte*>(this + 1) + (position & mask) * slot_bytes;
    }
    [[nodiscard]] bool is_full(std::uint32_t* value) noexcept;
    [[nodiscard]] bool is_empty(std::uint32_t* value, bool& over) noexcept;
    void fill(std::byte* slot, const queue_item& item) const noexcept;
    void read(const std::byte* slot, queue_place& place) const noexcept;
    static void settle(side& which, std::atomic<std::uint64_t>& shown, wait_word& others) noexcept;
};

/// Errors: std::invalid_argument, and those of make_cell.
[[nodiscard]] LARIAT_EXPORT cell_ref make_queue(const queue_body::shape& of);
LARIAT_EXPORT extern const cell_kind queue_kind;

/// Where an item lies that does not fit into its slot, or that brings references, which the box
/// then holds: so they go with it, whoever is killed.
///
/// Errors: limit_error for more than 64 MiB; std::invalid_argument for descriptors; those of
/// make_cell.
[[nodiscard]] LARIAT_EXPORT transit_ref box_item(parcel&& item);

/// A box that was taken from a queue; it goes with this.
class LARIAT_EXPORT opened_box {
 public:
    explicit opened_box(std::uint64_t box);
    /// For one reading.
    [[nodiscard]] parcel_reader reader() noexcept;

 private:
    cell_ref box_;
    std::vector<transit_ref> references_;
};

[[noreturn]] LARIAT_EXPORT void throw_not_taken();
[[noreturn]] LARIAT_EXPORT void throw_other_items(const std::type_info& wanted,
                                                  const std::type_info& there);

}  // namespace lariat::detail

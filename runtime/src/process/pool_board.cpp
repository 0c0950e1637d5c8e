#include "process/pool_board.hpp"

#include <cstring>

namespace lariat::detail {

const cell_kind pool_board_kind{"board of a pool's worker"};

bool pool_board::begin(std::uint32_t slot, std::uint64_t id) noexcept {
    std::uint64_t expected = word(id, sent);
    return slots_[slot].compare_exchange_strong(expected, word(id, begun),
                                                std::memory_order_acq_rel);
}

void pool_board::place(std::uint32_t slot, std::uint64_t id) noexcept {
    // The message that names it comes through the kernel, after this.
    slots_[slot].store(word(id, sent), std::memory_order_release);
}

bool pool_board::withdraw(std::uint32_t slot, std::uint64_t id) noexcept {
    std::uint64_t expected = word(id, sent);
    return slots_[slot].compare_exchange_strong(expected, 0, std::memory_order_acq_rel);
}

bool pool_board::has_begun(std::uint32_t slot, std::uint64_t id) const noexcept {
    return slots_[slot].load(std::memory_order_acquire) == word(id, begun);
}

void pool_board::clear(std::uint32_t slot) noexcept {
    slots_[slot].store(0, std::memory_order_release);
}

bool pool_board::publish(const answer_header& head, std::span<const std::byte> body) noexcept {
    if (body.size() > most_bytes) return false;
    const std::uint64_t needed = room_of(body.size());
    std::uint64_t at = written_.load(std::memory_order_relaxed);
    const std::uint64_t to_end = ring_bytes - at % ring_bytes;
    const std::uint64_t skipped = to_end < needed ? to_end : 0;
    // Acquires what the pool has read: it is free now.
    const std::uint64_t used = at - read_.load(std::memory_order_acquire);
    if (used + skipped + needed > ring_bytes) return false;
    if (skipped != 0) {
        constexpr std::uint64_t none = 0;
        std::memcpy(&ring_[at % ring_bytes], &none, sizeof none);
        at += skipped;
    }
    std::byte* const place = &ring_[at % ring_bytes];
    std::memcpy(place, &head, sizeof head);
    if (!body.empty()) std::memcpy(place + sizeof head, body.data(), body.size());
    // Releases the bytes to look(). A worker that is killed before this has not answered.
    written_.store(at + needed, std::memory_order_release);
    return true;
}

bool pool_board::look(answer_header& head, std::span<const std::byte>& body,
                      bool& damaged) noexcept {
    std::uint64_t at = read_.load(std::memory_order_relaxed);
    const std::uint64_t end = written_.load(std::memory_order_acquire);
    damaged = end - at > ring_bytes || end % 8 != 0;
    while (at != end && !damaged) {
        const std::uint64_t to_end = ring_bytes - at % ring_bytes;
        const std::byte* const place = &ring_[at % ring_bytes];
        std::uint64_t id = 0;
        std::memcpy(&id, place, sizeof id);
        if (id == 0) {
            at += to_end;
            damaged = at > end;
            read_.store(at, std::memory_order_release);
            continue;
        }
        if (to_end < sizeof head) break;
        std::memcpy(&head, place, sizeof head);
        if (head.bytes > most_bytes || room_of(head.bytes) > end - at ||
            room_of(head.bytes) > to_end || head.slot >= slot_count)
            break;
        body = {place + sizeof head, head.bytes};
        return true;
    }
    damaged = damaged || at != end;
    return false;
}

void pool_board::drop() noexcept {
    const std::uint64_t at = read_.load(std::memory_order_relaxed);
    answer_header head;
    std::memcpy(&head, &ring_[at % ring_bytes], sizeof head);
    // Releases the place to publish().
    read_.store(at + room_of(head.bytes), std::memory_order_release);
}

}  // namespace lariat::detail

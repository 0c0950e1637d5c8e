#pragma once

#include <lariat/base/list.hpp>

#include "driver/op_list.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace lariat::detail {

/// What the epoll driver knows of one descriptor number: a row of its table, there for ever and
/// used again by whatever file gets the number next.
///
/// States of `armed`, and who moves them (epoll_driver::watch alone, and reset()):
///   none       the kernel does not watch it, or forgot it when the file was closed
///   once       a `poll` op waits on it: EPOLLONESHOT, made good again for every wait
///   for_life   a stream op waited once: edge-triggered, until the file is closed
///
/// Invariants
///   1. `readable` is false only while armed is for_life and nothing is left to read: an edge
///      comes.
///   2. `writable` likewise, with `watches_writing`.
///   3. It is linked on the driver's ready list, or its starved list, or on none.
struct descriptor : list_link {
    enum class arming : std::uint8_t { none, once, for_life };
    enum class file_kind : std::uint8_t { unknown, tcp, socket, device };

    op_list readers;
    op_list writers;
    op_list pollers;
    int fd = -1;
    std::uint32_t generation = 0;  // in each event: one that tells of an earlier file is dropped
    arming armed = arming::none;
    file_kind kind = file_kind::unknown;
    bool readable = true;
    bool writable = true;
    bool watches_writing = false;
    bool nonblocking = false;
    bool distrusts_short = false;  // end, error or urgent data seen: a short read proves nothing

    [[nodiscard]] bool waited_for() const noexcept {
        return !readers.empty() || !writers.empty() || !pollers.empty();
    }

    /// The number is a new file's, or nobody's. Pre: !waited_for().
    void reset() noexcept {
        unlink();
        ++generation;
        armed = arming::none;
        kind = file_kind::unknown;
        readable = writable = true;
        watches_writing = nonblocking = distrusts_short = false;
    }
};

/// Descriptors by number, in blocks that never move: a reference stays good while completions open
/// and close others.
///
/// Allocation   a block for 256 neighbours, once
class descriptor_table {
 public:
    [[nodiscard]] descriptor* find(int fd) const noexcept {
        const auto index = static_cast<std::size_t>(fd);  // a negative one becomes too large
        if (index >= blocks_.size() * block_size || blocks_[index / block_size] == nullptr)
            return nullptr;
        return &blocks_[index / block_size][index % block_size];
    }

    /// Pre: fd is negative or was open a moment ago. Returns nullptr for a negative one, or without
    /// memory.
    [[nodiscard]] descriptor* make(int fd) noexcept {
        if (descriptor* known = find(fd)) return known;
        if (fd < 0) return nullptr;
        const auto block = static_cast<std::size_t>(fd) / block_size;
        try {
            if (block >= blocks_.size()) blocks_.resize(block + 1);
            blocks_[block] = std::make_unique<descriptor[]>(block_size);
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
        for (std::size_t i = 0; i < block_size; ++i)
            blocks_[block][i].fd = static_cast<int>(block * block_size + i);
        return find(fd);
    }

 private:
    static constexpr std::size_t block_size = 256;
    std::vector<std::unique_ptr<descriptor[]>> blocks_;
};

}  // namespace lariat::detail

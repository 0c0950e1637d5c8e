#pragma once

#include <lariat/driver/options.hpp>

#include "driver/lent_piece.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lariat::detail {

/// Lent memory for when every pooled buffer is held: each receive gets a block of its own, as large
/// as what came, gone when it is given back. Peers that do not read their answers can so hold all
/// pooled buffers for ever and cost memory only, as at any server; others go on being served.
///
/// The kernel writes into a scratch block that all receives share, and what came is copied out:
/// this way is slow enough already, and a message of 64 bytes must not hold 16 KiB. Where no memory
/// is left for the copy the scratch block itself is lent: nothing that was received is ever lost.
///
/// Threads      the loop's own
/// Allocation   a block a receive; the scratch block at the first, kept; a slot for each block that
///              was ever lent at the same time, kept
/// Limits       `lent_spare_bytes`, and memory; then room() is empty
class spare_blocks {
 public:
    static constexpr std::uint32_t scratch_bytes = 16 * 1024;

    explicit spare_blocks(const driver_options& options) noexcept
        : limit_(options.lent_spare_bytes) {}

    /// Pooled buffers are named by lower numbers.
    [[nodiscard]] static bool names(std::uint32_t name) noexcept { return (name & mark) != 0; }

    /// Where the next receive may write. It stays the same until lend() or give_back().
    [[nodiscard]] lent_space room() noexcept;
    /// The first `bytes` of room() are now in a user's hands, at the address returned.
    [[nodiscard]] lent_piece lend(std::uint32_t bytes) noexcept;
    void give_back(std::uint32_t name) noexcept;

    /// Blocks in users' hands.
    [[nodiscard]] std::uint64_t lent() const noexcept { return lent_; }

 private:
    using memory = std::unique_ptr<std::byte[]>;
    struct block {
        memory bytes;
        std::uint32_t size = 0;
    };
    static constexpr std::uint32_t mark = 1U << 31;

    [[nodiscard]] static memory allocate(std::uint32_t bytes) noexcept;
    [[nodiscard]] bool has_slot() noexcept;

    std::uint64_t limit_;
    std::uint64_t held_ = 0;  // bytes lent
    std::uint64_t lent_ = 0;
    memory scratch_;
    std::vector<block> blocks_;
    std::vector<std::uint32_t> free_;  // slots of `blocks_`; room for all of them
};

}  // namespace lariat::detail

#pragma once

#include "driver/lent_piece.hpp"
#include "driver/lent_pool.hpp"
#include "driver/spare_blocks.hpp"

#include <cstdint>

namespace lariat::detail {

/// What a driver lends of its own accord: pooled buffers, and where all of them are held spare
/// blocks, until a buffer is back.
///
/// Threads      the loop's own
class lender {
 public:
    explicit lender(const driver_options& options) : pool_(options), spare_(options) {}

    /// Where the next receive may write. It stays the same until lend() or give_back().
    [[nodiscard]] lent_space room() noexcept {
        const lent_space pooled = pool_.room();
        return pooled.bytes != 0 ? pooled : spare_.room();
    }
    /// The same, of the spare blocks alone.
    [[nodiscard]] lent_space spare_room() noexcept { return spare_.room(); }

    /// The first `bytes` of `from`, the latest room, are now in a user's hands. With spare blocks
    /// their address is another.
    [[nodiscard]] lent_piece lend(const lent_space& from, std::uint32_t bytes) noexcept {
        if (spare_blocks::names(from.name)) [[unlikely]] {
            ++spares_;
            return spare_.lend(bytes);
        }
        pool_.lend(bytes);
        return {from.at, from.name};
    }

    /// Returns one lease. True: there may be room where there was none.
    bool give_back(std::uint32_t name) noexcept {
        if (!spare_blocks::names(name)) [[likely]]
            return pool_.give_back(name);
        spare_.give_back(name);
        return true;
    }

    [[nodiscard]] std::uint64_t leases() const noexcept { return pool_.leases() + spare_.lent(); }
    /// Spare blocks in users' hands.
    [[nodiscard]] std::uint64_t spares_lent() const noexcept { return spare_.lent(); }
    /// How often a spare block was lent.
    [[nodiscard]] std::uint64_t spares() const noexcept { return spares_; }

 private:
    lent_pool pool_;
    spare_blocks spare_;
    std::uint64_t spares_ = 0;
};

}  // namespace lariat::detail

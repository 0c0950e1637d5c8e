#pragma once

#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include "driver/lent_piece.hpp"
#include "driver/lent_pool.hpp"
#include "driver/spare_blocks.hpp"

#include <cerrno>
#include <climits>
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

    /// What receive() says when the op has to wait for a give_back.
    static constexpr int starved = INT_MIN + 1;

    /// One step of the multishot receive `o`. `recv(room)` gives the bytes it put there, 0 at the
    /// end, would_block, or a negated errno; bytes are then lent to `o`. Returns what recv gave;
    /// without room `starved`, or -ENOMEM where nothing is out that could come back.
    template <class Receive>
    [[nodiscard]] int receive(op& o, Receive recv) noexcept {
        const lent_space into = room();
        if (into.bytes == 0) {
            if (leases() == 0) return -ENOMEM;
            ++starvations_;
            return starved;
        }
        const int got = recv(into);
        if (got <= 0) return got;
        const lent_piece piece = lend(into, static_cast<std::uint32_t>(got));
        o.address = piece.address;
        o.lent = piece.name;
        return got;
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
    /// Adds what a driver's stats tell of lent memory.
    void count_in(driver_stats& all) const noexcept {
        all.lent += leases();
        all.spare += spares_lent();
        all.starved += starvations_ + spares_;
    }

 private:
    lent_pool pool_;
    spare_blocks spare_;
    std::uint64_t spares_ = 0;
    std::uint64_t starvations_ = 0;
};

}  // namespace lariat::detail

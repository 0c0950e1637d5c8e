#pragma once

#include <lariat/driver/options.hpp>

#include "driver/lent_piece.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

struct io_uring_buf_ring;

namespace lariat::detail {

class ring;

/// The buffers that the kernel fills for multishot receives, chosen by it when bytes have come. One
/// large buffer serves many connections, piece after piece, so that an idle connection owns none;
/// it is offered again when it was filled and every piece of it was given back.
///
/// Before incremental rings the kernel gives a whole buffer to each receive: there the same memory
/// is cut into small ones.
///
/// Threads      the loop's own
/// Lifetime     within the ring's
/// Allocation   one reservation of address space, when made; pages are touched when first filled
/// Limits       `lent_buffer_count` buffers, taken into use one by one as they are wanted
class buffer_ring {
 public:
    /// Registers it, if the kernel has such rings. Errors: std::system_error when the address space
    /// is refused.
    buffer_ring(ring& kernel, const driver_options& options);
    buffer_ring(const buffer_ring&) = delete;
    buffer_ring& operator=(const buffer_ring&) = delete;
    ~buffer_ring();

    /// False: there is none, and none of the rest may be called.
    [[nodiscard]] bool registered() const noexcept { return entries_ != nullptr; }

    /// How many receives the kernel's stock may serve, 0 when it is empty; replenishes it first.
    [[nodiscard]] std::uint32_t servings() noexcept {
        keep_stock();
        return incremental_ && offered_ != 0 ? many : offered_;
    }
    /// A receive found none: from now on twice the stock is kept, as far as the limit goes.
    void ran_out() noexcept { stock_ = stock_ < count_ ? stock_ * 2 : stock_; }
    /// The kernel filled `bytes` of the buffer that a completion names. Nothing is lent for 0.
    [[nodiscard]] lent_piece filled(std::uint16_t index, std::uint32_t bytes) noexcept;
    void give_back(std::uint32_t name) noexcept;
    [[nodiscard]] std::uint64_t leases() const noexcept { return leases_; }

    /// In a forked child: forgets what the kernel has of the parent's.
    void abandon() noexcept { entries_ = nullptr; }

 private:
    struct buffer {
        std::uint32_t used = 0;    // bytes filled
        std::uint32_t leases = 0;  // pieces in users' hands
        bool offered = false;      // the kernel may fill it
    };

    static constexpr std::uint32_t many = 64;  // of one large buffer

    void size(const driver_options& options) noexcept;
    void offer(std::uint16_t index) noexcept;
    void keep_stock() noexcept;

    ring* kernel_;
    std::byte* memory_ = nullptr;
    ::io_uring_buf_ring* entries_ = nullptr;
    std::vector<buffer> buffers_;
    std::uint32_t bytes_ = 0;  // one buffer's
    std::uint32_t count_ = 0;
    std::uint32_t offered_ = 0;  // how many now
    // One is filled by a batch of completions before we see it; a second bridges the gap.
    std::uint32_t stock_ = 2;
    std::uint64_t leases_ = 0;
    bool incremental_ = false;
};

}  // namespace lariat::detail

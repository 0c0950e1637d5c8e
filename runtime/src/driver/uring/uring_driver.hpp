#pragma once

#include "base/fork_guard.hpp"
#include "driver/contract.hpp"
#include "driver/lender.hpp"
#include "driver/op_list.hpp"
#include "driver/uring/buffer_ring.hpp"
#include "driver/uring/early_end.hpp"
#include "driver/uring/op_state.hpp"
#include "driver/uring/prepare.hpp"
#include "driver/uring/ring.hpp"

#include <lariat/base/unique_fd.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace lariat::detail {

/// The driver on io_uring. An op's way, kept in `op::state`:
///
///   idle -> issued -> idle                     the kernel completed it
///   idle -> idle                               what submit finished or refused: of files, a futex
///           issued -> polling -> issued        it said EAGAIN: wait for readiness, then try again
///           issued -> starved -> issued        a multishot recv found no buffer: wait for one
///           starved -> polling -> issued       all are held: readiness, then recv(2) into a spare
///                                              block; then it tries again for a buffer
///           polling -> polling                 emulated multishot recv: readiness, then recv(2)
///   issued | polling, marked `unqueued`        on `backlog_`: the submission queue was full
///   starved | unqueued -> finished -> idle     cancelled before the kernel had it
///
/// 1. An op that is issued or polling and not `unqueued` has exactly one entry in the kernel (or in
///    the submission queue), with the op's address as user_data; it ends with the completion that
///    lacks F_MORE, whatever its result. Every other op has none.
/// 2. An op is on a list only while unqueued (backlog_), starved (starved_), finished (finished_)
/// or
///    `cancel_unqueued` (cancels_); these exclude each other.
/// 3. A cancellation is submitted behind its op's entry and before any entry of a later op at the
///    same address, so it never hits another. Its own completion is ignored.
/// 4. An op marked `cancelling` is never issued again.
///
/// Threads      `wake`: any, and signal handlers; the rest: the one that made it
/// Allocation   when made; later lent buffers, on demand, kept, and spare blocks (spare_blocks.hpp)
class uring_driver {
 public:
    /// Errors: std::system_error when the kernel refuses a ring.
    explicit uring_driver(const driver_options& options, const uring_seam& seam = uring_seam());
    uring_driver(const uring_driver&) = delete;
    uring_driver& operator=(const uring_driver&) = delete;
    ~uring_driver();

    bool submit(op& operation) noexcept;
    void cancel(op& operation) noexcept;
    void poll(time_point until);
    void wake() noexcept;
    void give_back(std::uint32_t lent) noexcept;
    [[nodiscard]] driver_stats stats() const noexcept;
    [[nodiscard]] time_point now() const noexcept { return clock::now(); }

    /// What of io_uring this driver uses.
    [[nodiscard]] bool uses(uring_feature feature) const noexcept { return ring_.has(feature); }

 private:
    [[nodiscard]] bool finish_unqueued(op& operation) noexcept;
    void write_entry(io_uring_sqe& entry, op& operation) noexcept;
    void write_cancel(io_uring_sqe& entry, const op& operation) noexcept;
    [[nodiscard]] io_uring_sqe* next_entry() noexcept;
    void start(op& operation, uring_stage stage) noexcept;
    void start(op& operation) noexcept;
    void starve(op& operation) noexcept;
    [[nodiscard]] std::uint32_t servings() noexcept;
    [[nodiscard]] lent_space room() noexcept;
    [[nodiscard]] std::uint64_t leases() const noexcept;
    void finish_soon(op& operation) noexcept;

    void restock() noexcept;
    bool arm_wake() noexcept;
    void feed_starved() noexcept;
    int enter(time_point until, bool refused) noexcept;

    unsigned reap() noexcept;
    unsigned on_completion(op& operation, const ring::completion& done) noexcept;
    unsigned on_wake(std::uint32_t flags) noexcept;
    unsigned on_failure(op& operation, std::int32_t result) noexcept;
    unsigned on_ready(op& operation) noexcept;
    unsigned receive_ready(op& operation) noexcept;
    unsigned on_multishot(op& operation, const ring::completion& done) noexcept;
    unsigned deliver(op& operation, std::int32_t result, bool more, lent_piece piece = {}) noexcept;
    unsigned deliver_early_end(op& operation, std::int32_t result, bool more,
                               lent_piece piece) noexcept;
    unsigned hand_over(op& operation, std::int32_t result, bool more, lent_piece piece) noexcept;

    fork_guard home_;
    ring ring_;
    buffer_ring buffers_;
    lender lender_;  // of spare blocks; of everything where the kernel has no buffer rings
    entry_style style_;
    unique_fd wake_fd_;
    std::atomic<bool> wake_pending_{false};
    bool wake_armed_ = false;

    op_list backlog_;   // wait for a free submission entry
    op_list cancels_;   // their cancellation waits for one
    op_list starved_;   // wait for a lent buffer
    op_list finished_;  // ended here; complete in the next poll

    std::uint64_t submitted_ = 0;
    std::uint64_t completed_ = 0;  // for the last time
    std::uint64_t starvations_ = 0;
    std::uint64_t overflows_ = 0;
    std::optional<early_end> early_end_;
};

static_assert(driver_contract<uring_driver>);

}  // namespace lariat::detail

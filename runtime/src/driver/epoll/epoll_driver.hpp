#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/list.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include "base/fork_guard.hpp"
#include "driver/contract.hpp"
#include "driver/epoll/attempt.hpp"
#include "driver/epoll/descriptor_table.hpp"
#include "driver/lender.hpp"
#include "driver/op_list.hpp"

#include <array>
#include <atomic>
#include <cstdint>

#include <sys/epoll.h>

namespace lariat::detail {

/// The driver on epoll, and on nothing newer than Linux 4.5 (it is faster to the nanosecond
/// on 5.11).
///
/// An op is tried at once; where the call would block, the op waits in its descriptor's row and is
/// tried again when an edge comes. A descriptor is added once, for life, edge-triggered: the driver
/// keeps account of what is left to read, so that neither a second epoll_ctl nor a read that finds
/// nothing is paid for a request.
///
/// Decisions
///   Writing is watched from the first write that would block on, by one epoll_ctl more: most
///   descriptors never pay it, and none wakes the loop just to say that its buffer is empty.
///   A short read proves a TCP socket empty (epoll(7), question 9), unless its end, an error or
///   urgent data was reported; on any other descriptor (datagrams, Unix sockets that carry
///   descriptors, packet pipes) only EAGAIN proves it.
///   `poll` ops are for descriptors of foreign code, which closes them without a word: they arm
///   anew
///   for every wait, by one epoll_ctl that also tells whether the number still means the same file.
///
/// Order        per descriptor and side first come, first served; descriptors as epoll tells of
///              them
/// Threads      one; wake() from any, and from signal handlers
/// Allocation   table blocks (64 bytes a descriptor number) and lent buffers, kept; none per op but
///              spare blocks (spare_blocks.hpp), while every buffer is held
/// Limits       256 KiB or 64 ops a descriptor, 512 events, 128 KiB lent, a turn; then the next one
///              has its turn
class epoll_driver {
 public:
    /// Errors: std::system_error when the kernel refuses a descriptor.
    explicit epoll_driver(const driver_options& options);
    ~epoll_driver();
    epoll_driver(const epoll_driver&) = delete;
    epoll_driver& operator=(const epoll_driver&) = delete;

    // The contract: driver/contract.hpp.
    [[nodiscard]] bool submit(op& o) noexcept;
    void cancel(op& o) noexcept;
    void poll(time_point until);
    void wake() noexcept;
    void give_back(std::uint32_t lent) noexcept;
    [[nodiscard]] driver_stats stats() const noexcept;
    [[nodiscard]] time_point now() const noexcept { return clock::now(); }

 private:
    enum place : std::uint8_t { nowhere, in_readers, in_writers, in_pollers, in_finished };

    [[nodiscard]] bool submit_single(op& o) noexcept;
    [[nodiscard]] bool submit_multishot(op& o) noexcept;
    [[nodiscard]] bool submit_poll(op& o) noexcept;
    [[nodiscard]] bool submit_close(op& o) noexcept;
    [[nodiscard]] bool submit_file(op& o) noexcept;
    [[nodiscard]] bool finish_now(op& o, int result) noexcept;
    void park(op& o, descriptor& d, op_list& line, place where) noexcept;
    [[nodiscard]] static op_list& line_of(descriptor& d, place where) noexcept;

    [[nodiscard]] int prepare(op& o, bool& regular_file) noexcept;
    [[nodiscard]] int watch(descriptor& d, bool writing) noexcept;
    [[nodiscard]] int watch_once(descriptor& d, std::uint32_t events) noexcept;
    [[nodiscard]] int control(descriptor& d, std::uint32_t events) noexcept;
    void forget(descriptor& d) noexcept;
    void learn_kind(descriptor& d) noexcept;
    void note_read(descriptor& d, std::uint32_t asked, int got) noexcept;

    [[nodiscard]] int wait(time_point until);
    [[nodiscard]] int wait_once(time_point until) noexcept;
    void take_event(const epoll_event& event) noexcept;
    void run(descriptor& d) noexcept;
    void run_readers(descriptor& d) noexcept;
    void run_writers(descriptor& d) noexcept;
    void run_pollers(descriptor& d) noexcept;
    /// What a poll waits for and has: events, 0, or a negated errno.
    [[nodiscard]] static std::int32_t readiness(const op& o) noexcept;
    [[nodiscard]] bool receive(descriptor& d, op& o, std::uint32_t& budget) noexcept;
    void accept_next(descriptor& d, op& o) noexcept;
    void try_front(descriptor& d, op_list& line) noexcept;
    [[nodiscard]] int attempt(op& o) noexcept;
    void hand_over(op& o, int result) noexcept;
    void finish(op_list& line, op& o, int result) noexcept;
    void deliver_finished() noexcept;

    fork_guard process_;
    unique_fd epoll_;
    unique_fd wake_fd_;
    bool has_pwait2_ = true;  // 5.11
    std::atomic<bool> wake_asked_{false};
    descriptor_table table_;
    lender lender_;
    list<descriptor> ready_;      // more to do than their last turn allowed, or not tried yet
    list<descriptor> unserved_;   // in this turn; on `ready_` when it ends
    list<descriptor> starved_;    // a receive waits for a lent buffer
    std::uint32_t lendable_ = 0;  // bytes, in what is left of this turn
    bool happened_ = false;       // a completion or a wake, in this poll
    op_list finished_;            // ended outside poll(); delivered by the next one
    driver_stats stats_;
    std::array<epoll_event, 512> events_;
};

static_assert(driver_contract<epoll_driver>);

}  // namespace lariat::detail

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include "driver/contract.hpp"
#include "driver/lender.hpp"
#include "driver/op_list.hpp"
#include "driver/random.hpp"
#include "driver/sim/sim_network.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace lariat::detail {

/// The driver of tests: a virtual clock, stream sockets in memory, and every freedom that the
/// contract leaves taken by a seeded coin, so that one seed is one run and many seeds are many
/// orders.
///
/// Left to the coin: whether submit() finishes what could be finished at once; in which order those
/// complete that are ready at the same time, also of those that wait on one side of a descriptor;
/// and whether a cancelled op that could have completed did.
///
/// Time         moves only inside poll(), when nothing can complete before: to the next arrival in
///              the network, or to `until`. now() starts at one hour.
/// Descriptors  the network's; any other is -EBADF
/// Threads      one; wake() from any, and from signal handlers
class sim_driver {
 public:
    explicit sim_driver(const driver_options& options);
    ~sim_driver();
    sim_driver(const sim_driver&) = delete;
    sim_driver& operator=(const sim_driver&) = delete;

    // The contract: driver/contract.hpp.
    [[nodiscard]] bool submit(op& o) noexcept;
    void cancel(op& o) noexcept;
    void poll(time_point until);
    void wake() noexcept;
    void give_back(std::uint32_t lent) noexcept;
    [[nodiscard]] driver_stats stats() const noexcept;
    [[nodiscard]] time_point now() const noexcept { return network_.now(); }

    /// The sockets, and the world at their other ends.
    [[nodiscard]] sim_network& network() noexcept { return network_; }
    /// The last poll(forever) found that nothing can ever happen, and returned at once.
    [[nodiscard]] bool stuck() const noexcept { return stuck_; }
    /// On: threads work outside and will call wake(); poll(forever) then waits for them instead of
    /// being stuck.
    void expect_wakes(bool on) noexcept { expects_wakes_ = on; }

 private:
    enum place : std::uint8_t { nowhere, in_readers, in_writers, in_pollers, in_finished };
    static constexpr std::uint8_t cancel_asked = 0x80;  // beside the place

    struct row {
        op_list readers;
        op_list writers;
        op_list pollers;
    };
    struct candidate {
        op* finished = nullptr;  // else: the row
        int fd = -1;
    };

    [[nodiscard]] static place place_of(const op& o) noexcept;
    [[nodiscard]] row* find(int fd) noexcept;
    [[nodiscard]] op_list& line_of(const op& o, place where) noexcept;
    [[nodiscard]] bool finish_now(op& o, int result) noexcept;
    void finish_later(op& o, int result) noexcept;
    [[nodiscard]] int attempt(const op& o) noexcept;
    [[nodiscard]] int attempt_msg(const op& o) noexcept;
    [[nodiscard]] bool turn();
    void try_line(int fd, place where);
    [[nodiscard]] int try_multishot(op& o);
    void complete_more(op& o, int result) noexcept;
    void finish(op_list& line, op& o, int result) noexcept;
    void touch(int fd) { touched_.push_back(fd); }
    [[nodiscard]] bool woken() noexcept;
    void wait_for_wake() noexcept;

    sim_network network_;
    lender lender_;
    random_source random_;
    unique_fd wake_fd_;
    std::atomic<bool> wake_asked_{false};
    bool expects_wakes_ = false;
    bool stuck_ = false;
    bool happened_ = false;  // a completion, in this turn
    std::vector<row> rows_;  // by descriptor number
    std::vector<int> touched_;
    std::vector<int> starved_;
    op_list finished_;
    driver_stats stats_;
};

static_assert(driver_contract<sim_driver>);

}  // namespace lariat::detail

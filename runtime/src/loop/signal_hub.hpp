#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#include <signal.h>

namespace lariat::detail {

class driver;

[[nodiscard]] constexpr std::uint64_t signal_bit(int number) noexcept {
    return std::uint64_t{1} << (number - 1);
}

/// A loop's place in the process's table of who wants which signal. Made on demand, used again by
/// other loops, never freed: the handler may look at it at any time.
///
/// States       free (wakes null) -> taken (take_seat) -> free (leave_seat)
/// Invariant    a driver in `wakes` stays alive while `visitors` is not 0
struct signal_seat {
    std::atomic<driver*> wakes{nullptr};
    std::atomic<std::uint32_t> visitors{0};
    std::atomic<std::uint64_t> wanted{0};
    std::atomic<std::uint64_t> arrived{0};
    std::atomic<std::uint32_t> interrupts{0};  ///< SIGINTs that came as the run's own business
    std::atomic<bool> news{false};             ///< what the loop looks at each turn
    bool taken = false;                        ///< under the hub's mutex
    signal_seat* next = nullptr;               ///< fixed before the seat is published
};

/// Who handles signals in this process: one handler, the loops it tells, and what was there before.
///
/// The first interest in a signal installs the handler, the last one gone puts back what had been
/// there, unless somebody else has changed it since. A forked child begins with nobody interested
/// and everything put back.
///
/// Threads      any; `on_signal` interrupts any of them, even inside the hub
/// Allocation   a seat when more loops listen at once than ever before
class signal_hub {
 public:
    [[nodiscard]] static signal_hub& instance() noexcept;

    constexpr signal_hub() noexcept = default;

    [[nodiscard]] signal_seat& take_seat(driver& wakes);
    /// After it no handler uses the driver any more.
    void leave_seat(signal_seat& seat) noexcept;

    /// The seat now wants these and no others. Errors: std::system_error; then nothing has changed.
    void want(signal_seat& seat, std::uint64_t wanted);

    /// Lets a SIGINT that nobody wants interrupt the run of this seat: the first is noted there, a
    /// second one ends the program. False, and nothing changed, unless this is the main thread and
    /// SIGINT would end the program.
    [[nodiscard]] bool begin_interruptible(signal_seat& seat) noexcept;
    void end_interruptible() noexcept;

    /// Whether the signal, Lariat aside, has its default or no effect.
    [[nodiscard]] bool is_unhandled(int number) noexcept;

    /// Ends the process by the signal's default action. Returns only if this thread blocks it.
    static void die_of(int number) noexcept;

 private:
    static void on_signal(int number) noexcept;
    static void lock_for_fork() noexcept;
    static void unlock_in_parent() noexcept;
    static void reset_in_child() noexcept;

    [[nodiscard]] bool tell_seats(int number) noexcept;
    void interrupt() noexcept;
    // Under the mutex:
    [[nodiscard]] struct sigaction disposition_beneath(int number) const noexcept;
    [[nodiscard]] int hold(int number) noexcept;  // 0 or errno
    void release(int number) noexcept;
    void put_back(int number) noexcept;

    std::mutex mutex_;
    bool fork_handlers_ = false;
    std::atomic<signal_seat*> seats_{nullptr};
    std::atomic<signal_seat*> interruptible_{nullptr};
    std::array<std::uint32_t, 65> holders_{};
    std::array<struct sigaction, 65> previous_{};
};

}  // namespace lariat::detail

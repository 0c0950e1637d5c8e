#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/list.hpp>
#include <lariat/task/promise.hpp>

#include <cstdint>

namespace lariat::detail {

class signal_desk;
class signal_wait;

/// The running loop's interest in some signals: the ground of `signals` and `signal_watch`. Bit n-1
/// of a set stands for signal n.
///
/// Order        of several that came, the lowest number first
/// Threads      the loop's own; the signal itself may reach any thread of the process
/// Lifetime     outlives its wait; may outlive the loop, and then hears nothing more
/// Allocation   none here; the first of a loop takes a place in the process's table
/// Limits       a number that comes again before it was taken is given once, as the kernel does it
///              (signal(7), "Queueing and delivery")
class LARIAT_EXPORT signal_subscription : public list_link {
 public:
    /// From here on none of them is missed. Pre: a loop runs on this thread. Errors:
    /// std::system_error when the kernel refuses a handler.
    explicit signal_subscription(std::uint64_t wanted);
    signal_subscription(const signal_subscription&) = delete;
    signal_subscription& operator=(const signal_subscription&) = delete;
    ~signal_subscription();

    [[nodiscard]] std::uint64_t wanted() const noexcept { return wanted_; }
    /// The lowest number that came and was not taken; 0 if there is none.
    [[nodiscard]] int take() noexcept;
    /// Hears nothing more. Whoever waits, now or later, gets what came before, and then 0.
    void end() noexcept;

 private:
    friend class signal_desk;
    friend class signal_wait;

    void receive(std::uint64_t arrived) noexcept;

    std::uint64_t wanted_;
    std::uint64_t pending_ = 0;
    bool ended_ = false;
    signal_wait* waiting_ = nullptr;
    signal_desk* desk_ = nullptr;  ///< null once its loop has closed
};

/// Waits for a signal of a subscription. A signal that came before the cut is delivered.
class LARIAT_EXPORT signal_wait : public wait_point, public single_step {
 public:
    explicit signal_wait(signal_subscription& from) noexcept
        : wait_point(kind_of_wait), from_(&from) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    [[nodiscard]] int await_resume() const {
        throw_if_cut();
        return number_;
    }

 private:
    friend class signal_subscription;

    [[nodiscard]] bool must_wait() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    signal_subscription* from_;
    int number_ = 0;
};

}  // namespace lariat::detail

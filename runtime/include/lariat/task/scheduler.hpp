#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/task/timer_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>

namespace lariat {

struct party;
struct waiter;

/// Something that can be put on the ready queue: a party, or a call that was asked for.
struct runnable {
    using action = void (*)(runnable&) noexcept;

    action run = nullptr;
    union {
        runnable* next_ready = nullptr;  ///< on the ready queue
        waiter* parked;                  ///< a party's, while it is parked
    };
};

/// The FIFO of what may run. Intrusive; an item is on it at most once.
class ready_queue {
 public:
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

    void push(runnable& item) noexcept {
        item.next_ready = nullptr;
        if (head_ == nullptr) {
            head_ = &item;
        } else {
            tail_->next_ready = &item;
        }
        tail_ = &item;
    }

    /// Pre: not empty.
    runnable& pop() noexcept {
        runnable& item = *head_;
        head_ = item.next_ready;
        return item;
    }

 private:
    runnable* head_ = nullptr;
    runnable* tail_ = nullptr;
};

/// What a task sees of its loop: post, arm and disarm a timer, now. The loop owns it; no call here
/// enters the kernel.
///
/// Threads      the loop's own
struct scheduler {
    /// How many awaits that are ready a party may pass in one leg before it lets others run.
    static constexpr std::uint32_t leg_budget = 256;
    /// How many legs may run inside of each other, on one stack (group_core::start_within).
    static constexpr std::uint32_t most_nested = 32;

    ready_queue ready;
    timer_queue timers;
    time_point turn_time = no_wait;     ///< the clock as the last turn with timers pending read it
    party* current = nullptr;           ///< whose leg runs now, the innermost
    std::uint32_t budget = leg_budget;  ///< what is left of it in the leg that runs now
    bool debug = false;                 ///< checks that cost; LARIAT_DEBUG=1
    struct group_core* root = nullptr;  ///< owns what `spawn` starts
    std::uint32_t nested = 0;           ///< legs that run inside of another
    std::uint32_t dice = 1;             ///< random numbers that keep a select fair

    /// Reads another clock than CLOCK_MONOTONIC; null where it is the real one.
    time_point (*virtual_now)(const scheduler&) noexcept = nullptr;
    /// The loop's report hook, for an exception that reaches no caller; a fatal one ends the run.
    /// The party is null for a call that was asked for (call_soon, post).
    void (*report)(scheduler&, const party*, const std::exception_ptr&,
                   bool fatal) noexcept = nullptr;

    /// One ready await passed: false when the leg's budget is used up.
    [[nodiscard]] bool spend() noexcept { return --budget != 0; }

    /// A fresh reading: a deadline computed from an old one would come early.
    [[nodiscard]] time_point now() const noexcept {
        return virtual_now != nullptr ? virtual_now(*this) : clock::now();
    }
};

/// The scheduler of the loop that runs on this thread; null outside of one.
extern LARIAT_EXPORT constinit thread_local scheduler* this_scheduler;

namespace detail {
[[noreturn]] LARIAT_EXPORT void no_scheduler(const char* what) noexcept;

/// Errors: stops with the rule when no loop runs on this thread.
[[nodiscard]] inline scheduler& required_scheduler(const char* what) noexcept {
    if (this_scheduler == nullptr) [[unlikely]]
        no_scheduler(what);
    return *this_scheduler;
}
}  // namespace detail

}  // namespace lariat

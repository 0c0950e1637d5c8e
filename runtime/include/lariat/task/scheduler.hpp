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

struct runnable;

struct ready_link;

/// What the ready queue has hold of: a party, or a call that was asked for. Which of them is told
/// by the lowest bit, so that a party, of which there may be a million, needs no word for it.
class ready_item {
 public:
    ready_item() noexcept = default;  // trivial, for the union below
    explicit ready_item(party& task) noexcept;
    explicit ready_item(runnable& call) noexcept;

    [[nodiscard]] bool is_none() const noexcept { return bits_ == 0; }
    [[nodiscard]] bool is_call() const noexcept { return (bits_ & call_mark) != 0; }
    /// Where its link lies; null if is_none().
    [[nodiscard]] const void* address() const noexcept {
        return reinterpret_cast<const void*>(bits_ & ~call_mark);
    }
    /// Pre: not is_none().
    [[nodiscard]] ready_link& link() const noexcept {
        return *reinterpret_cast<ready_link*>(bits_ & ~call_mark);
    }
    /// Pre: is_call().
    [[nodiscard]] runnable& call() const noexcept;
    /// Pre: not is_call().
    [[nodiscard]] party& task() const noexcept;

 private:
    static constexpr std::uintptr_t call_mark = 1;

    ready_item(const ready_link& link, std::uintptr_t mark) noexcept
        : bits_(reinterpret_cast<std::uintptr_t>(&link) | mark) {}

    std::uintptr_t bits_;
};

/// What both begin with.
struct ready_link {
    union {
        ready_item next_ready{};  ///< on the ready queue
        waiter* parked;           ///< a party's, while it is parked
    };
};

/// A call that can be put on the ready queue.
struct runnable : ready_link {
    using action = void (*)(runnable&) noexcept;

    action run = nullptr;
};

inline ready_item::ready_item(runnable& call) noexcept : ready_item(call, call_mark) {}
inline runnable& ready_item::call() const noexcept { return static_cast<runnable&>(link()); }

/// The FIFO of what may run. Intrusive; an item is on it at most once.
class ready_queue {
 public:
    [[nodiscard]] bool empty() const noexcept { return head_.is_none(); }

    void push(party& task) noexcept;
    void push(runnable& call) noexcept { append(ready_item(call), call); }

    /// The one that is taken next; none where it is empty.
    [[nodiscard]] ready_item front() const noexcept { return head_; }
    /// Pre: not empty.
    ready_item pop() noexcept {
        const ready_item item = head_;
        head_ = item.link().next_ready;
        return item;
    }

 private:
    void append(ready_item item, ready_link& link) noexcept {
        link.next_ready = {};
        (head_.is_none() ? head_ : tail_->next_ready) = item;
        tail_ = &link;
    }

    ready_item head_{};
    ready_link* tail_ = nullptr;
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

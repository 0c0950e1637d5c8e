#pragma once

#include <lariat/base/list.hpp>
#include <lariat/loop/signal_subscription.hpp>

#include "base/fork_guard.hpp"
#include "loop/signal_hub.hpp"

#include <cstdint>
#include <utility>

namespace lariat::detail {

/// Where a loop keeps its subscriptions, and hands out to them what the handler has noted.
///
/// Threads      the loop's own
/// Lifetime     closed before its driver goes
class signal_desk {
 public:
    explicit signal_desk(driver& wakes) : driver_(&wakes) {}
    signal_desk(const signal_desk&) = delete;
    signal_desk& operator=(const signal_desk&) = delete;
    ~signal_desk() { close(); }

    /// Asked each turn, and cheap.
    [[nodiscard]] bool has_news() const noexcept {
        return seat_ != nullptr && (run_asked_ || seat_->news.load(std::memory_order_relaxed));
    }
    /// Wakes every subscriber of what has come.
    void hand_out() noexcept;

    /// Errors: std::system_error; then it was not added.
    void add(signal_subscription& entry);
    void remove(signal_subscription& entry) noexcept;

    /// What the run itself takes, while it lasts: SIGINT if `interruptible` (see the hub), SIGQUIT
    /// to dump tasks if `dumps` and nobody else handles it.
    void begin_run(bool interruptible, bool dumps);
    void end_run() noexcept;
    /// What of that has been noted and not taken yet. An interrupt is given once a run.
    struct run_news {
        bool interrupt = false;
        bool dump = false;
    };
    [[nodiscard]] run_news take_run_news() noexcept;

    /// Its subscriptions hear nothing more.
    void close() noexcept;

 private:
    void need_seat();
    [[nodiscard]] std::uint64_t union_of_wanted() noexcept;

    driver* driver_;
    signal_seat* seat_ = nullptr;
    fork_guard guard_;
    list<signal_subscription> entries_;
    std::uint64_t own_ = 0;  ///< what the run takes itself, beside SIGINT
    bool interruptible_ = false;
    bool interrupt_taken_ = false;
    bool dump_asked_ = false;
    bool run_asked_ = false;  ///< a cut may have handed out before the loop came to look
};

}  // namespace lariat::detail

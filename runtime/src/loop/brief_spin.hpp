#pragma once

#include <lariat/base/clock.hpp>

#include <algorithm>
#include <chrono>

namespace lariat::detail {

/// Whether a loop that waits for another process's word looks for it awake, before it sleeps: yes,
/// as long as the last such waits were mostly short, and for as long as this one is. To wake a
/// sleeping core takes longer than most short calls do, and where both stay awake none is woken.
///
/// Cost         a wait that lasts longer than `longest` costs so much of the core in vain; after
///              three of them in a row there are no more, until waits have become short again
class brief_spin {
 public:
    /// Longer than it takes to wake both sides once, or two that sleep would never begin.
    static constexpr duration longest = std::chrono::microseconds(200);

    /// The loop has nothing to do: should it look again, or sleep? `progressed`: a wait has ended
    /// or begun since it last asked.
    [[nodiscard]] bool looks_again(time_point now, bool progressed) noexcept {
        if (progressed) {
            note(news_ - idle_);
            idle_ = now;
        }
        news_ = now;
        return looks() && now - idle_ < longest;
    }
    /// It would look at all for what is waited for from now on.
    [[nodiscard]] bool looks() const noexcept { return usual_ < longest; }
    /// It slept, and has news.
    void woke(time_point now) noexcept { news_ = now; }

 private:
    void note(duration wait) noexcept { usual_ = (3 * usual_ + std::min(wait, 2 * longest)) / 4; }

    time_point idle_{};
    time_point news_{};
    duration usual_{};
};

}  // namespace lariat::detail

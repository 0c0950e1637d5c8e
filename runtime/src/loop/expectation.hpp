#pragma once

namespace lariat {
struct scheduler;
}

namespace lariat::detail {

/// Says to a loop whether an answer is under way to it, and that one came, or was asked for; see
/// brief_spin.
///
/// Threads      the loop's
/// Lifetime     its loop outlives the last set(); not set when it is destroyed
class expectation {
 public:
    void set(scheduler& home, bool now) noexcept;

 private:
    bool set_ = false;
};

}  // namespace lariat::detail

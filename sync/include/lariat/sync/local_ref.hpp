#pragma once

#include <cstddef>
#include <utility>

namespace lariat::detail {

/// What is shared through local_ref derives from this.
struct locally_shared {
    std::size_t refs = 0;
};

/// One of several references to a state that objects of one loop share; the last to go deletes it.
/// As std::shared_ptr, without its atomics and its second block.
template <class State>
class local_ref {
 public:
    explicit local_ref(State* shared) noexcept : state_(shared) { ++state_->refs; }
    local_ref(const local_ref& other) noexcept : state_(other.state_) {
        if (state_ != nullptr) ++state_->refs;
    }
    local_ref(local_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    local_ref& operator=(local_ref other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~local_ref() {
        if (state_ != nullptr && --state_->refs == 0) delete state_;
    }

    /// False once it was moved from.
    [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
    State& operator*() const noexcept { return *state_; }
    State* operator->() const noexcept { return state_; }

 private:
    State* state_;
};

}  // namespace lariat::detail

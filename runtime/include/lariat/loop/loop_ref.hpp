#pragma once

#include <lariat/loop/loop.hpp>
#include <lariat/loop/mailbox.hpp>

#include <memory>
#include <utility>

namespace lariat {

/// Names a loop, for whoever may outlive it: other threads, other loops, records of who to tell.
///
/// Threads      any; copies are independent
/// Lifetime     free of the loop's: once that has closed, it is asked in vain
/// Allocation   none
class loop_ref {
 public:
    /// Pre: the loop lives. On its own thread: loop_ref(loop::current()).
    explicit loop_ref(const loop& which) noexcept : box_(which.box()) {}

    /// Calls fn() on the loop's thread. Returns false once the loop has closed; see loop::post.
    template <class Fn>
    [[nodiscard("false: the loop has closed and will not call it")]] bool post(Fn&& fn) const {
        return detail::post_to(*box(), std::forward<Fn>(fn));
    }

    /// Whether both name one loop.
    [[nodiscard]] bool operator==(const loop_ref& other) const noexcept = default;

    /// Library use.
    [[nodiscard]] const std::shared_ptr<mailbox>& box() const noexcept {
        detail::require(box_ != nullptr, "this loop_ref was moved from");
        return box_;
    }

 private:
    std::shared_ptr<mailbox> box_;
};

}  // namespace lariat

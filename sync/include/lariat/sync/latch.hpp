#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/sync/line_wait.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>

namespace lariat {

/// Counts down once to zero, and then lets everybody through for ever.
///
/// Order        those who waited go on in the order in which they came
/// Threads      one loop
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none
class latch {
 public:
    class awaiter;
    class arrive_awaiter;

    explicit latch(std::size_t count) noexcept : left_(count) {}

    /// Wakes all who wait when nothing is left to count; runs nobody. Pre: `n` is not more than is
    /// left.
    void count_down(std::size_t n = 1) noexcept {
        detail::require(n <= left_, "a latch was counted down further than to zero");
        left_ -= n;
        if (left_ == 0) line_.wake_all();
    }
    /// Suspends until it has come to zero, not at all if it has · Cancel: leaves the line, O(1).
    [[nodiscard]] awaiter wait() noexcept;
    /// count_down(), then wait(): two steps, so one who is cancelled while it waits has arrived.
    [[nodiscard]] arrive_awaiter arrive_and_wait() noexcept;
    /// Whether it has come to zero.
    [[nodiscard]] bool try_wait() const noexcept { return left_ == 0; }

 private:
    wait_queue line_;
    std::size_t left_;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] latch::awaiter
    : public detail::line_wait<latch::awaiter> {
 public:
    static constexpr wait_kind kind_of_wait{"a latch to come to zero", &wait_queue::leave};

    explicit awaiter(latch& which) noexcept : latch_(&which) {}

    [[nodiscard]] bool attempt() const noexcept { return latch_->left_ == 0; }
    void join_line() noexcept { latch_->line_.add(*this); }
    void result() const noexcept {}

 protected:
    latch* latch_;
};

class [[nodiscard(
    "arrive_and_wait() does nothing until it is awaited: co_await it")]] latch::arrive_awaiter
    : public awaiter {
 public:
    using awaiter::awaiter;

    [[nodiscard]] bool await_ready() noexcept {
        latch_->count_down();
        return awaiter::await_ready();
    }
};

inline latch::awaiter latch::wait() noexcept { return awaiter(*this); }
inline latch::arrive_awaiter latch::arrive_and_wait() noexcept { return arrive_awaiter(*this); }

}  // namespace lariat

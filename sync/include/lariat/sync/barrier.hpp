#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/config.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <utility>

namespace lariat {

/// A place where tasks wait for each other: when as many as it is for have come, all go on, and it
/// begins anew.
///
///     lariat::barrier all_ready(3);
///     std::size_t index = co_await all_ready.wait();   // 0, 1 and 2: the last to come has 2
///
/// Order        they go on in the order in which they came; who comes after them belongs to the
///              next round
/// Threads      one loop
/// Lifetime     outlives those who wait (asserted)
/// Allocation   none by its verbs
///
/// One who is cancelled, or whose time runs out, leaves, and another may come in its place: as with
/// asyncio's barrier, and unlike threading's, the others are not disturbed. To give up the whole
/// round, abort().
class LARIAT_EXPORT barrier {
 public:
    class awaiter;

    /// `action`, if there is one, is called by the last to come, before the others go on. If it
    /// throws, the barrier is broken: the last gets what was thrown, the others broken_barrier. It
    /// does not use the barrier itself. Pre: at least one.
    explicit barrier(std::size_t parties, std::function<void()> action = nullptr) noexcept
        : parties_(parties), action_(std::move(action)) {
        detail::require(parties != 0, "a barrier is for one task at least");
    }

    /// Suspends until as many as it is for have come; the last to come does not suspend · Returns
    /// the index of this arrival in its round, from 0 · Errors: broken_barrier (through nothrow:
    /// errc::broken_barrier) if it is aborted, or is reset meanwhile; what the action throws ·
    /// Cancel: leaves, O(1), and has not come; those behind move up.
    [[nodiscard]] awaiter wait() noexcept;

    /// Breaks it: all who wait and all who come get broken_barrier, until reset(). Runs nobody.
    void abort() noexcept;
    /// Makes it as new; those who wait get broken_barrier. Runs nobody.
    void reset() noexcept;

    [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    [[nodiscard]] bool broken() const noexcept { return broken_; }

 private:
    [[nodiscard]] std::exception_ptr act() const noexcept;
    void open() noexcept;
    void break_round() noexcept;

    wait_queue line_;
    std::size_t parties_;
    std::size_t waiting_ = 0;
    std::function<void()> action_;
    bool broken_ = false;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] barrier::awaiter
    : public line_point,
      public single_step {
 public:
    explicit awaiter(barrier& which) noexcept : line_point(kind_of_wait), barrier_(&which) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!arrive()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    std::size_t await_resume() const { return finish_nothrow().value("barrier"); }
    /// For nothrow().
    result<std::size_t> finish_nothrow() const {
        throw_if_cut();
        if (failure_) [[unlikely]]
            std::rethrow_exception(failure_);
        if (broken_) return make_error_code(errc::broken_barrier);
        return index_;
    }

 private:
    friend class barrier;

    /// False if there is nothing to wait for.
    [[nodiscard]] bool arrive() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    barrier* barrier_;
    std::size_t index_ = 0;
    std::exception_ptr failure_;  // of the action, if this one called it
    bool broken_ = false;
};

inline barrier::awaiter barrier::wait() noexcept { return awaiter(*this); }

}  // namespace lariat

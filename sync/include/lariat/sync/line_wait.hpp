#pragma once

#include <lariat/base/list.hpp>
#include <lariat/task/promise.hpp>

#include <coroutine>

namespace lariat::detail {

/// An awaiter that takes what can be had at once and else waits in a line for it: derive as `class
/// awaiter : public line_wait<awaiter>` and write
///
///     static constexpr wait_kind kind_of_wait{...};
///     bool attempt();          // takes it now; false: it would have to wait, and nothing changed
///     void join_line() noexcept;
///     auto result();           // of an attempt or a wait that succeeded
///
/// Lifetime     may be moved, and awaited again, while nobody awaits it
/// Allocation   none
/// Cost         what is there is taken without a suspension, and a waiter's members are not set
///              for it: two thirds of what the way of the others costs (sync/README.md)
template <class Wait>
class line_wait : public wait_point, public single_step {
 public:
    line_wait() noexcept : wait_point(set_later()) {}
    line_wait(line_wait&&) noexcept : wait_point(set_later()) {}

    [[nodiscard, gnu::always_inline]] bool await_ready() {
        if (!self().attempt()) return false;
        who = nullptr;
        return this_scheduler->current->spend();
    }
    /// Pre: await_ready() has just said false: it has to wait, or to let others run first.
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = *frame.promise().who;
        if (p.budget == 0) [[unlikely]]
            return p.requeue(frame);
        kind = &Wait::kind_of_wait;
        self().join_line();
        park(p, frame);
    }
    [[gnu::always_inline]] auto await_resume() {
        throw_if_cut();
        return self().result();
    }

    /// False if it did not suspend.
    [[nodiscard]] bool was_cut() const noexcept { return who != nullptr && waiter::was_cut(); }
    void throw_if_cut() const {
        if (was_cut()) [[unlikely]]
            throw_cancelled();
    }

 private:
    [[nodiscard]] Wait& self() noexcept { return static_cast<Wait&>(*this); }
};

}  // namespace lariat::detail

#pragma once

#include <lariat/base/list.hpp>
#include <lariat/task/promise.hpp>

#include <coroutine>

namespace lariat::detail {

/// An awaiter that takes what can be had at once and else waits in a line for it: derive as `class
/// awaiter : public line_wait<awaiter>` and write
///
///     static constexpr wait_kind kind_of_wait{...};  // or give the constructor a line that has it
///     bool attempt();          // takes it now; false: it would have to wait, and nothing changed
///     void join_line() noexcept;
///     auto result();           // of an attempt or a wait that succeeded
///
/// Lifetime     may be moved, and awaited again, while nobody awaits it (asserted)
/// Allocation   none
/// Cost         what is there is taken without a suspension, and of a waiter's members none but
///              the mark of one that waits, and its line if it keeps that, is set for it
///              (sync/README.md)
template <class Wait>
class line_wait : public line_point, public single_step {
 public:
    line_wait() noexcept : line_point(set_later()) {
        static_assert(!keeps_its_line, "a wait has a kind_of_wait, or a line that has one");
        who = nullptr;
    }
    /// For a line whose waits are of one kind.
    explicit line_wait(wait_line& line) noexcept : line_point(line, set_later()) {
        static_assert(keeps_its_line, "a wait has a kind_of_wait, or a line that has one");
    }
    line_wait(line_wait&& other) noexcept : line_point(set_later()) {
        other.require_unused();
        who = nullptr;
        if constexpr (keeps_its_line) this->set_line(other.line());
    }

    [[nodiscard, gnu::always_inline]] bool await_ready() {
        require_unused();
        if (!self().attempt()) return false;
        return this_scheduler->spend();
    }
    /// Pre: await_ready() has just said false: it has to wait, or to let others run first.
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if constexpr (!keeps_its_line) this->set_kind(Wait::kind_of_wait);
        if (this_scheduler->budget == 0) [[unlikely]] {
            who = &p;
            p.reason = wake_reason::done;
            return p.requeue(frame);
        }
        self().join_line();
        park(p, frame);
    }
    [[gnu::always_inline]] auto await_resume() {
        throw_if_cut();
        return self().result();
    }

    /// For the task that goes on; the wait is over then, and says `true` once. False if it did not
    /// suspend.
    [[nodiscard]] bool was_cut() noexcept {
        if (who == nullptr) return false;
        const bool cut = waiter::was_cut();
        who = nullptr;
        return cut;
    }
    void throw_if_cut() {
        if (was_cut()) [[unlikely]]
            throw_cancelled();
    }

 protected:
    static constexpr bool keeps_its_line = !requires { Wait::kind_of_wait; };

    /// From its place in a line until its task goes on, an awaiter is somebody's, and one wait.
    void require_unused() const noexcept {
        require(who == nullptr,
                "one awaiter is awaited by one task at a time, as one arm of a select; call the "
                "verb again for another: queue.get()");
    }

 private:
    [[nodiscard]] Wait& self() noexcept { return static_cast<Wait&>(*this); }
};

}  // namespace lariat::detail

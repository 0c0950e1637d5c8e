#pragma once

#include <lariat/sync/line_wait.hpp>
#include <lariat/task/late_arm.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>

namespace lariat::detail {

/// The kind of every waiter that is an arm of a select and has no line that says its kind.
LARIAT_EXPORT extern const wait_kind arm_of_select;

/// Ends the select that `arm` belongs to: all its other arms leave their lines, then it is woken.
LARIAT_EXPORT void grant_arm(waiter& arm) noexcept;
LARIAT_EXPORT extern const late_arm_reports to_the_select;

/// Wakes one who was given what it waited for. A primitive whose waits may be arms of a select
/// wakes through here: nobody can give the same select a second thing.
///
/// Pre: `w` is on no list · Cost: beside wake(), one predicted branch; O(arms) for an arm.
inline void grant(waiter& w) noexcept {
    if (w.is_arm()) [[unlikely]] {
        grant_arm(w);
    } else {
        w.wake();
    }
}

/// The same for the first in a line; false if there is none.
inline bool grant_first(wait_queue& line) noexcept {
    if (line.empty()) return false;
    line_waiter& first = line.front();
    first.unlink();
    grant(first);
    return true;
}
inline void grant_all(wait_queue& line) noexcept {
    while (grant_first(line)) {
    }
}

/// What select asks of an arm, beside being a waiter. Every awaiter below is one.
template <class Arm>
concept prompt_arm = std::derived_from<Arm, waiter> && requires(Arm& arm, party& p) {
    { arm.attempt() } -> std::same_as<bool>;  // takes it now; false: it would have to wait
    arm.enlist(p);                            // waits for it on behalf of a select
    arm.withdraw();                           // waits no longer, if it still does
    arm.result();                             // of an attempt or a wait that succeeded
};

/// An arm that cannot leave its line within a call, as the kernel has it: the waits for objects in
/// shared memory are such. The select goes on when all of them have reported.
template <class Arm>
concept late_arm =
    std::derived_from<Arm, waiter> && requires(Arm& arm, party& p, const late_arm_reports& to) {
        { arm.attempt_as_arm(p) } -> std::same_as<bool>;  // takes it now, or leaves no trace
        { arm.enlist(p, to) } -> std::same_as<bool>;      // false: it is over already
        { arm.withdraw() } -> std::same_as<bool>;         // false: it will report that it has left
        arm.await_resume();                               // of one that is over
    };

template <class Arm>
concept selectable = prompt_arm<Arm> || late_arm<Arm>;

/// An awaiter that can also be an arm of a select: derive from it as `class get_wait : public
/// selectable_wait<get_wait>` and write what line_wait says.
///
/// Lifetime     may be moved, and awaited again, while nobody awaits it
/// Allocation   none
template <class Wait>
class selectable_wait : public line_wait<Wait> {
 public:
    using line_wait<Wait>::line_wait;
    void enlist(party& p) noexcept {
        this->require_unused();
        this->who = &p;
        if constexpr (!selectable_wait::keeps_its_line) this->set_kind(arm_of_select);
        this->set_arm();
        static_cast<Wait&>(*this).join_line();
    }
    void withdraw() noexcept {
        this->unlink();
        this->clear_arm();
        this->who = nullptr;
    }
};

}  // namespace lariat::detail

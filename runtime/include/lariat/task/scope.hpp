#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/list.hpp>

#include <cstddef>
#include <cstdint>

namespace lariat {

struct party;

/// A stretch of one party's work that can be cancelled as a whole. Scopes of a party nest as a
/// stack; the outermost is the party's own, whose parent is the group that owns the party.
///
/// Invariant 1  effective == cancelled || (!shields && parent->effective), while entered; entering
///              and leaving rest on this and the next one
/// Invariant 2  party.cancel_pending == party.scope().effective()
/// Invariant 3  a parked party whose scope became effective has been asked to leave its wait
class LARIAT_EXPORT scope_core {
 public:
    scope_core() noexcept = default;
    scope_core(const scope_core&) = delete;
    scope_core& operator=(const scope_core&) = delete;

    [[nodiscard]] bool is_cancelled() const noexcept { return marks_.cancelled; }
    /// Cancelled here or anywhere around, as far as no shield stands between.
    [[nodiscard]] bool effective() const noexcept { return marks_.effective; }
    [[nodiscard]] scope_core* parent() const noexcept { return parent_; }
    [[nodiscard]] bool is_group() const noexcept { return marks_.is_group; }

 protected:
    ~scope_core() = default;
    /// Everything inside throws `cancelled` from now on, at its present wait and at every further
    /// await. Level-triggered: it is never taken back. Wakes; runs nobody. `owner` is null where it
    /// is not entered.
    ///
    /// Cost: the scopes and parties inside
    void cancel_in(party* owner) noexcept;

    struct marks {
        bool cancelled : 1;
        bool effective : 1;
        bool shields : 1;
        bool is_group : 1;
    };

    scope_core* parent_ = nullptr;
    marks marks_{};

 private:
    friend struct party;
    friend class inner_scope;
    friend struct group_core;

    static void spread(party& p, scope_core& from, struct group_core*& work) noexcept;
};

/// Any scope but a party's own, which knows its party by being a part of it.
class LARIAT_EXPORT inner_scope : public scope_core {
 public:
    inner_scope() noexcept = default;
    /// Leaves the scope if it is still entered: an exception may have passed its end by.
    ~inner_scope() {
        if (owner_ != nullptr) leave();
    }

    /// See cancel_in().
    void cancel() noexcept { cancel_in(owner_); }
    [[nodiscard]] bool entered() const noexcept { return owner_ != nullptr; }

 protected:
    /// Pre: not entered. Becomes the innermost scope of `p`.
    void enter(party& p) noexcept;
    /// Pre: the innermost scope of its party.
    void leave() noexcept;

    friend struct party;

    party* owner_ = nullptr;
    std::uintptr_t own_ = 0;  // of a party's outermost one: its word(); of the others: that, marked
};

/// Of which children's endings a group is told. Most do nothing about those that end well, and
/// then spare themselves a call for each.
enum class told_of : std::uint8_t { all, all_but_values };

/// A scope that owns parties: a task group, a gather, the root of a run.
///
/// Lifetime     outlives its children: its owner waits until `pending` is 0
/// Allocation   none
struct LARIAT_EXPORT group_core : inner_scope {
    /// Called when a child has finished, on the loop and outside of any task; at most once for
    /// each.
    using child_action = void (*)(group_core&, party&) noexcept;

    group_core(child_action on_finished, told_of which) noexcept
        : child_finished(on_finished), told(which) {
        marks_.is_group = true;
    }

    /// Makes `p` a child and ready to run; it inherits the task-locals of the running party.
    void start(party& p) noexcept;
    /// Makes each of `count` parties from `first` on a child, and runs it until it waits, inside
    /// the leg of `starter`, which pays for it from its budget as for a direct await. Where nothing
    /// is left of that, or too many legs run inside of each other: as start().
    ///
    /// Pre: `starter` runs on this thread, and its frame has suspended; the parties are not on the
    /// heap by themselves, and stay in their place when they have finished
    void start_within(party& starter, party* first, std::size_t count) noexcept;

    /// A root has no party of its own; it is entered for as long as the run lasts.
    void open_root() noexcept;
    void cancel_root() noexcept;
    /// Cancels each child by itself: the way to reach those of a group that shields them.
    void cancel_children() noexcept;

    using inner_scope::enter;
    using inner_scope::leave;

    list<party> children;
    std::size_t pending = 0;
    child_action child_finished;
    told_of told;                      ///< for whom that is called
    struct scheduler* home = nullptr;  ///< whose loop the children run on
    struct waiter* waiting = nullptr;  ///< woken when `pending` falls to 0
    bool ended = false;                ///< `waiting` was woken: nobody waits for another child
    bool shields_children = false;     ///< what cancels the owner does not reach the children
    group_core* next_work = nullptr;   ///< the worklist of a cancellation that spreads
};

}  // namespace lariat

#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/list.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/scope.hpp>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace lariat {

struct waiter;
struct local_node;

LARIAT_EXPORT void drop_locals(party& p) noexcept;
LARIAT_EXPORT void inherit_locals(party& child, const party& parent) noexcept;

/// What a waiter waits for, in words and in the way to leave it.
struct wait_kind {
    const char* name;
    /// Ends the wait because its scope was cancelled: takes the waiter out and wakes it with `cut`,
    /// or asks whoever completes it to hurry. Called at most once a wait, never after its wake.
    void (*cut)(waiter&) noexcept;
};

/// Who is told that a party has finished; one at a time. It keeps the party's task-locals
/// meanwhile: the two share a word there (party::word).
struct party_joiner {
    explicit party_joiner(void (*when_finished)(party_joiner&) noexcept) noexcept
        : joined(when_finished) {}
    void (*joined)(party_joiner&) noexcept;
    local_node* locals = nullptr;
};

/// What all waits for it are of one kind for: they keep its address, and not their kind's.
struct wait_line {
    explicit constexpr wait_line(const wait_kind* what) noexcept : kind(what) {}
    const wait_kind* kind;
};

enum class wake_reason : std::uint8_t { done, cut };
enum class party_state : std::uint8_t { fresh, ready, running, parked, finished };
/// Of a party that has finished.
enum class party_outcome : std::uint8_t { value, error, cancelled };

/// What a party has to remember of itself, in bits.
struct party_marks {
    bool cancel_pending : 1;
    bool on_heap : 1;          ///< made by spawn; freed by the last drop_ref
    bool unclaimed_error : 1;  ///< failed while a handle was held that may still ask
    bool gives_nothing : 1;    ///< no result lies in its frame
    party_outcome outcome : 2;
};

/// One line of execution: a task with the tasks that it awaits (or a green thread). It is parked at
/// one waiter at most.
///
/// States       fresh -> ready (start) -> running (loop) -> parked (park) -> ready (wake) ...
///              running -> finished (its outermost frame is done); a cancelled fresh party finishes
///              without having run
struct LARIAT_EXPORT party : ready_link, list_link, scope_core, party_marks {
    // On no list until it enters a group, and nobody takes it out before.
    party() noexcept : list_link(set_later{}), party_marks{} {}
    ~party() {
        if (innermost_ != 0) [[unlikely]]
            drop_locals(*this);
    }
    party(const party&) = delete;
    party& operator=(const party&) = delete;

    /// Marks it parked at `w`, to go on at `leaf_frame`.
    void park(waiter& w, std::coroutine_handle<> leaf_frame) noexcept {
        leaf = leaf_frame;
        parked = &w;
        state = party_state::parked;
    }
    /// Lets the others run first; it stays runnable.
    void requeue(std::coroutine_handle<> leaf_frame) noexcept {
        leaf = leaf_frame;
        state = party_state::ready;
        this_scheduler->ready.push(*this);
    }

    /// Asks it to end: its own scope is cancelled.
    void cancel() noexcept {
        const bool entered = parent_ != nullptr && state != party_state::finished;
        cancel_in(entered ? this : nullptr);
    }
    [[nodiscard]] group_core& owner() const noexcept { return static_cast<group_core&>(*parent_); }
    /// Becomes a child of `group`. `heir_of`: whose task-locals it inherits; null: there are none.
    void enter(group_core& group, const party* heir_of) noexcept {
        parent_ = &group;
        if (group.shields_children || group.marks_.effective || marks_.cancelled) [[unlikely]] {
            marks_.shields = group.shields_children;
            marks_.effective = marks_.cancelled || (!marks_.shields && group.marks_.effective);
            cancel_pending = marks_.effective;
        }
        if (heir_of != nullptr) [[unlikely]]
            inherit_locals(*this, *heir_of);
    }

    /// The innermost: an inner_scope, or this.
    [[nodiscard]] scope_core& scope() noexcept {
        if ((innermost_ & scope_mark) == 0) return *this;
        return scope_at(innermost_);
    }
    [[nodiscard]] const scope_core& scope() const noexcept {
        return const_cast<party&>(*this).scope();
    }
    [[nodiscard]] bool is_innermost(const inner_scope& scope) const noexcept {
        return innermost_ == word_of(scope);
    }
    void push_scope(inner_scope& scope) noexcept {
        scope.own_ = innermost_;
        if ((innermost_ & scope_mark) != 0) {
            const std::uintptr_t outermost = scope_at(innermost_).own_;
            if ((outermost & scope_mark) != 0) scope.own_ = outermost;
        }
        innermost_ = word_of(scope);
    }
    /// Pre: the innermost.
    void pop_scope(const inner_scope& scope) noexcept {
        innermost_ = scope.own_;
        if ((innermost_ & scope_mark) != 0)
            innermost_ = word_of(static_cast<const inner_scope&>(*scope.parent_));
    }

    /// False if it has one.
    [[nodiscard]] bool set_joiner(party_joiner& told) noexcept {
        std::uintptr_t& own = word();
        if ((own & joiner_mark) != 0) return false;
        told.locals = reinterpret_cast<local_node*>(own);
        own = reinterpret_cast<std::uintptr_t>(&told) + joiner_mark;
        return true;
    }
    /// Null if it has none.
    party_joiner* take_joiner() noexcept {
        if (innermost_ == 0) [[likely]]
            return nullptr;
        std::uintptr_t& own = word();
        if ((own & joiner_mark) == 0) return nullptr;
        party_joiner& told = joiner_at(own);
        own = reinterpret_cast<std::uintptr_t>(told.locals);
        return &told;
    }

    /// False: it has neither task-locals nor a joiner that might keep them.
    [[nodiscard]] bool has_locals() const noexcept { return innermost_ != 0 && word() != 0; }
    /// Task-local values, and its name if it has one.
    [[nodiscard]] local_node* locals() const noexcept {
        const std::uintptr_t own = word();
        if ((own & joiner_mark) != 0) return joiner_at(own).locals;
        return reinterpret_cast<local_node*>(own);
    }
    void set_locals(local_node* chain) noexcept {
        std::uintptr_t& own = word();
        if ((own & joiner_mark) != 0) {
            joiner_at(own).locals = chain;
        } else {
            own = reinterpret_cast<std::uintptr_t>(chain);
        }
    }

    void add_ref() noexcept { ++refs; }
    /// Somebody has asked for the error, or was told: its loop forgets it.
    void claim_error() noexcept {
        if (!unclaimed_error) return;
        unclaimed_error = false;
        list_link::unlink();
    }
    void drop_ref() noexcept {
        if (--refs == 0 && on_heap) free_spawned();
    }

    /// For the one that ran it. If a handle remains that will ask the frame for nothing, the frame
    /// goes now, with all that the task was given: a handle may be kept for long.
    void drop_run_ref() noexcept {
        if (--refs == 0) {
            if (on_heap) free_spawned();
        } else if (gives_nothing && outcome != party_outcome::error) {
            destroy_frame();
        }
    }

    void destroy_frame() noexcept;

    std::uint16_t bound = 0;  ///< what it holds and must give back itself
    std::uint16_t refs = 1;
    party_state state = party_state::fresh;
    wake_reason reason = wake_reason::done;
    std::coroutine_handle<> leaf;  ///< resumed next; the outermost frame when fresh or finished

 private:
    void free_spawned() noexcept;

    static constexpr std::uintptr_t joiner_mark = 1;
    static constexpr std::uintptr_t scope_mark = 2;

    static std::uintptr_t word_of(const inner_scope& scope) noexcept {
        return reinterpret_cast<std::uintptr_t>(&scope) + scope_mark;
    }
    static inner_scope& scope_at(std::uintptr_t marked) noexcept {
        return *reinterpret_cast<inner_scope*>(marked - scope_mark);
    }
    static party_joiner& joiner_at(std::uintptr_t marked) noexcept {
        return *reinterpret_cast<party_joiner*>(marked - joiner_mark);
    }
    /// Its joiner, marked, or its task-locals: few have either, or a scope, so that the three share
    /// a place. While there is a scope, it lies in the outermost of them.
    [[nodiscard]] std::uintptr_t& word() noexcept {
        if ((innermost_ & scope_mark) == 0) return innermost_;
        std::uintptr_t& found = scope_at(innermost_).own_;
        return (found & scope_mark) == 0 ? found : scope_at(found).own_;
    }
    [[nodiscard]] std::uintptr_t word() const noexcept { return const_cast<party&>(*this).word(); }

    std::uintptr_t innermost_ = 0;  // its innermost inner scope, marked; without one: see word()
};

// There may be a million of them.
static_assert(sizeof(party) <= 56 || sizeof(void*) > 8);

inline ready_item::ready_item(party& task) noexcept : ready_item(task, 0) {}
inline party& ready_item::task() const noexcept {
    return static_cast<party&>(*reinterpret_cast<ready_link*>(bits_));
}
inline void ready_queue::push(party& task) noexcept { append(ready_item(task), task); }

/// One suspended party in one place. It lies in the awaiter, and so in the frame that waits;
/// primitives park and wake waiters and do not ask what they are.
///
/// Lifetime     not parked when it is destroyed or moved; a started wait keeps its frame
/// Allocation   none
struct waiter {
    explicit waiter(const wait_kind& what) noexcept : who(nullptr), what_(bits_of(what)) {}
    explicit waiter(wait_line& line) noexcept : who(nullptr), what_(bits_of(line)) {}
    /// Pre: before it is parked it is given its kind.
    explicit waiter(set_later) noexcept {}
    /// An awaiter may be moved until it is awaited: a fresh waiter takes its place.
    waiter(waiter&& other) noexcept : who(nullptr), what_(other.what_ & ~arm_mark) {}

    void park(party& p, std::coroutine_handle<> frame) noexcept {
        who = &p;
        p.park(*this, frame);
    }
    /// For a wait that is over before it began; the value of await_suspend. It parks nobody, but a
    /// party that used up its leg's budget lets others run first.
    [[nodiscard]] bool pass(party& p, std::coroutine_handle<> frame) noexcept {
        who = &p;
        p.reason = wake_reason::done;
        if (this_scheduler->spend()) [[likely]]
            return false;
        p.requeue(frame);
        return true;
    }
    [[nodiscard]] bool was_cut() const noexcept { return who->reason == wake_reason::cut; }

    /// Puts the party on the ready queue; runs nobody. Pre: parked here, and in no line.
    void wake(wake_reason why = wake_reason::done) noexcept {
        party& p = *who;
        require_home();
        p.state = party_state::ready;
        p.reason = why;
        this_scheduler->ready.push(p);
    }

    /// Stops with the rule where no loop runs, or, in debug mode, another one than the party's.
    void require_home() const noexcept {
        if (this_scheduler == nullptr || this_scheduler->debug) [[unlikely]]
            check_thread();
    }

    [[nodiscard]] const wait_kind& kind() const noexcept {
        if ((what_ & kind_mark) == 0) return *line().kind;
        return *reinterpret_cast<const wait_kind*>(what_ & ~(kind_mark | arm_mark));
    }
    void set_kind(const wait_kind& what) noexcept { what_ = bits_of(what); }
    void set_line(wait_line& line) noexcept { what_ = bits_of(line); }
    /// Pre: made with one.
    [[nodiscard]] wait_line& line() const noexcept {
        return *reinterpret_cast<wait_line*>(what_ & ~arm_mark);
    }
    /// Whether it waits for a select, which sets and clears that.
    [[nodiscard]] bool is_arm() const noexcept { return (what_ & arm_mark) != 0; }
    void set_arm() noexcept { what_ |= arm_mark; }
    void clear_arm() noexcept { what_ &= ~arm_mark; }

    party* who;

 private:
    static constexpr std::uintptr_t kind_mark = 1;
    static constexpr std::uintptr_t arm_mark = 2;
    static std::uintptr_t bits_of(const wait_kind& what) noexcept {
        return reinterpret_cast<std::uintptr_t>(&what) + kind_mark;
    }
    static std::uintptr_t bits_of(wait_line& line) noexcept {
        return reinterpret_cast<std::uintptr_t>(&line);
    }
    LARIAT_EXPORT void check_thread() const noexcept;

    std::uintptr_t what_;  // its kind, marked, or its line
};

/// One that waits in a line: see wait_queue. Unlinked when it is destroyed or moved.
struct line_waiter : list_link, waiter {
    explicit line_waiter(const wait_kind& what) noexcept : waiter(what) {}
    /// Pre: before it is parked it is put on a list.
    line_waiter(wait_line& line, set_later later) noexcept : list_link(later), waiter(line) {}
    /// Pre: before it is parked it is put on a list and given its kind.
    explicit line_waiter(set_later later) noexcept : list_link(later), waiter(later) {}
    /// See waiter.
    line_waiter(line_waiter&& other) noexcept : waiter(std::move(other)) {}
};

}  // namespace lariat

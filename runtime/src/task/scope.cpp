#include <lariat/base/assert.hpp>
#include <lariat/task/scope.hpp>
#include <lariat/task/waiter.hpp>

namespace lariat {

void inner_scope::enter(party& p) noexcept {
    detail::require(owner_ == nullptr, "a cancel scope is entered once at a time");
    parent_ = &p.scope();
    owner_ = &p;
    p.push_scope(*this);
    if (marks_.cancelled || p.cancel_pending) [[unlikely]] {  // invariant 2
        marks_.effective = marks_.cancelled || !marks_.shields;
        p.cancel_pending = marks_.effective;
    }
}

void inner_scope::leave() noexcept {
    detail::require(owner_->is_innermost(*this),
                    "cancel scopes of one task must end innermost first");
    owner_->pop_scope(*this);
    if (marks_.effective || marks_.shields) [[unlikely]] {  // else nor is the parent, invariant 1
        owner_->cancel_pending = parent_->marks_.effective;
        marks_.effective = false;
    }
    owner_ = nullptr;
    parent_ = nullptr;
}

void scope_core::cancel_in(party* owner) noexcept {
    if (marks_.cancelled) return;
    marks_.cancelled = true;
    if (owner == nullptr || marks_.effective) return;
    group_core* work = nullptr;
    spread(*owner, *this, work);
    // A worklist instead of recursion: trees of tasks may be deeper than any stack.
    while (work != nullptr) {
        group_core& group = *work;
        work = group.next_work;
        for (party& child : group.children) {
            if (!child.marks_.effective && !child.marks_.shields) spread(child, child, work);
        }
    }
}

// Marks the scopes of `p` from `from` inward, as far as no shield stands between, puts the groups
// among them on the worklist, and cuts the party's wait if its innermost scope is reached.
void scope_core::spread(party& p, scope_core& from, group_core*& work) noexcept {
    scope_core* nearest_shield = nullptr;
    for (scope_core* at = &p.scope(); at != &from; at = at->parent_) {
        if (at->marks_.shields) nearest_shield = at;
    }
    scope_core* at = nearest_shield != nullptr ? nearest_shield->parent_ : &p.scope();
    for (;; at = at->parent_) {
        if (!at->marks_.effective) {
            at->marks_.effective = true;
            if (at->marks_.is_group) {
                auto& group = static_cast<group_core&>(*at);
                group.next_work = work;
                work = &group;
            }
        }
        if (at == &from) break;
    }
    if (nearest_shield != nullptr || p.cancel_pending) return;
    p.cancel_pending = true;
    if (p.state != party_state::parked) return;
    p.parked->require_home();
    p.parked->kind().cut(*p.parked);
}

void group_core::open_root() noexcept {
    marks_.cancelled = false;
    marks_.effective = false;
}

void group_core::cancel_root() noexcept {
    if (marks_.cancelled) return;
    marks_.cancelled = true;
    marks_.effective = true;
    cancel_children();
}

void group_core::cancel_children() noexcept {
    for (party& child : children) child.cancel();
}

}  // namespace lariat

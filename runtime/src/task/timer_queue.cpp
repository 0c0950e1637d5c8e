#include <lariat/task/timer_queue.hpp>

namespace lariat {

// In the heap a timer's `next` is its next sibling and its `prev` the sibling before it, or for a
// first child the parent; both are null at the ends.

timer* overdue_timers::next_sibling(const timer& item) noexcept {
    return static_cast<timer*>(item.next);
}

timer* overdue_timers::meld(timer* a, timer* b) noexcept {
    // The difference survives the counter's wrap: never 2^31 timers are overdue together.
    const bool b_first = b->deadline != a->deadline
                             ? b->deadline < a->deadline
                             : static_cast<std::int32_t>(b->sequence_ - a->sequence_) < 0;
    timer* parent = b_first ? b : a;
    timer* child = b_first ? a : b;
    child->next = parent->child_;
    if (parent->child_ != nullptr) parent->child_->prev = child;
    child->prev = parent;
    parent->child_ = child;
    parent->next = parent->prev = nullptr;
    return parent;
}

/// The second half of a removal: melds neighbours from the left, then the pairs from the right.
timer* overdue_timers::meld_siblings(timer* first) noexcept {
    timer* pairs = nullptr;
    while (first != nullptr) {
        timer* a = first;
        timer* b = next_sibling(*a);
        first = b != nullptr ? next_sibling(*b) : nullptr;
        timer* pair = b != nullptr ? meld(a, b) : a;
        pair->next = pairs;
        pairs = pair;
    }
    timer* root = nullptr;
    while (pairs != nullptr) {
        timer* pair = pairs;
        pairs = next_sibling(*pair);
        root = root != nullptr ? meld(root, pair) : pair;
    }
    if (root != nullptr) root->next = root->prev = nullptr;
    return root;
}

void overdue_timers::insert(timer& item) noexcept {
    item.place_ = timer::overdue;
    item.sequence_ = sequence_++;
    item.child_ = nullptr;
    item.next = item.prev = nullptr;
    root_ = root_ != nullptr ? meld(root_, &item) : &item;
}

void overdue_timers::remove(timer& item) noexcept {
    timer* below = meld_siblings(item.child_);
    if (&item == root_) {
        root_ = below;
    } else {
        timer* before = static_cast<timer*>(item.prev);
        if (before->child_ == &item)
            before->child_ = next_sibling(item);
        else
            before->next = item.next;
        if (item.next != nullptr) item.next->prev = before;
        if (below != nullptr) root_ = meld(root_, below);
    }
    item.next = item.prev = &item;
    item.place_ = timer::nowhere;
}

timer_queue::~timer_queue() {
    while (!overdue_.empty()) disarm(overdue_.top());
    while (levels_ != 0) disarm(slots_[first()].timers.front());
}

std::size_t timer_queue::fire_due(time_point now, std::size_t limit) noexcept {
    // `forever` itself never comes.
    const key until = key_of(now < forever ? now : forever - duration(1));
    std::size_t fired = 0;
    while (fired < limit) {
        timer* item = due(until);
        if (item == nullptr) break;
        disarm(*item);
        ++fired;
        item->fire(*item);
    }
    return fired;
}

/// The first timer if its deadline is not after `now`; `current_` comes as near to `now` as it may.
timer* timer_queue::due(key now) noexcept {
    if (!overdue_.empty()) {
        timer& item = overdue_.top();
        return key_of(item.deadline) <= now ? &item : nullptr;
    }
    while (levels_ != 0) {
        const unsigned where = first();
        slot& home = slots_[where];
        timer& front = home.timers.front();
        const key at = key_of(front.deadline);
        const bool in_order = where < 64 || &front == &home.timers.back();
        if (in_order && at <= now) {
            current_ = at;
            return &front;
        }
        const unsigned shift = where / 64 * digit_bits;
        const key slot_start = at >> shift << shift;
        if (where < 64 || now < slot_start) break;
        current_ = home.earliest < now ? home.earliest : now;
        deal(where);
    }
    current_ = now > current_ ? now : current_;
    return nullptr;
}

/// Moves the timers of the first slot, into whose span `current_` has come, to lower levels.
void timer_queue::deal(unsigned where) noexcept {
    list<timer> timers;
    timers.splice_back(slots_[where].timers);
    clear(where);
    while (!timers.empty()) {
        timer& item = timers.pop_front();
        place(item, key_of(item.deadline));
    }
}

}  // namespace lariat

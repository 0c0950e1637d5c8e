#pragma once

namespace lariat {

/// Chooses a constructor that leaves members unset: what the object does first sets them. For an
/// awaiter that mostly never waits, and then pays for nothing that only a wait needs.
struct set_later {};

/// A link of an intrusive doubly linked ring. Alone it points to itself.
struct list_link {
    list_link* next;
    list_link* prev;

    list_link() noexcept : next(this), prev(this) {}
    /// Pre: the next thing done with it is to put it on a list.
    explicit list_link(set_later) noexcept {}
    list_link(const list_link&) = delete;
    list_link& operator=(const list_link&) = delete;

    [[nodiscard]] bool linked() const noexcept { return next != this; }

    /// Leaves the list it is on, for another or for good: linked() says nothing of it then.
    void take_out() noexcept {
        prev->next = next;
        next->prev = prev;
    }
    /// Leaves whatever list it is on. Cost: O(1), also when it is on none.
    void unlink() noexcept {
        take_out();
        next = this;
        prev = this;
    }
};

/// The intrusive list: a ring through a head that lies here. `Item` derives from list_link.
///
/// Lifetime     items outlive their membership; the list owns nothing
/// Allocation   none
template <class Item>
class list {
 public:
    [[nodiscard]] bool empty() const noexcept { return !head_.linked(); }

    void push_back(Item& item) noexcept { insert_before(head_, item); }
    void push_front(Item& item) noexcept { insert_before(*head_.next, item); }

    /// Pre: not empty, for all three.
    [[nodiscard]] Item& front() noexcept { return static_cast<Item&>(*head_.next); }
    [[nodiscard]] Item& back() noexcept { return static_cast<Item&>(*head_.prev); }
    Item& pop_front() noexcept {
        Item& item = front();
        item.list_link::unlink();
        return item;
    }

    /// Takes everything out of `other` and appends it here, in order. Cost: O(1).
    void splice_back(list& other) noexcept {
        if (other.empty()) return;
        list_link* first = other.head_.next;
        list_link* last = other.head_.prev;
        other.head_.next = other.head_.prev = &other.head_;
        first->prev = head_.prev;
        head_.prev->next = first;
        last->next = &head_;
        head_.prev = last;
    }

    class iterator {
     public:
        explicit iterator(list_link* at) noexcept : at_(at) {}
        Item& operator*() const noexcept { return static_cast<Item&>(*at_); }
        iterator& operator++() noexcept {
            at_ = at_->next;
            return *this;
        }
        bool operator==(const iterator&) const noexcept = default;

     private:
        list_link* at_;
    };
    [[nodiscard]] iterator begin() noexcept { return iterator(head_.next); }
    [[nodiscard]] iterator end() noexcept { return iterator(&head_); }

 private:
    static void insert_before(list_link& place, list_link& item) noexcept {
        item.next = &place;
        item.prev = place.prev;
        place.prev->next = &item;
        place.prev = &item;
    }

    list_link head_;
};

}  // namespace lariat

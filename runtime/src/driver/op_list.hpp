#pragma once

#include <lariat/driver/op.hpp>

#include <cstddef>
#include <utility>

namespace lariat::detail {

/// The ops that wait for one thing, first come first served, linked through `op::next` and
/// `op::prev`. (An op is plain data and no `list_link`, so the one intrusive list cannot take it.)
///
/// Lifetime     an op is on at most one list, and leaves it before it completes
/// Allocation   none; one pointer, as every descriptor has three of these
class op_list {
 public:
    op_list() noexcept = default;
    op_list(op_list&& other) noexcept : head_(std::exchange(other.head_, nullptr)) {}
    op_list& operator=(op_list&& other) noexcept {
        head_ = std::exchange(other.head_, nullptr);
        return *this;
    }

    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
    /// Pre: not empty.
    [[nodiscard]] op& front() const noexcept { return *head_; }
    [[nodiscard]] bool is_front(const op& item) const noexcept { return head_ == &item; }
    /// Cost: one step each.
    [[nodiscard]] std::size_t size() const noexcept {
        std::size_t count = 0;
        for (const op* item = head_; item != nullptr;
             item = item->next == head_ ? nullptr : item->next)
            ++count;
        return count;
    }
    /// The one behind `item`, the first behind the last. Pre: it is on this list.
    [[nodiscard]] static op& after(const op& item) noexcept { return *item.next; }

    void push_back(op& item) noexcept {
        if (head_ == nullptr) {
            head_ = item.next = item.prev = &item;
            return;
        }
        item.next = head_;
        item.prev = head_->prev;
        item.prev->next = &item;
        head_->prev = &item;
    }
    /// Pre: it is on this list.
    void remove(op& item) noexcept {
        if (item.next == &item) {
            head_ = nullptr;
        } else {
            item.prev->next = item.next;
            item.next->prev = item.prev;
            if (head_ == &item) head_ = item.next;
        }
        item.next = item.prev = nullptr;
    }
    /// Pre: not empty.
    op& pop_front() noexcept {
        op& item = *head_;
        remove(item);
        return item;
    }
    /// Gives what it holds and is empty. Cost: O(1).
    [[nodiscard]] op_list take() noexcept { return std::move(*this); }

 private:
    op* head_ = nullptr;  // a ring: head_->prev is the last
};

}  // namespace lariat::detail

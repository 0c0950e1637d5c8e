#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace lariat::detail {

/// The items of a queue that serves the oldest first: a chain of blocks.
///
/// Order        first in, first out
/// Threads      one loop
/// Allocation   a block when the last is full; a new one has twice the room, from 8 items up to
///              4 KiB (of larger items, one). One that was emptied is kept for the next time, so a
///              queue that breathes allocates nothing
///
/// Blocks, and not one ring that grows: an item never moves while it lies here, so a move that
/// throws can lose none of the others, and no put pays for the moving of all.
template <class T>
class fifo_store {
 public:
    fifo_store() noexcept = default;
    fifo_store(const fifo_store&) = delete;
    fifo_store& operator=(const fifo_store&) = delete;
    ~fifo_store() {
        for (; size_ != 0; drop_front()) {
        }
        while (first_ != nullptr) release(std::exchange(first_, first_->next));
        release(spare_);
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Errors: those of T's construction and of the allocation; nothing was added.
    template <class U>
    void push(U&& item) {
        if (tail_ == tail_end_) [[unlikely]]
            add_block();
        ::new (static_cast<void*>(tail_)) T(std::forward<U>(item));
        ++tail_;
        ++size_;
    }
    /// Moves the oldest item out. Pre: not empty · Errors: those of T's move; the item stays.
    void pop_into(std::optional<T>& place) {
        place.emplace(std::move(*head_));
        drop_front();
    }

 private:
    static constexpr std::size_t alignment = std::max(alignof(T), alignof(void*));
    static constexpr std::size_t most_items = std::max<std::size_t>(4096 / sizeof(T), 1);
    static constexpr std::size_t fewest_items = std::min<std::size_t>(8, most_items);

    struct alignas(alignment) block {
        explicit block(std::size_t room) noexcept : items(room) {}
        [[nodiscard]] T* begin() noexcept { return reinterpret_cast<T*>(this + 1); }
        [[nodiscard]] T* end() noexcept { return begin() + items; }

        block* next = nullptr;
        std::size_t items;
    };

    static block* allocate(std::size_t items) {
        void* memory =
            ::operator new(sizeof(block) + items * sizeof(T), std::align_val_t(alignment));
        return ::new (memory) block(items);
    }
    static void release(block* gone) noexcept {
        if (gone != nullptr) ::operator delete(gone, std::align_val_t(alignment));
    }

    [[gnu::noinline]] void add_block() {
        block* fresh = std::exchange(spare_, nullptr);
        if (fresh == nullptr)
            fresh =
                allocate(last_ == nullptr ? fewest_items : std::min(2 * last_->items, most_items));
        fresh->next = nullptr;
        if (last_ != nullptr) {
            last_->next = fresh;
        } else {
            first_ = fresh;
            begin_reading();
        }
        last_ = fresh;
        tail_ = fresh->begin();
        tail_end_ = fresh->end();
    }
    void drop_front() noexcept {
        std::destroy_at(head_);
        ++head_;
        if (--size_ == 0) {
            while (first_ != last_) drop_block();
            begin_reading();
            tail_ = head_;  // the same cache lines again
        } else if (head_ == head_end_) [[unlikely]] {
            drop_block();
            begin_reading();
        }
    }
    void begin_reading() noexcept {
        head_ = first_->begin();
        head_end_ = first_->end();
    }
    /// Of the emptied block and the spare one it keeps the larger.
    [[gnu::noinline]] void drop_block() noexcept {
        block* gone = std::exchange(first_, first_->next);
        if (spare_ == nullptr || spare_->items < gone->items) std::swap(gone, spare_);
        release(gone);
    }

    T* head_ = nullptr;
    T* head_end_ = nullptr;
    T* tail_ = nullptr;
    T* tail_end_ = nullptr;
    std::size_t size_ = 0;
    block* first_ = nullptr;
    block* last_ = nullptr;
    block* spare_ = nullptr;
};

}  // namespace lariat::detail

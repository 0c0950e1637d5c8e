#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace lariat::detail {

/// For a store whose every push and pop goes the long way: a run of it is always over.
struct without_runs {
    [[nodiscard]] static bool push_runs() noexcept { return false; }
    [[nodiscard]] static bool pop_runs() noexcept { return false; }
    static void push_in_run(const auto&) noexcept {}
    static void pop_in_run(const auto&) noexcept {}
    static void begin_push_run(std::size_t) noexcept {}
    static void end_push_run() noexcept {}
    static void begin_pop_run() noexcept {}
    static void end_pop_run() noexcept {}
};

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
        while (!empty()) {
            if (head_ == head_end_) leave_block();
            drop_front();
        }
        while (first_ != nullptr) release(std::exchange(first_, first_->next));
        release(spare_);
    }

    [[nodiscard]] bool empty() const noexcept { return bytes() == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes() / sizeof(T); }
    /// How many were ever added.
    [[nodiscard]] std::uint64_t pushed() const noexcept { return before_last_ + in_last(); }

    /// Errors: those of T's construction and of the allocation; nothing was added.
    template <class U>
    void push(U&& item) {
        if (tail_ == tail_end_) [[unlikely]]
            make_room();
        ::new (static_cast<void*>(tail_)) T(std::forward<U>(item));
        ++tail_;
    }
    /// Moves the oldest item out into an optional or the like. Pre: not empty · Errors: those of
    /// T's move; the item stays.
    template <class Place>
    void pop_into(Place& place) {
        if (head_ == head_end_) [[unlikely]]
            leave_block();
        place.emplace(std::move(*head_));
        drop_front();
    }

    // Runs: what may be pushed, and popped, one after the other with a single question each. A run
    // that is over: the long way has to be gone.
    [[nodiscard]] bool push_runs() const noexcept { return before(tail_, push_run_); }
    [[nodiscard]] bool pop_runs() const noexcept { return before(head_, pop_run_); }
    /// Pre: push_runs() · Errors: as push.
    template <class U>
    [[gnu::always_inline]] void push_in_run(U&& item) {
        ::new (static_cast<void*>(tail_)) T(std::forward<U>(item));
        ++tail_;
    }
    /// Pre: pop_runs() · Errors: as pop_into.
    template <class Place>
    [[gnu::always_inline]] void pop_in_run(Place& place) {
        place.emplace(std::move(*head_));
        drop_front();
    }
    /// Up to `most` more, as far as the block reaches.
    void begin_push_run(std::size_t most) noexcept {
        push_run_ = tail_ + std::min(most, static_cast<std::size_t>(tail_end_ - tail_));
    }
    void end_push_run() noexcept { push_run_ = nullptr; }
    void begin_pop_run() noexcept { pop_run_ = first_ == last_ ? tail_ : head_end_; }
    void end_pop_run() noexcept { pop_run_ = nullptr; }

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

    static std::size_t address(const T* item) noexcept {
        return reinterpret_cast<std::uintptr_t>(item);
    }
    static bool before(const T* place, const T* end) noexcept {
        return address(place) < address(end);
    }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return address(tail_) - address(head_) + beyond_;
    }
    [[nodiscard]] std::size_t in_last() const noexcept {
        return last_ == nullptr ? 0 : static_cast<std::size_t>(tail_ - last_->begin());
    }

    /// The last block is full: another one, unless it has been read to its end.
    [[gnu::noinline]] void make_room() {
        if (head_ == tail_ && last_ != nullptr) {
            before_last_ += in_last();
            tail_ = head_ = last_->begin();
            end_push_run();
            end_pop_run();
            return;
        }
        block* fresh = std::exchange(spare_, nullptr);
        if (fresh == nullptr)
            fresh =
                allocate(last_ == nullptr ? fewest_items : std::min(2 * last_->items, most_items));
        fresh->next = nullptr;
        before_last_ += in_last();
        if (last_ != nullptr) {
            last_->next = fresh;
            beyond_ += address(tail_) - address(fresh->begin());
        } else {
            first_ = fresh;
            head_ = fresh->begin();
            head_end_ = fresh->end();
        }
        last_ = fresh;
        tail_ = fresh->begin();
        tail_end_ = fresh->end();
        end_push_run();
    }
    void drop_front() noexcept {
        std::destroy_at(head_);
        ++head_;
    }
    /// Pre: the first block has been read to its end, and there is a next one. Of the block that is
    /// left and the spare one it keeps the larger.
    [[gnu::noinline]] void leave_block() noexcept {
        block* gone = std::exchange(first_, first_->next);
        beyond_ += address(first_->begin()) - address(head_);
        head_ = first_->begin();
        head_end_ = first_->end();
        end_pop_run();
        if (spare_ == nullptr || spare_->items < gone->items) std::swap(gone, spare_);
        release(gone);
    }

    // A push writes the item and tail_, a pop head_, and nothing else: all that is counted follows
    // from where they are (sync/README.md).
    T* head_ = nullptr;
    T* head_end_ = nullptr;
    T* tail_ = nullptr;
    T* tail_end_ = nullptr;
    T* push_run_ = nullptr;
    T* pop_run_ = nullptr;
    std::size_t beyond_ = 0;  // what makes the way from head_ to tail_ the bytes stored
    std::uint64_t before_last_ = 0;
    block* first_ = nullptr;
    block* last_ = nullptr;
    block* spare_ = nullptr;
};

}  // namespace lariat::detail

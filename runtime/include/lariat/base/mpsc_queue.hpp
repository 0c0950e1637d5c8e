#pragma once

#include <atomic>

namespace lariat {

/// The link of an item that threads hand to a consumer. It is the queue's while the item is in it.
struct mpsc_node {
    mpsc_node* next = nullptr;
};

enum class push_outcome {
    refused,  ///< the queue is closed; the item is still the caller's
    first,    ///< the queue was empty: whoever must be told that there is something, is told now
    queued,   ///< others lie before it
};

/// Hands items from any threads to one consumer. `Item` derives from mpsc_node.
///
/// Order        of pushing, in full: as all pushes go through one atomic word
/// Threads      push, empty: any thread; take_all, close: the consumer
/// Lifetime     an item must stay until it was taken; the queue owns nothing
/// Allocation   none
///
/// Producers build a stack, the consumer takes it whole and turns it round. Rejected: Vyukov's
/// queue of an exchange and a link. It cost the same, about 10 ns a push under load; its push is
/// wait-free where this one tries again whenever another producer was faster, but between its two
/// steps a stopped producer hides everything pushed after it, and neither "was empty" nor
/// "closed" can be decided in the same step as the push.
template <class Item>
class mpsc_queue {
 public:
    /// What was taken, first in first out. An item may be destroyed, or pushed anew, once popped.
    class batch {
     public:
        batch() noexcept = default;
        explicit batch(mpsc_node* first) noexcept : first_(first) {}
        [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
        /// Pre: not empty.
        Item& pop_front() noexcept {
            mpsc_node& item = *first_;
            first_ = item.next;
            return static_cast<Item&>(item);
        }

     private:
        mpsc_node* first_ = nullptr;
    };

    mpsc_queue() noexcept = default;
    mpsc_queue(const mpsc_queue&) = delete;
    mpsc_queue& operator=(const mpsc_queue&) = delete;

    /// Puts `item` last. Cost: one compare-and-swap, more when producers collide.
    push_outcome push(Item& item) noexcept {
        mpsc_node& node = item;
        mpsc_node* top = top_.load(std::memory_order_relaxed);
        do {
            if (top == &closed_) return push_outcome::refused;
            node.next = top;
            // Releases the item and its link to the acquire in take_all. Sequentially consistent,
            // because a producer that then looks whether the consumer sleeps needs it ordered
            // before that look: see empty().
        } while (!top_.compare_exchange_weak(top, &node, std::memory_order_seq_cst,
                                             std::memory_order_relaxed));
        return top == nullptr ? push_outcome::first : push_outcome::queued;
    }

    /// Whether nothing is there to take; a closed queue is empty. It pairs with push: of a producer
    /// that pushes, then reads "the consumer sleeps", and a consumer that writes "I sleep", then
    /// asks empty(), one at least sees the other, if that word is sequentially consistent too.
    [[nodiscard]] bool empty() const noexcept {
        const mpsc_node* top = top_.load(std::memory_order_seq_cst);
        return top == nullptr || top == &closed_;
    }

    /// Takes everything pushed so far. Cost: one exchange when there is anything, and two steps an
    /// item.
    [[nodiscard]] batch take_all() noexcept {
        // Relaxed: a push that this misses has not happened yet as far as the consumer can know.
        mpsc_node* top = top_.load(std::memory_order_relaxed);
        if (top == nullptr || top == &closed_) return batch();
        // Acquires what every push in the stack released: each one's compare-and-swap read the one
        // before, so they form one release sequence.
        return batch(reversed(top_.exchange(nullptr, std::memory_order_acquire)));
    }

    /// Refuses every later push; returns what had come before. A second call returns nothing.
    [[nodiscard]] batch close() noexcept {
        // Acquires as in take_all; a refused push has nothing to read from here.
        mpsc_node* top = top_.exchange(&closed_, std::memory_order_acquire);
        return top == &closed_ ? batch() : batch(reversed(top));
    }

 private:
    static mpsc_node* reversed(mpsc_node* top) noexcept {
        mpsc_node* first = nullptr;
        while (top != nullptr) {
            mpsc_node* below = top->next;
            top->next = first;
            first = top;
            top = below;
        }
        return first;
    }

    // On a line of its own: producers on other cores fight for it.
    alignas(64) std::atomic<mpsc_node*> top_{nullptr};
    mpsc_node closed_;  // only its address matters: the mark of a closed queue
};

}  // namespace lariat

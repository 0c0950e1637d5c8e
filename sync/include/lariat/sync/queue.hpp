#pragma once

#include <lariat/base/error.hpp>
#include <lariat/sync/item_exchange.hpp>
#include <lariat/sync/item_store.hpp>
#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

/// What has passed through a queue.
struct queue_stats {
    std::size_t size = 0;
    std::size_t capacity = 0;  ///< 0: unbounded
    std::uint64_t put = 0;     ///< items accepted, ever
    std::uint64_t taken = 0;
    std::uint64_t unfinished = 0;  ///< accepted, and no task_done() for them yet
};

namespace detail {

struct queue_words {
    static constexpr wait_kind take{"an item of a queue", &wait_queue::leave};
    static constexpr wait_kind give{"room in a queue", &wait_queue::leave};
    static constexpr wait_kind join{"a queue's items to be done", &wait_queue::leave};
    static constexpr const char* give_verb = "queue.put";
};

[[noreturn]] LARIAT_EXPORT void throw_done_too_often();

}  // namespace detail

/// What queue, lifo_queue and priority_queue have in common: all but which item is next.
///
/// Order        getters are served first come, first served, and so are putters; an item goes
///              straight to a getter that waits, and who comes later does not overtake
/// Threads      one loop; across loops: shared::queue
/// Lifetime     outlives those who wait (asserted); items left in it are destroyed with it
/// Allocation   the store's, by put; none for a wait
/// Limits       `max` items, 0 for any number; a put then waits
///
/// A cancelled get has taken nothing, and a cancelled put has put nothing; one that had succeeded
/// before the cancellation came stands. An exception of T's move or of a comparison ends the verb
/// whose item it was and leaves everything else as it was; if moving out of the queue throws, the
/// item stays in it. An item whose move throws on its last way, from the get to its caller, is
/// lost.
template <class T, class Store>
class basic_queue {
    static_assert(std::is_object_v<T> && std::move_constructible<T>,
                  "a queue's items are objects that can be moved");
    using exchange = detail::item_exchange<T, Store, detail::queue_words>;

 public:
    using value_type = T;
    using get_wait = typename exchange::taker;
    using put_wait = typename exchange::giver;
    class join_wait;

    explicit basic_queue(std::size_t max = 0) noexcept(
        std::is_nothrow_default_constructible_v<Store>)
        : items_(max == 0 ? exchange::unbounded : max), max_(max) {}

    /// Suspends while the queue is full · Errors: closed_error, also when it is closed meanwhile
    /// (errc::closed through nothrow) · Cancel: nothing was put.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    put_wait put(U&& item) {
        return put_wait(items_, std::forward<U>(item));
    }
    /// Suspends while the queue is empty · Returns an optional: empty when it is closed and drained
    /// · Cancel: nothing was taken.
    get_wait get() noexcept { return get_wait(items_); }

    /// Errors: queue_full, closed_error; the item is then left as it was.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void put_nowait(U&& item) {
        const detail::offer ended = items_.give(std::forward<U>(item));
        if (ended == detail::offer::full) throw queue_full("queue.put_nowait");
        if (ended == detail::offer::closed) throw closed_error("queue.put_nowait");
    }
    /// Errors: queue_empty; closed_error if it is closed and drained.
    T get_nowait() {
        std::optional<T> item = try_get();
        if (!item) {
            if (closed()) throw closed_error("queue.get_nowait");
            throw queue_empty("queue.get_nowait");
        }
        return *std::move(item);
    }
    /// False, and the item left as it was, when the queue is full or closed.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool try_put(U&& item) {
        return items_.give(std::forward<U>(item)) == detail::offer::taken;
    }
    /// Empty when there is no item.
    [[nodiscard]] std::optional<T> try_get() {
        std::optional<T> item;
        items_.take(item);
        return item;
    }

    /// Says that one item is done with; when all that were put are, join() returns. Errors:
    /// std::logic_error if it is called more often than items were put.
    void task_done() {
        if (done_ == items_.accepted()) [[unlikely]]
            detail::throw_done_too_often();
        if (++done_ == items_.accepted()) detail::grant_all(joiners_);
    }
    /// Suspends until every item that was put is done with. close() changes nothing about it: what
    /// is left in the queue is still to be taken and done.
    join_wait join() noexcept { return join_wait(*this); }

    /// No more puts: those that wait and those that come get closed_error. Getters drain what is
    /// left, then get an empty optional. Closing it again does nothing. To drop what is left, and
    /// let join() return: `while (q.try_get()) q.task_done();`.
    void close() noexcept { items_.close(); }
    [[nodiscard]] bool closed() const noexcept { return items_.closed(); }

    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] bool full() const noexcept { return max_ != 0 && size() >= max_; }
    /// 0: unbounded.
    [[nodiscard]] std::size_t capacity() const noexcept { return max_; }
    [[nodiscard]] queue_stats stats() const noexcept {
        queue_stats now;
        now.size = size();
        now.capacity = max_;
        now.put = items_.accepted();
        now.taken = now.put - now.size;
        now.unfinished = now.put - done_;
        return now;
    }

 private:
    exchange items_;
    std::size_t max_;
    std::uint64_t done_ = 0;
    wait_queue joiners_;
};

/// Waits until all items are done with: an awaiter, and an arm of a select.
template <class T, class Store>
class [[nodiscard(
    "it does nothing until it is awaited: co_await it")]] basic_queue<T, Store>::join_wait
    : public detail::selectable_wait<join_wait> {
 public:
    static constexpr const wait_kind& kind_of_wait = detail::queue_words::join;

    explicit join_wait(basic_queue& which) noexcept : queue_(&which) {}

    [[nodiscard]] bool attempt() const noexcept {
        return queue_->done_ == queue_->items_.accepted();
    }
    void join_line() noexcept { queue_->joiners_.add(*this); }
    void result() const noexcept {}

 private:
    basic_queue* queue_;
};

/// Hands items from tasks to tasks, the oldest first.
///
///     lariat::queue<int> jobs(10);
///     co_await jobs.put(1);                          // waits while ten lie there
///     while (auto job = co_await jobs.get()) { ... } // ends after jobs.close()
template <class T>
class queue : public basic_queue<T, detail::fifo_store<T>> {
 public:
    using basic_queue<T, detail::fifo_store<T>>::basic_queue;
};

}  // namespace lariat

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/sync/item_exchange.hpp>
#include <lariat/sync/item_store.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/sync/shared/exchange.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

namespace lariat::detail {

struct shared_queue_words {
    static constexpr const char* take = "an item of a shared::queue";
    static constexpr const char* give = "room in a shared::queue";
    static constexpr const char* give_verb = "shared::queue.put";
};

/// A queue's items, and the count of those that are done with.
template <class T, class Store>
class shared_job_count : public shared_exchange<T, Store> {
 public:
    using shared_exchange<T, Store>::shared_exchange;

    void task_done() {
        served_places served;
        const std::lock_guard held(this->lock_);
        if (done_ == this->accepted_) [[unlikely]]
            throw_done_too_often();
        if (++done_ != this->accepted_) return;
        while (!joiners_.empty()) served.add(joiners_.serve_first());
    }
    /// False if all are done.
    [[nodiscard]] bool join_line(shared_place& place) noexcept {
        const std::lock_guard held(this->lock_);
        if (done_ == this->accepted_) return false;
        joiners_.add(place);
        return true;
    }
    [[nodiscard]] queue_stats stats(std::size_t capacity) const noexcept {
        const std::lock_guard held(this->lock_);
        queue_stats now;
        now.size = this->store_.size();
        now.capacity = capacity;
        now.put = this->accepted_;
        now.taken = now.put - now.size;
        now.unfinished = now.put - done_;
        return now;
    }

 private:
    std::uint64_t done_ = 0;
    shared_line<> joiners_;
};

}  // namespace lariat::detail

namespace lariat::shared {

/// What shared::queue, lifo_queue and priority_queue have in common: all but which item is next.
///
/// Order        getters are served first come, first served, and so are putters, tasks and threads
///              alike: an item goes straight to a getter that waits, and who comes later does not
///              overtake
/// Threads      any; what was done before a put is seen after the get of its item
/// Lifetime     outlives those who wait (asserted); items left in it are destroyed with it
/// Allocation   the store's, by put; none for a wait
/// Limits       `max` items, 0 for any number; a put then waits. An item's move may not throw
///              (asserted)
///
/// A cancelled get has taken nothing, and a cancelled put has put nothing, nor has one whose time
/// ran out; one that had succeeded before stands. A loop that sleeps is woken once for a burst of
/// items, one that is awake never; a getter that is not waiting is not woken at all.
template <class T, class Store>
class basic_queue {
    using words = detail::shared_queue_words;
    using exchange = detail::shared_exchange<T, Store>;
    using jobs = detail::shared_job_count<T, Store>;

 public:
    using value_type = T;
    using get_wait = detail::shared_take<exchange, words>;
    using put_wait = detail::shared_give<exchange, words>;
    class join_wait;

    /// Errors: those of an empty store: a lifo_queue's allocates.
    explicit basic_queue(std::size_t max = 0) noexcept(
        std::is_nothrow_default_constructible_v<Store>)
        : items_(max == 0 ? std::numeric_limits<std::size_t>::max() : max), max_(max) {}

    /// Suspends while the queue is full · Errors: closed_error, also when it is closed meanwhile
    /// (errc::closed through nothrow) · Cancel: nothing was put · Cost: a short lock.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] put_wait put(U&& item) {
        return put_wait(items_, std::forward<U>(item));
    }
    /// Suspends while the queue is empty · Returns an optional: empty when it is closed and drained
    /// · Cancel: nothing was taken · Cost: a short lock.
    [[nodiscard]] get_wait get() noexcept { return get_wait(items_); }

    /// For threads without a loop, which sleep meanwhile. Errors: as put's.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void put_blocking(U&& item, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("put_blocking", "co_await x.put(item)", where);
        detail::with_item<T>(std::forward<U>(item), [this](T& own) {
            detail::give_blocking(items_, own, forever).value(words::give_verb);
        });
    }
    /// With a time: false, and the item left as it was, if there was no room for so long.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool put_blocking(U&& item, duration longest,
                                    std::source_location where = std::source_location::current()) {
        detail::require_no_loop("put_blocking", "co_await lariat::timeout(t, x.put(item))", where);
        return detail::with_item<T>(std::forward<U>(item), [&](T& own) {
            return detail::given_in_time(items_, own, longest, words::give_verb);
        });
    }
    /// Returns an optional, as get().
    [[nodiscard]] std::optional<T> get_blocking(
        std::source_location where = std::source_location::current()) {
        detail::require_no_loop("get_blocking", "co_await x.get()", where);
        result<T> got = detail::take_blocking(items_, forever);
        return got ? std::optional<T>(*std::move(got)) : std::nullopt;
    }
    /// With a time: errc::timed_out if no item came for so long, errc::closed if it is closed and
    /// drained.
    [[nodiscard]] result<T> get_blocking(
        duration longest, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("get_blocking", "co_await lariat::timeout(t, x.get())", where);
        return detail::take_blocking(items_, detail::deadline_after(longest));
    }

    /// Errors: queue_full, closed_error; the item is then left as it was.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void put_nowait(U&& item) {
        const detail::offer ended = offer(std::forward<U>(item));
        if (ended == detail::offer::full) throw queue_full("shared::queue.put_nowait");
        if (ended == detail::offer::closed) throw closed_error("shared::queue.put_nowait");
    }
    /// Errors: queue_empty; closed_error if it is closed and drained.
    T get_nowait() {
        std::optional<T> item;
        const bool ended = items_.take(item, nullptr);
        if (!ended) throw queue_empty("shared::queue.get_nowait");
        if (!item) throw closed_error("shared::queue.get_nowait");
        return *std::move(item);
    }
    /// False, and the item left as it was, when the queue is full or closed.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool try_put(U&& item) {
        return offer(std::forward<U>(item)) == detail::offer::taken;
    }
    /// Empty when there is no item.
    [[nodiscard]] std::optional<T> try_get() {
        std::optional<T> item;
        (void)items_.take(item, nullptr);
        return item;
    }

    /// Says that one item is done with; when all that were put are, join() returns. Errors:
    /// std::logic_error if it is called more often than items were put.
    void task_done() { items_.task_done(); }
    /// Suspends until every item that was put is done with. close() changes nothing about it.
    [[nodiscard]] join_wait join() noexcept { return join_wait(items_); }
    /// The same for a thread without a loop. With a time: false if that was not so for so long.
    void join_blocking(std::source_location where = std::source_location::current()) noexcept {
        detail::require_no_loop("join_blocking", "co_await x.join()", where);
        (void)join_until(forever);
    }
    [[nodiscard]] bool join_blocking(
        duration longest, std::source_location where = std::source_location::current()) noexcept {
        detail::require_no_loop("join_blocking", "co_await lariat::timeout(t, x.join())", where);
        return join_until(detail::deadline_after(longest));
    }

    /// No more puts: those that wait and those that come get closed_error. Getters drain what is
    /// left, then get an empty optional. Closing it again does nothing.
    void close() noexcept { items_.close(); }
    [[nodiscard]] bool closed() const noexcept { return items_.closed(); }

    /// These tell what was so an instant ago: others may have put and taken since.
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] bool full() const noexcept { return max_ != 0 && size() >= max_; }
    /// 0: unbounded.
    [[nodiscard]] std::size_t capacity() const noexcept { return max_; }
    [[nodiscard]] queue_stats stats() const noexcept { return items_.stats(max_); }

 private:
    template <class U>
    detail::offer offer(U&& item) {
        return detail::with_item<T>(std::forward<U>(item),
                                    [this](T& own) { return items_.give(own, nullptr); });
    }
    [[nodiscard]] bool join_until(time_point deadline) noexcept {
        detail::thread_in_line<> self;
        if (!items_.join_line(self)) return true;
        return self.wait(deadline,
                         [this](detail::shared_place& place) { return items_.leave(place); });
    }

    jobs items_;
    std::size_t max_;
};

/// A task's wait until all items are done with.
template <class T, class Store>
class [[nodiscard(
    "it does nothing until it is awaited: co_await it")]] basic_queue<T, Store>::join_wait
    : public detail::task_in_line<>,
      public single_step {
 public:
    explicit join_wait(jobs& items) noexcept : task_in_line(kind_of_wait), items_(&items) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        set_out();
        if (!items_->join_line(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static void cut(waiter& w) noexcept {
        auto& self = static_cast<join_wait&>(w);
        if (self.items_->leave(self)) self.wake(wake_reason::cut);
    }
    static constexpr wait_kind kind_of_wait{"a shared::queue's items to be done", &cut};

    jobs* items_;
};

/// Hands items between the tasks of all loops and plain threads, the oldest first: queue, where one
/// loop is not enough.
///
///     lariat::shared::queue<job> jobs(100);
///     co_await jobs.put(next);                          // in a task of any loop
///     while (auto job = jobs.get_blocking()) { ... }    // in a thread; ends after jobs.close()
///
/// Order        what one task or thread puts is taken in that order
/// Allocation   a block when the last one is full (see fifo_store), by put; none for a wait
template <class T>
class queue : public basic_queue<T, detail::fifo_store<T>> {
 public:
    using basic_queue<T, detail::fifo_store<T>>::basic_queue;
};

}  // namespace lariat::shared

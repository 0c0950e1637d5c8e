#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/sync/local_ref.hpp>
#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace lariat {

/// What a subscriber received.
template <class T>
struct broadcast_item {
    broadcast_item(const T& what, std::uint64_t how_many) : value(what), missed(how_many) {}

    T value;
    std::uint64_t missed;  ///< items before it that this subscriber was too slow for
};

struct broadcast_stats {
    std::size_t subscribers = 0;
    std::size_t kept = 0;  ///< items that a subscriber could still receive
    std::size_t capacity = 0;
    std::uint64_t sent = 0;
};

namespace detail {

template <class T>
struct broadcast_state : locally_shared {
    explicit broadcast_state(std::size_t most) noexcept : capacity(most) {}

    [[nodiscard]] std::uint64_t oldest() const noexcept { return next - items.size(); }

    std::deque<T> items;  // of the numbers oldest() ... next - 1
    std::uint64_t next = 0;
    std::size_t capacity;
    std::size_t subscribers = 0;
    bool closed = false;
    wait_queue line;  // subscribers that have received all
};

}  // namespace detail

/// One place on which a subscriber stands in what is sent; made by broadcast::subscribe().
///
/// Threads      one loop; one task at a time receives from it
/// Lifetime     free of the broadcast's: once that has gone it drains what was kept, then ends
template <class T>
class subscription {
 public:
    class receive_wait;

    subscription(subscription&&) noexcept = default;
    /// Pre, for both sides: nobody waits on it.
    subscription& operator=(subscription&& other) noexcept {
        subscription gone(std::move(*this));
        state_ = std::move(other.state_);
        next_ = other.next_;
        return *this;
    }
    ~subscription() {
        if (state_ && --state_->subscribers == 0) state_->items.clear();
    }

    /// Suspends until there is an item this subscriber has not received · Returns an optional
    /// broadcast_item: the oldest that is kept, and how many before it were missed; empty when
    /// closed and drained · Cancel: nothing was received; also as an arm of a select.
    receive_wait receive() noexcept { return receive_wait(*this); }
    /// The same without waiting; empty also when there is nothing new.
    [[nodiscard]] std::optional<broadcast_item<T>> try_receive() {
        const std::uint64_t oldest = state_->oldest();
        const std::uint64_t missed = next_ < oldest ? oldest - next_ : 0;
        std::optional<broadcast_item<T>> got;
        if (!behind()) return got;
        got.emplace(state_->items[static_cast<std::size_t>(next_ + missed - oldest)], missed);
        next_ += missed + 1;
        return got;
    }
    /// How many items were sent that it has not received, with those it missed.
    [[nodiscard]] std::uint64_t behind() const noexcept { return state_->next - next_; }

 private:
    template <class>
    friend class broadcast;
    using state = detail::broadcast_state<T>;

    explicit subscription(const detail::local_ref<state>& source) noexcept
        : state_(source), next_(source->next) {
        ++state_->subscribers;
    }

    detail::local_ref<state> state_;
    std::uint64_t next_;
};

template <class T>
class [[nodiscard(
    "it receives nothing until it is awaited: co_await it")]] subscription<T>::receive_wait
    : public detail::selectable_wait<receive_wait> {
 public:
    static constexpr wait_kind kind_of_wait{"a broadcast", &wait_queue::leave};

    explicit receive_wait(subscription& from) noexcept : from_(&from) {}

    [[nodiscard]] bool attempt() const noexcept {
        return from_->behind() != 0 || from_->state_->closed;
    }
    void join_line() noexcept { from_->state_->line.add(*this); }
    [[nodiscard]] std::optional<broadcast_item<T>> result() {
        detail::require(attempt(), "one task at a time receives from a subscription");
        return from_->try_receive();
    }

 private:
    subscription* from_;
};

/// Sends items to many: every subscriber receives every item sent after it subscribed.
///
///     lariat::broadcast<price> prices(64);
///     auto mine = prices.subscribe();
///     while (auto got = co_await mine.receive()) {  // got->value, and got->missed if too slow
///     }
///
/// Order        each subscriber receives in the order of sending; those who wait are woken in the
///              order in which they came
/// Threads      one loop
/// Lifetime     its end closes it; subscriptions may outlive it
/// Allocation   one state; room for items as they are kept; none for a wait
/// Limits       the last `capacity` items are kept; sending never waits: a subscriber that is
///              further behind goes on with the oldest kept, and is told how many it missed
template <class T>
class broadcast {
    static_assert(std::copy_constructible<T>, "every subscriber receives a copy of the item");
    using state = detail::broadcast_state<T>;

 public:
    /// Pre: capacity > 0.
    explicit broadcast(std::size_t capacity) : state_(new state(capacity)) {
        detail::require(capacity > 0, "a broadcast keeps at least one item");
    }
    broadcast(const broadcast&) = delete;
    broadcast& operator=(const broadcast&) = delete;
    ~broadcast() { close(); }

    /// Returns how many will receive it. Errors: closed_error; those of T's construction, and then
    /// nothing was sent.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    std::size_t send(U&& item) {
        state& to = *state_;
        if (to.closed) throw closed_error("broadcast.send");
        if (to.subscribers != 0) {
            to.items.emplace_back(std::forward<U>(item));
            if (to.items.size() > to.capacity) to.items.pop_front();
        }
        ++to.next;
        detail::grant_all(to.line);
        return to.subscribers;
    }
    /// From here on: what was sent before is not received.
    [[nodiscard]] subscription<T> subscribe() noexcept { return subscription<T>(state_); }

    /// Subscribers drain what is kept, then get an empty optional. Closing it again does nothing.
    void close() noexcept {
        state_->closed = true;
        detail::grant_all(state_->line);
    }
    [[nodiscard]] bool closed() const noexcept { return state_->closed; }
    [[nodiscard]] broadcast_stats stats() const noexcept {
        broadcast_stats now;
        now.subscribers = state_->subscribers;
        now.kept = state_->items.size();
        now.capacity = state_->capacity;
        now.sent = state_->next;
        return now;
    }

 private:
    detail::local_ref<state> state_;
};

}  // namespace lariat

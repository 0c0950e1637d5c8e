#pragma once

#include <lariat/sync/item_exchange.hpp>
#include <lariat/sync/item_store.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

/// What has passed through a channel.
struct channel_stats {
    std::size_t size = 0;
    std::size_t capacity = 0;
    std::uint64_t sent = 0;  ///< items accepted, ever
    std::uint64_t received = 0;
};

namespace detail {
struct channel_words {
    static constexpr wait_kind take{"an item of a channel", &wait_queue::leave};
    static constexpr wait_kind give{"a channel to take an item", &wait_queue::leave};
    static constexpr const char* give_verb = "channel.send";
};
}  // namespace detail

/// Hands items from senders to receivers. With capacity 0 they meet: a send ends when a receiver
/// has taken its item.
///
///     lariat::channel<int> results;
///     co_await results.send(1);
///     while (auto result = co_await results.receive()) { ... }  // ends after results.close()
///
/// Order        first in, first out; receivers are served first come, first served, and so are
///              senders; who comes later does not overtake
/// Threads      one loop; across loops: shared::channel
/// Lifetime     outlives those who wait (asserted); items left in it are destroyed with it
/// Allocation   a block for items now and then, by send; none with capacity 0, none for a wait
/// Limits       `capacity` items lie in it; a send then waits
///
/// A queue that counts what is done with, or takes any number of items: queue. To wait for several
/// channels at once: select.
template <class T>
class channel {
    static_assert(std::is_object_v<T> && std::move_constructible<T>,
                  "a channel's items are objects that can be moved");
    using exchange = detail::item_exchange<T, detail::fifo_store<T>, detail::channel_words>;

 public:
    using value_type = T;
    using receive_wait = typename exchange::taker;
    using send_wait = typename exchange::giver;

    explicit channel(std::size_t capacity = 0) noexcept : items_(capacity), capacity_(capacity) {}

    /// Suspends until there is room or a receiver · Errors: closed_error, also when it is closed
    /// meanwhile (errc::closed through nothrow); those of T's move · Cancel: nothing was sent.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    send_wait send(U&& item) {
        return send_wait(items_, std::forward<U>(item));
    }
    /// Suspends until there is an item · Returns an optional: empty when it is closed and drained ·
    /// Cancel: nothing was received; an item that had come before is delivered.
    receive_wait receive() noexcept { return receive_wait(items_); }

    /// False, and the item left as it was, when there is neither room nor a receiver that waits.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool try_send(U&& item) {
        return items_.give(std::forward<U>(item)) == detail::offer::taken;
    }
    /// Empty when there is neither an item nor a sender that waits.
    [[nodiscard]] std::optional<T> try_receive() {
        std::optional<T> item;
        items_.take(item);
        return item;
    }

    /// No more sends: those that wait and those that come get closed_error. Receivers drain what is
    /// left, then get an empty optional. Closing it again does nothing.
    void close() noexcept { items_.close(); }
    [[nodiscard]] bool closed() const noexcept { return items_.closed(); }

    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] channel_stats stats() const noexcept {
        channel_stats now;
        now.size = size();
        now.capacity = capacity_;
        now.sent = items_.accepted();
        now.received = now.sent - now.size;
        return now;
    }

 private:
    exchange items_;
    std::size_t capacity_;
};

}  // namespace lariat

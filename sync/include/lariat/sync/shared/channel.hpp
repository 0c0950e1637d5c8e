#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/sync/item_exchange.hpp>
#include <lariat/sync/item_store.hpp>
#include <lariat/sync/shared/exchange.hpp>
#include <lariat/sync/shared/waiting.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <source_location>
#include <utility>

namespace lariat::detail {

struct shared_channel_words {
    static constexpr const char* take = "a value of a shared::channel";
    static constexpr const char* give = "somebody to receive from a shared::channel";
    static constexpr const char* give_verb = "shared::channel.send";
};

}  // namespace lariat::detail

namespace lariat::shared {

/// Hands values between the tasks of all loops and plain threads. With no capacity sender and
/// receiver meet: a send ends when its value was received.
///
///     lariat::shared::channel<std::string> lines;       // or lines(16), to run ahead by so many
///     co_await lines.send("hello");                     // in a task of any loop
///     while (auto line = lines.receive_blocking()) ...  // in a thread; ends after lines.close()
///
/// Order        what one task or thread sends is received in that order. Receivers are served first
///              come, first served, and so are senders, tasks and threads alike
/// Threads      any; what was done before a send is seen after the value was received
/// Lifetime     outlives those who wait (asserted); values left in it are destroyed with it
/// Allocation   with a capacity: a block when the last one is full, by send; none for a wait
/// Limits       `capacity` values wait in it. A value's move may not throw
///
/// A cancelled receive has taken nothing, and a cancelled send has sent nothing, nor has one whose
/// time ran out; one that had succeeded before stands.
template <class T>
class channel {
    using words = detail::shared_channel_words;
    using exchange = detail::shared_exchange<T, detail::fifo_store<T>>;

 public:
    using value_type = T;
    using receive_wait = detail::shared_take<exchange, words>;
    using send_wait = detail::shared_give<exchange, words>;

    explicit channel(std::size_t capacity = 0) noexcept : values_(capacity), capacity_(capacity) {}

    /// Suspends until there is room, or somebody who receives · Errors: closed_error, also when it
    /// is closed meanwhile (errc::closed through nothrow) · Cancel: nothing was sent · Cost: a
    /// short lock.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] send_wait send(U&& value) {
        return send_wait(values_, std::forward<U>(value));
    }
    /// Suspends until there is a value · Returns an optional: empty when it is closed and drained ·
    /// Cancel: nothing was taken · Cost: a short lock.
    [[nodiscard]] receive_wait receive() noexcept { return receive_wait(values_); }

    /// For threads without a loop, which sleep meanwhile. Errors: as send's.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void send_blocking(U&& value, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("send_blocking", "co_await x.send(value)", where);
        detail::with_item<T>(std::forward<U>(value), [this](T& own) {
            detail::give_blocking(values_, own, forever).value(words::give_verb);
        });
    }
    /// With a time: false, and the value left as it was, if nobody took it for so long.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool send_blocking(U&& value, duration longest,
                                     std::source_location where = std::source_location::current()) {
        detail::require_no_loop("send_blocking", "co_await lariat::timeout(t, x.send(value))",
                                where);
        return detail::with_item<T>(std::forward<U>(value), [&](T& own) {
            return detail::given_in_time(values_, own, longest, words::give_verb);
        });
    }
    /// Returns an optional, as receive().
    [[nodiscard]] std::optional<T> receive_blocking(
        std::source_location where = std::source_location::current()) {
        detail::require_no_loop("receive_blocking", "co_await x.receive()", where);
        result<T> got = detail::take_blocking(values_, forever);
        return got ? std::optional<T>(*std::move(got)) : std::nullopt;
    }
    /// With a time: errc::timed_out if no value came for so long, errc::closed if it is closed and
    /// drained.
    [[nodiscard]] result<T> receive_blocking(
        duration longest, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("receive_blocking", "co_await lariat::timeout(t, x.receive())",
                                where);
        return detail::take_blocking(values_, detail::deadline_after(longest));
    }

    /// False, and the value left as it was, when nobody can take it now, or it is closed.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool try_send(U&& value) {
        return detail::with_item<T>(std::forward<U>(value), [this](T& own) {
            return values_.give(own, nullptr) == detail::offer::taken;
        });
    }
    /// Empty when there is no value.
    [[nodiscard]] std::optional<T> try_receive() {
        std::optional<T> value;
        (void)values_.take(value, nullptr);
        return value;
    }

    /// No more sends: those that wait and those that come get closed_error. Receivers drain what is
    /// left, then get an empty optional. Closing it again does nothing.
    void close() noexcept { values_.close(); }
    [[nodiscard]] bool closed() const noexcept { return values_.closed(); }

    /// How many waited in it an instant ago.
    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
    exchange values_;
    std::size_t capacity_;
};

}  // namespace lariat::shared

#pragma once

#include <lariat/base/error.hpp>
#include <lariat/sync/local_ref.hpp>
#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
struct watch_state : locally_shared {
    template <class U>
    explicit watch_state(U&& initial) : value(std::forward<U>(initial)) {}

    T value;
    std::uint64_t version = 1;
    bool closed = false;
    wait_queue line;  // readers that have seen this version
};

}  // namespace detail

/// One reader of a watch, and the version it has seen last; made by watch::subscribe(). A copy has
/// seen the same.
///
/// Threads      one loop
/// Lifetime     free of the watch's: once that has gone it reads the last value
template <class T>
class watch_reader {
    template <bool WithValue>
    class wait;

 public:
    using next_wait = wait<true>;
    using changed_wait = wait<false>;

    /// Suspends until there is a value this reader has not seen; the first time, not at all ·
    /// Returns a copy of the latest, in an optional: empty when it is closed and the last was seen
    /// · Cancel: nothing counts as seen; also as an arm of a select.
    next_wait next() noexcept
        requires std::copy_constructible<T>
    {
        return next_wait(*this);
    }
    /// The same without a copy: true, and then borrow(); false when closed and the last was seen.
    changed_wait changed() noexcept { return changed_wait(*this); }

    /// The latest value, until the next await; it does not count as seen.
    [[nodiscard]] const T& borrow() const noexcept { return state_->value; }
    [[nodiscard]] bool has_changed() const noexcept { return state_->version != seen_; }

 private:
    template <class>
    friend class watch;
    using state = detail::watch_state<T>;

    explicit watch_reader(const detail::local_ref<state>& source) noexcept : state_(source) {}

    detail::local_ref<state> state_;
    std::uint64_t seen_ = 0;
};

template <class T>
template <bool WithValue>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] watch_reader<T>::wait
    : public detail::selectable_wait<wait<WithValue>> {
 public:
    static constexpr wait_kind kind_of_wait{"a watch to change", &wait_queue::leave};

    explicit wait(watch_reader& reader) noexcept : reader_(&reader) {}

    [[nodiscard]] bool attempt() const noexcept {
        return reader_->has_changed() || reader_->state_->closed;
    }
    void join_line() noexcept { reader_->state_->line.add(*this); }
    /// Of two tasks that wait on one reader each is told of the change.
    [[nodiscard]] auto result() {
        const bool fresh = reader_->has_changed() || !reader_->state_->closed;
        if constexpr (WithValue) {
            std::optional<T> latest;
            if (fresh) latest.emplace(reader_->borrow());
            reader_->seen_ = reader_->state_->version;
            return latest;
        } else {
            reader_->seen_ = reader_->state_->version;
            return fresh;
        }
    }

 private:
    watch_reader* reader_;
};

/// A value that changes, for readers who care for the latest only: a setting, a state, a price.
///
///     lariat::watch<config> current(load());
///     auto reader = current.subscribe();
///     while (auto now = co_await reader.next()) apply(*now);   // the present one at once
///     current.set(load());                                     // in another task
///
/// Order        readers are woken in the order in which they came; what they do not see in time
///              they never see
/// Threads      one loop
/// Lifetime     its end closes it; readers may outlive it
/// Allocation   one state; none to set or to wait
template <class T>
class watch {
    using state = detail::watch_state<T>;

 public:
    template <class U = T>
        requires std::convertible_to<U&&, T>
    explicit watch(U&& initial) : state_(new state(std::forward<U>(initial))) {}
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    ~watch() { close(); }

    /// Replaces the value and wakes the readers; runs nobody. Errors: closed_error; those of T's
    /// assignment, and then nobody is told.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void set(U&& value) {
        update([&](T& now) { now = std::forward<U>(value); });
    }
    /// The same by `change(value)`, in place.
    template <std::invocable<T&> Change>
    void update(Change&& change) {
        if (closed()) throw closed_error("watch.set");
        std::forward<Change>(change)(state_->value);
        ++state_->version;
        detail::grant_all(state_->line);
    }

    /// The latest value, until it is set again.
    [[nodiscard]] const T& borrow() const noexcept { return state_->value; }
    [[nodiscard]] T get() const
        requires std::copy_constructible<T>
    {
        return state_->value;
    }
    /// How often it was set, counting the first value.
    [[nodiscard]] std::uint64_t version() const noexcept { return state_->version; }

    /// It has seen nothing yet: its first wait ends at once.
    [[nodiscard]] watch_reader<T> subscribe() noexcept { return watch_reader<T>(state_); }

    /// Readers see the last value if they have not, then end. Closing it again does nothing.
    void close() noexcept {
        state_->closed = true;
        detail::grant_all(state_->line);
    }
    [[nodiscard]] bool closed() const noexcept { return state_->closed; }

 private:
    detail::local_ref<state> state_;
};

}  // namespace lariat

#pragma once

#include <lariat/process/manager_call.hpp>

#include <tuple>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
class served_value {
 public:
    explicit served_value(T value) : value_(std::move(value)) {}

    [[nodiscard]] const T& get() const noexcept { return value_; }
    void set(T value) { value_ = std::move(value); }
    [[nodiscard]] T exchange(T value) { return std::exchange(value_, std::move(value)); }
    [[nodiscard]] bool compare_exchange(const T& expected, T desired) {
        const bool same = value_ == expected;
        if (same) value_ = std::move(desired);
        return same;
    }
    [[nodiscard]] T fetch_add(const T& more) {
        T before = value_;
        value_ = static_cast<T>(value_ + more);
        return before;
    }

 private:
    T value_;
};

}  // namespace detail

/// One value in a manager.
///
///     auto sold = co_await m.make<lariat::managed_value<int>>(0);
///     int before = co_await sold.fetch_add(1);
///
/// Each verb is one step. Errors, Cancel, Threads, Lifetime: those of proxy.
template <transferable T>
class managed_value : public detail::proxy_of<managed_value<T>, detail::served_value<T>> {
    using body_type = detail::served_value<T>;

 public:
    using detail::proxy_of<managed_value, body_type>::proxy_of;

    [[nodiscard]] auto get() const { return this->template ask<&body_type::get>(); }
    [[nodiscard]] auto set(T value) const {
        return this->template ask<&body_type::set>(std::move(value));
    }
    /// Returns what was there.
    [[nodiscard]] auto exchange(T value) const {
        return this->template ask<&body_type::exchange>(std::move(value));
    }
    /// Returns whether it was `expected`; only then it is `desired` now.
    [[nodiscard]] auto compare_exchange(const T& expected, T desired) const {
        return this->template ask<&body_type::compare_exchange>(expected, std::move(desired));
    }
    /// Returns what was there.
    [[nodiscard]] auto fetch_add(const T& more) const {
        return this->template ask<&body_type::fetch_add>(more);
    }

    /// Library use.
    [[nodiscard]] static std::tuple<T> initial(T value = T()) {
        return std::tuple<T>(std::move(value));
    }
};

}  // namespace lariat

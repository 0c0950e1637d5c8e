#pragma once

#include <lariat/base/error.hpp>

#include <optional>
#include <system_error>
#include <utility>

namespace lariat {

/// A value, or the error code that took its place: what `co_await nothrow(verb)` gives.
template <class T = void>
class [[nodiscard("a result may hold an error; look at it or call value()")]] result {
 public:
    result(T value) : value_(std::move(value)) {}
    result(std::error_code error) noexcept : error_(error) {}

    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

    /// Pre: has_value(), for these five.
    [[nodiscard]] T& operator*() & noexcept { return *value_; }
    [[nodiscard]] const T& operator*() const& noexcept { return *value_; }
    [[nodiscard]] T&& operator*() && noexcept { return *std::move(value_); }
    [[nodiscard]] T* operator->() noexcept { return &*value_; }
    [[nodiscard]] const T* operator->() const noexcept { return &*value_; }

    /// Errors: throws the exception that belongs to error().
    [[nodiscard]] T value(const char* what = "result") && {
        if (!value_) throw_error(error_, what);
        return std::move(*value_);
    }
    [[nodiscard]] T& value(const char* what = "result") & {
        if (!value_) throw_error(error_, what);
        return *value_;
    }

 private:
    std::optional<T> value_;
    std::error_code error_;
};

template <>
class [[nodiscard("a result may hold an error; look at it or call value()")]] result<void> {
 public:
    result() noexcept = default;
    result(std::error_code error) noexcept : error_(error) {}

    [[nodiscard]] bool has_value() const noexcept { return !error_; }
    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    void value(const char* what = "result") const {
        if (error_) throw_error(error_, what);
    }

 private:
    std::error_code error_;
};

}  // namespace lariat

#pragma once

#include <lariat/base/error.hpp>
#include <lariat/task/task.hpp>

#include <exception>
#include <optional>
#include <utility>

namespace lariat {

/// How a task ended: with a value, with an exception, or cancelled.
///
/// Lifetime     owns the value or the exception
template <class T = void>
class outcome {
 public:
    /// Pre: the frame has finished, or never ran (cancelled before). One that gave nothing may have
    /// gone.
    outcome(party_outcome how, std::coroutine_handle<task_promise<T>> frame) : how_(how) {
        if (how_ == party_outcome::value) {
            value_.emplace(taken(frame));
        } else if (how_ == party_outcome::error) {
            error_ = frame.promise().failure();
        }
    }

    [[nodiscard]] bool is_value() const noexcept { return how_ == party_outcome::value; }
    [[nodiscard]] bool is_error() const noexcept { return how_ == party_outcome::error; }
    [[nodiscard]] bool is_cancelled() const noexcept { return how_ == party_outcome::cancelled; }

    /// Null unless is_error().
    [[nodiscard]] std::exception_ptr error() const noexcept { return error_; }
    /// The value. Errors: the task's exception; task_cancelled.
    T value() && {
        if (is_error()) std::rethrow_exception(error_);
        if (is_cancelled()) throw task_cancelled();
        return value_->get();
    }

 private:
    /// One shape for values, references and void.
    struct holder {
        detail::result_slot<T> slot;
        T get() { return slot.take(); }
    };
    static holder taken(std::coroutine_handle<task_promise<T>> frame) {
        if constexpr (std::is_void_v<T>) {
            return holder{};
        } else {
            detail::result_slot<T>& slot = frame.promise();
            return holder{std::move(slot)};
        }
    }

    party_outcome how_;
    std::optional<holder> value_;
    std::exception_ptr error_;
};

}  // namespace lariat

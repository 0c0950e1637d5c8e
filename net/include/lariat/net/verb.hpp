#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/task/task.hpp>

#include <string>
#include <system_error>
#include <utility>

namespace lariat {

/// A verb of several steps: awaited, it gives the value or throws; through nothrow(), a result.
template <class T>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] verb : public awaiter_base {
 public:
    /// `what` stands before the reason in an exception's text: "connecting to 127.0.0.1:80".
    /// `raise` throws the exception for an error code. `known` is given to it, for what a code
    /// cannot carry: something that lives as long as the verb, a parameter of the steps for
    /// instance.
    using raiser = void (*)(std::error_code, const std::string& what, const void* known);
    verb(task<result<T>> steps, std::string what, raiser raise = &raise_plainly,
         const void* known = nullptr) noexcept
        : inner_(std::move(steps)), what_(std::move(what)), raise_(raise), known_(known) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        return inner_.await_suspend(frame);
    }
    T await_resume() {
        result<T> ended = inner_.await_resume();
        if (!ended) raise_(ended.error(), what_, known_);
        return std::move(ended).value();
    }
    /// For nothrow().
    result<T> finish_nothrow() { return inner_.await_resume(); }

 private:
    [[noreturn]] static void raise_plainly(std::error_code code, const std::string& what,
                                           const void*) {
        throw_error(code, what);
    }

    typename task<result<T>>::awaiter inner_;
    std::string what_;
    raiser raise_;
    const void* known_;
};

}  // namespace lariat

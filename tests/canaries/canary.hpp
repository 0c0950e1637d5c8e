#pragma once

// What the canaries share: the smallest task that can wait, and a type that counts its lives. They
// use no Lariat, so that what they show is the compiler's doing alone.

#include <coroutine>
#include <cstdio>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

namespace canary {

inline std::vector<std::coroutine_handle<>> ready;

/// Suspends, to be resumed by run().
struct turn {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) const { ready.push_back(waiting); }
    void await_resume() const noexcept {}
};

/// What co_yield answers: whether to yield again.
struct again : turn {
    bool await_resume() const noexcept { return left-- > 0; }
    static inline int left = 0;
};

struct promise_base {
    template <class Item>
    again yield_value(const Item&) const noexcept {
        return {};
    }
    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            return ended.promise().awaiting;
        }
        void await_resume() const noexcept {}
    };
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { std::terminate(); }

    std::coroutine_handle<> awaiting = std::noop_coroutine();
};

template <class T>
struct value_promise : promise_base {
    template <class Value>
    void return_value(Value&& given) {
        value.emplace(std::forward<Value>(given));
    }
    T take() { return std::move(*value); }
    std::optional<T> value;
};
template <>
struct value_promise<void> : promise_base {
    void return_void() const noexcept {}
    void take() const noexcept {}
};

template <class T = void>
struct task {
    struct promise_type : value_promise<T> {
        task get_return_object() {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    explicit task(std::coroutine_handle<promise_type> of) : frame(of) {}
    task(task&& other) noexcept : frame(std::exchange(other.frame, nullptr)) {}
    ~task() {
        if (frame) frame.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> by) noexcept {
        frame.promise().awaiting = by;
        return frame;
    }
    T await_resume() { return frame.promise().take(); }

    std::coroutine_handle<promise_type> frame;
};

/// Runs until nothing is ready; whether the task has ended.
inline bool run(task<>& main_task) {
    main_task.frame.resume();
    while (!ready.empty()) {
        auto next = ready.back();
        ready.pop_back();
        next.resume();
    }
    return main_task.frame.done();
}

/// Counts constructions and destructions. Destroyed twice is counted, where a string would crash.
struct counted {
    counted() { ++made; }
    counted(const counted&) { ++made; }
    counted(counted&&) noexcept { ++made; }
    counted& operator=(const counted&) = default;
    ~counted() { ++gone; }
    static inline int made = 0;
    static inline int gone = 0;
};

/// The lines run.py reads.
inline int report(bool right, const char* wrong) {
    std::puts(right ? "right" : wrong);
    return right ? 0 : 1;
}

/// Runs the task and reports whether every counted object was destroyed once.
inline int report_lives(task<> main_task) {
    {
        task<> scoped = std::move(main_task);
        if (!run(scoped)) return report(false, "unfinished");
    }
    if (counted::gone < counted::made) return report(false, "leaked");
    return report(counted::gone == counted::made, "destroyed twice");
}

}  // namespace canary

#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/task/promise.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace lariat {

template <class T>
class async_generator;

namespace detail {

/// A co_yield, and the end of the body: goes on with the one that called next().
struct back_to_consumer {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
        const std::coroutine_handle<> next = frame.promise().continue_with();
        if (!frame.promise().failed()) frame.promise().clear_continuation();
        return next;
    }
    void await_resume() const noexcept {}
};

/// The continuation is set while a next() is under way and null otherwise.
template <class T>
struct async_generator_promise : promise_base {
    using item_type = std::remove_reference_t<T>;

    /// A co_yield of something that stays the generator's: the consumer gets this copy.
    struct yielded_copy : back_to_consumer {
        explicit yielded_copy(const item_type& value) : copy(value) {}
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
            frame.promise().item = std::addressof(copy);
            return back_to_consumer::await_suspend(frame);
        }
        item_type copy;
    };

    explicit async_generator_promise(
        std::source_location made = std::source_location::current()) noexcept {
        where = made;
    }
    async_generator<T> get_return_object() noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    back_to_consumer final_suspend() noexcept {
        item = nullptr;
        return {};
    }
    void return_void() const noexcept {}

    // A temporary, and what a reference refers to, stays in the generator's frame until the next
    // next(): the consumer moves or looks from there.
    back_to_consumer yield_value(item_type&& value) noexcept
        requires(!std::is_reference_v<T>)
    {
        item = std::addressof(value);
        return {};
    }
    yielded_copy yield_value(const item_type& value)
        requires(!std::is_reference_v<T> && std::copy_constructible<item_type>)
    {
        return yielded_copy(value);
    }
    back_to_consumer yield_value(T value) noexcept
        requires(std::is_reference_v<T>)
    {
        item = std::addressof(value);
        return {};
    }

    item_type* item = nullptr;
};

}  // namespace detail

/// A coroutine that gives many values and may wait between them: its body uses co_yield and
/// co_await.
///
///     lariat::async_generator<std::string> lines(lariat::tcp_stream& from);
///
///     auto text = lines(stream);
///     while (auto line = co_await text.next()) std::puts(line->c_str());
///
/// GCC 12 miscompiles a body without a local variable that awaits or yields in a condition, and
/// destroys the item of `co_yield aggregate{...}` twice unless its type has a constructor
/// (tests/canaries, G1 and G3).
///
/// Order        the body runs in its consumer's place, from one next() to the co_yield that
///              answers it
/// Threads      one loop
/// Lifetime     owns its frame. Destroyed before the end, the body goes no further than its
///              co_yield and its locals are destroyed; stops the program while a next() is under
///              way. Parameters taken by reference must outlive it
/// Allocation   one frame, from the thread's recycling allocator; none an item
/// Limits       generators that own one another, abandoned half-way, end each inside the other: a
///              chain of 100,000 is about what a stack of 8 MiB has room for
template <class T>
class [[nodiscard("a generator does nothing until its next() is awaited")]] async_generator {
    static_assert(
        !std::is_void_v<T> && !std::is_rvalue_reference_v<T> && !std::is_const_v<T>,
        "an async_generator yields values (async_generator<T>), which are the consumer's own, or "
        "references (async_generator<T&>, async_generator<const T&>)");
    class next_awaiter;

 public:
    using promise_type = detail::async_generator_promise<T>;
    /// What next() gives; false at the end. A value is moved out of a yielded temporary and copied
    /// from a yielded variable (`co_yield std::move(v)` moves it, and must if T cannot be copied).
    /// Of a reference it is a pointer, to what the body yielded: for a temporary, good until the
    /// next next().
    using item =
        std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::optional<T>>;

    async_generator() noexcept = default;
    async_generator(async_generator&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    async_generator& operator=(async_generator&& other) noexcept {
        if (this != &other) {
            reset();
            frame_ = std::exchange(other.frame_, {});
        }
        return *this;
    }
    ~async_generator() { reset(); }

    /// Lets the body run to its next co_yield.
    ///
    /// Suspends as the body does · Returns the item, or what is false after the end, also when
    /// asked again · Errors: the body's exception, which ends it · Cancel: the body's awaits throw
    /// · Overlap: stops the program: one next() at a time; different tasks may take turns · Cost:
    /// no turn of the loop
    [[nodiscard("co_await it")]] next_awaiter next() noexcept { return next_awaiter(frame_); }

    /// False once it was moved from.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

 private:
    friend promise_type;
    using handle = std::coroutine_handle<promise_type>;

    explicit async_generator(handle frame) noexcept : frame_(frame) {}
    void reset() noexcept {
        if (!frame_) return;
        detail::require(!frame_.promise().continuation(),
                        "an async_generator must not be destroyed while its next() is under way");
        std::exchange(frame_, {}).destroy();
    }

    handle frame_;
};

template <class T>
class [[nodiscard("next() does nothing until it is awaited")]] async_generator<T>::next_awaiter
    : public awaiter_base {
 public:
    explicit next_awaiter(handle frame) noexcept : frame_(frame) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
        detail::require(static_cast<bool>(frame_), "this async_generator was moved from");
        promise_type& body = frame_.promise();
        detail::require(
            !body.continuation(),
            "next() of an async_generator was called while another next() of it is under way; "
            "let one task consume it and hand the items on through a queue");
        party& p = party_of(caller);
        std::coroutine_handle<> next = caller;
        if (!frame_.done()) [[likely]] {
            body.set_continuation(caller);
            next = frame_;
        }
        if (this_scheduler->spend()) [[likely]]
            return next;
        // The budget is also the trampoline: where transfers are no tail calls, the stack unwinds
        // here.
        p.requeue(next);
        return std::noop_coroutine();
    }

    item await_resume() {
        promise_type& body = frame_.promise();
        if (body.item != nullptr) [[likely]]
            return taken(*body.item);
        if (body.failed()) [[unlikely]]
            std::rethrow_exception(body.take_failure());
        return {};
    }

 private:
    static item taken(std::remove_reference_t<T>& yielded) {
        if constexpr (std::is_reference_v<T>) {
            return std::addressof(yielded);
        } else {
            return item(std::in_place, std::move(yielded));
        }
    }

    handle frame_;
};

template <class T>
async_generator<T> detail::async_generator_promise<T>::get_return_object() noexcept {
    return async_generator<T>(std::coroutine_handle<async_generator_promise>::from_promise(*this));
}

}  // namespace lariat

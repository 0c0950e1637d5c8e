#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

namespace lariat {

template <class T = void>
class future;
template <class T = void>
class promise;

namespace detail {

/// What a promise and its future share, without the result's type. Counted: the promise, the
/// future, and the message on its way to the loop.
///
/// States       pending -> awaited (the future's loop) -> pending (a cut) ...
///              pending | awaited -> set (whoever holds the promise, any thread)
/// Invariant 1  the fields of the waiting side are its loop's, but `home` and `box` are lent to the
///              one who turns `awaited` into `set`
/// Invariant 2  the message is posted once at most: by the turn from `awaited` to `set`, on another
///              thread
/// Invariant 3  result and failure are written by the one who claimed, before `set`
struct LARIAT_EXPORT future_core : posted {
    enum class phase : std::uint8_t { pending, awaited, set };
    using destroyer = void (*)(future_core&) noexcept;

    explicit future_core(destroyer how) noexcept : posted(&arrived), destroy(how) {}

    /// The right to set it: true for the first who asks.
    [[nodiscard]] bool claim() noexcept {
        return !claimed.exchange(true, std::memory_order_relaxed);
    }
    /// Pre: claimed. Shows the result to the future's side and wakes who waits there.
    void publish() noexcept;
    void drop_ref() noexcept;

    /// Acquires what publish() released.
    [[nodiscard]] bool is_set() const noexcept {
        return state.load(std::memory_order_acquire) == phase::set;
    }
    /// True if `w` is to be parked; false if the result is there.
    [[nodiscard]] bool wait(waiter& w);
    /// Takes the waiter out; false if the result came first.
    [[nodiscard]] bool stop_waiting() noexcept;

    std::atomic<phase> state{phase::pending};
    std::atomic<bool> claimed{false};
    std::atomic<std::uint32_t> refs{2};
    bool dropped = false;  ///< set by the end of a promise that had no result
    destroyer destroy;
    std::exception_ptr failure;
    waiter* waiting = nullptr;
    scheduler* home = nullptr;  ///< where `waiting` is parked
    std::shared_ptr<mailbox> box;

 private:
    static void arrived(posted& message, end how);
};

template <class T>
struct future_state final : future_core {
    future_state() noexcept : future_core(&destroy_this) {}
    static void destroy_this(future_core& core) noexcept {
        delete static_cast<future_state*>(&core);
    }
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    result_slot<T> slot;
};

/// A counted pointer to the shared state; each side has one.
template <class T>
class future_ref {
 public:
    future_ref() noexcept = default;
    explicit future_ref(future_state<T>& owned) noexcept : state_(&owned) {}
    future_ref(future_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    future_ref& operator=(future_ref&& other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~future_ref() {
        if (state_ != nullptr) state_->drop_ref();
    }

    [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
    future_state<T>& operator*() const noexcept { return *state_; }
    future_state<T>* operator->() const noexcept { return state_; }

 private:
    future_state<T>* state_ = nullptr;
};

/// Waits until a promise was set.
class LARIAT_EXPORT future_wait : public wait_point, public single_step {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!core_->wait(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    explicit future_wait(future_core& core) noexcept : wait_point(kind_of_wait), core_(&core) {}
    /// Errors: `cancelled`.
    void check() const { throw_if_cut(); }
    [[noreturn]] static void throw_dropped();

 private:
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    future_core* core_;
};

}  // namespace detail

/// The other end of a promise: what a task awaits.
///
/// Order        the awaiting task becomes ready when the promise is set, or when the loop hears of
///              it from another thread
/// Threads      one loop: the one that awaits it
/// Lifetime     outlives its await; otherwise free of the promise's
/// Allocation   none
template <class T>
class [[nodiscard]] future {
 public:
    future() noexcept = default;
    future(future&&) noexcept = default;
    future& operator=(future&& other) noexcept {
        future gone(std::move(*this));
        state_ = std::move(other.state_);
        return *this;
    }
    ~future() {
        detail::require(!state_ || state_->waiting == nullptr,
                        "a future must outlive the task that awaits it");
    }

    /// Suspends until the promise is set, not at all if it is · Returns the result, once: the
    /// future is then empty · Errors: the exception that was set; closed_error if the promise was
    /// dropped unset (through nothrow: errc::closed) · Cancel: stops waiting, the future can be
    /// awaited again.
    auto operator co_await() & noexcept { return awaiter(*this); }
    auto operator co_await() && noexcept { return awaiter(*this); }

    /// Whether an await would not suspend.
    [[nodiscard]] bool ready() const noexcept { return checked().is_set(); }
    /// False for an empty future, or when the result was taken.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(state_); }

 private:
    friend class promise<T>;
    using ref = detail::future_ref<T>;

    explicit future(detail::future_state<T>& state) noexcept : state_(state) {}
    [[nodiscard]] detail::future_state<T>& checked() const noexcept {
        detail::require(static_cast<bool>(state_),
                        "this future is empty or its result was already taken");
        return *state_;
    }

    class awaiter : public detail::future_wait {
     public:
        explicit awaiter(future& from) noexcept : future_wait(from.checked()), from_(&from) {}
        T await_resume() {
            const ref ended = take();
            if (ended->dropped) throw_dropped();
            return ended->slot.take();
        }
        /// For nothrow(). Errors: an exception without an error code is thrown here too.
        result<T> finish_nothrow()
            requires(!std::is_reference_v<T>)
        {
            ref ended;
            try {
                ended = take();
            } catch (const std::system_error& failure) {
                return failure.code();
            }
            if (ended->dropped) return make_error_code(errc::closed);
            if constexpr (std::is_void_v<T>) {
                return result<T>();
            } else {
                return result<T>(ended->slot.take());
            }
        }

     private:
        [[nodiscard]] ref take() {
            check();
            (void)from_->checked();  // moved from, or taken by another task, since
            ref ended = std::move(from_->state_);
            if (ended->failure) [[unlikely]]
                std::rethrow_exception(std::exchange(ended->failure, nullptr));
            return ended;
        }
        future* from_;
    };

    ref state_;
};

/// A result that somebody else will bring, once: the bridge from callbacks and other threads.
///
///     lariat::promise<int> answer;
///     library.ask([&] { answer.set_value(42); });   // from any thread
///     int value = co_await answer.get_future();
///
/// Threads      made, set and destroyed on any thread; of several that set it at once the first
///              succeeds
/// Lifetime     free of the future's and of the loop's: what nobody waits for any more is destroyed
///              with the last of the two. Destroyed unset, it breaks its future
/// Allocation   one record for both; nothing when it is set
template <class T>
class promise {
 public:
    promise() : state_(*new detail::future_state<T>) {}
    promise(promise&&) noexcept = default;
    promise& operator=(promise&& other) noexcept {
        promise gone(std::move(*this));
        state_ = std::move(other.state_);
        future_taken_ = std::exchange(other.future_taken_, false);
        return *this;
    }
    ~promise() {
        if (!state_) return;
        if (state_->claim()) {
            state_->dropped = true;
            state_->publish();
        }
        if (!future_taken_) state_->drop_ref();
    }

    /// Pre: called once.
    [[nodiscard]] future<T> get_future() {
        detail::require(static_cast<bool>(state_), "this promise was moved from");
        detail::require(!std::exchange(future_taken_, true),
                        "a promise has one future; it was taken");
        return future<T>(*state_);
    }

    /// Sets the result and wakes who awaits it; runs nobody. Errors: stops the program if it was
    /// set before, unless by try_set_value, which then returns false.
    void set_value(std::source_location where = std::source_location::current())
        requires(std::is_void_v<T>)
    {
        require_first(try_set_value(), where);
    }
    template <class U = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, U &&>)
    void set_value(U&& value, std::source_location where = std::source_location::current()) {
        require_first(try_set_value(std::forward<U>(value)), where);
    }
    [[nodiscard]] bool try_set_value()
        requires(std::is_void_v<T>)
    {
        return set([](auto&) {});
    }
    template <class U = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, U &&>)
    [[nodiscard]] bool try_set_value(U&& value) {
        return set([&](auto& state) { state.slot.return_value(std::forward<U>(value)); });
    }

    /// The same, with the exception that the await is to throw. Pre: not null.
    void set_exception(std::exception_ptr error,
                       std::source_location where = std::source_location::current()) {
        require_first(try_set_exception(std::move(error)), where);
    }
    [[nodiscard]] bool try_set_exception(std::exception_ptr error) {
        detail::require(error != nullptr, "a promise is not set to an exception that is null");
        return set([&](auto& state) { state.failure = std::move(error); });
    }

    /// False once it was moved from.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(state_); }

 private:
    static void require_first(bool first, std::source_location where) {
        detail::require(first, "a promise is set once; where several may try, use try_set_value",
                        where);
    }
    template <class Store>
    bool set(Store&& store) {
        detail::require(static_cast<bool>(state_), "this promise was moved from");
        if (!state_->claim()) return false;
        try {
            store(*state_);
        } catch (...) {  // the value's own constructor: nothing was set
            state_->claimed.store(false, std::memory_order_relaxed);
            throw;
        }
        state_->publish();
        return true;
    }

    detail::future_ref<T> state_;
    bool future_taken_ = false;
};

}  // namespace lariat

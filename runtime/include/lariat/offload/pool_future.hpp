#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/bound_call.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/offload/blocking.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat {

template <class T = void>
class pool_future;

namespace detail {

/// Somebody who is told once, on whatever thread it happens, and is then left alone.
struct work_listener {
    using action = void (*)(work_listener&) noexcept;
    explicit work_listener(action how) noexcept : tell(how) {}
    action tell;
};

/// Blocks this thread until the listener that `start` is given was told; not at all if `start`
/// returns false. Pre: no loop runs on this thread.
LARIAT_EXPORT void block_thread(bool (*start)(void* what, work_listener& me), void* what);

/// Work that somebody submitted, and its end, without the result's type. Counted: the pool, until
/// the work has ended, and the one who asked.
///
/// States       pending -> ended (once: the worker, a cancel, or a shutdown)
/// Invariant 1  `how`, the result and the failure are written before the end is published
/// Invariant 2  whoever listens is told once, or has stopped listening
struct LARIAT_EXPORT work_core : blocking_job {
    enum class ending : std::uint8_t { none, value, error, cancelled, dropped };
    using destroyer = void (*)(work_core&) noexcept;

    work_core(action work, destroyer destroy_it) noexcept;
    work_core(const work_core&) = delete;
    work_core& operator=(const work_core&) = delete;

    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    /// Hands it to the pool, which has a reference until the work has ended; that dropped the last
    /// one may report a failure. Returns false if it stands in line: `when_in` is then told when it
    /// has left that for the queue, or was dropped. Errors: blocking_pool::submit's.
    [[nodiscard]] bool submit_to(blocking_pool& its_pool, work_listener* when_in);
    /// The same; false if it would have to stand in line.
    [[nodiscard]] bool try_submit_to(blocking_pool& its_pool);
    void drop_ref() noexcept;
    /// On the worker, or on behalf of work that will not run: the pool lets go of it.
    void end(ending in_what_way) noexcept;

    /// Acquires what end() released.
    [[nodiscard]] bool ended() const noexcept {
        return listener_.load(std::memory_order_acquire) == &nobody_more;
    }
    /// True if it will be told; false if it has ended.
    [[nodiscard]] bool listen(work_listener& who) noexcept;
    /// False if it has been told, or is being told now.
    [[nodiscard]] bool stop_listening(work_listener& who) noexcept;

    /// The listener goes, and the asker's reference is the worker's from now on. False if it is
    /// being told.
    [[nodiscard]] bool abandon(work_listener& who) noexcept;

    /// True if it will now never run; its listener, if there is one, is told.
    [[nodiscard]] bool cancel() noexcept;
    /// Waits on this thread. False if `until` came first.
    [[nodiscard]] bool wait_blocking(time_point until);
    /// Pre: ended. Errors: the work's own; task_cancelled; closed_error.
    void throw_failure();

    destroyer destroy;
    blocking_pool* pool = nullptr;
    work_listener* room = nullptr;  ///< looked at only while it stands in line
    std::shared_ptr<mailbox> home;  ///< where a failure that nobody heard of is reported
    std::exception_ptr failure;
    ending how = ending::none;
    std::atomic<std::uint32_t> refs{1};

 private:
    void belong_to(blocking_pool& its_pool);
    static void dropped(blocking_job& job, bool was_in_line) noexcept;
    static void admitted(blocking_job& job) noexcept;
    void report_unheard() noexcept;
    static const job_hooks hooks_of_work;
    // Only their addresses matter: the marks of what has ended, and of what nobody waits for.
    static work_listener nobody_more;
    static work_listener nobody_left;

    std::atomic<work_listener*> listener_{nullptr};
};

template <class T>
struct work_result : work_core {
    using work_core::work_core;
    result_slot<T> slot;
};

template <class Call, class T>
struct work_record final : work_result<T> {
    template <class... Args>
    explicit work_record(Args&&... args) : work_result<T>(&perform, &destroy_this) {
        call.emplace(std::in_place, std::forward<Args>(args)...);
    }

    static void perform(blocking_job& job) noexcept {
        auto& self = static_cast<work_record&>(job);
        auto how = work_core::ending::value;
        try {
            if constexpr (std::is_void_v<T>) {
                (*self.call)();
            } else {
                self.slot.return_value((*self.call)());
            }
        } catch (...) {
            self.failure = std::current_exception();
            how = work_core::ending::error;
        }
        self.call.reset();  // what it holds goes on the worker, before anybody hears of the end
        self.end(how);
    }
    static void destroy_this(work_core& core) noexcept { delete static_cast<work_record*>(&core); }

    std::optional<Call> call;
};

/// The asker's counted pointer.
template <class T>
class work_ref {
 public:
    work_ref() noexcept = default;
    explicit work_ref(work_result<T>& owned) noexcept : work_(&owned) {}
    work_ref(work_ref&& other) noexcept : work_(std::exchange(other.work_, nullptr)) {}
    work_ref& operator=(work_ref&& other) noexcept {
        std::swap(work_, other.work_);
        return *this;
    }
    ~work_ref() {
        if (work_ != nullptr) work_->drop_ref();
    }
    [[nodiscard]] explicit operator bool() const noexcept { return work_ != nullptr; }
    work_result<T>& operator*() const noexcept { return *work_; }
    work_result<T>* operator->() const noexcept { return work_; }
    [[nodiscard]] work_result<T>& release() noexcept { return *std::exchange(work_, nullptr); }

 private:
    work_result<T>* work_ = nullptr;
};

template <class Fn, class... Args>
work_ref<bound_result<Fn, Args...>> make_work(Fn&& fn, Args&&... args) {
    using result = bound_result<Fn, Args...>;
    using record = work_record<bound<Fn, Args...>, result>;
    return work_ref<result>(*new record(std::forward<Fn>(fn), std::forward<Args>(args)...));
}

/// What stands behind a wait for work: the message with which a listener reaches its loop.
class LARIAT_EXPORT listening_wait : public wait_point,
                                     public single_step,
                                     protected work_listener,
                                     private posted {
 protected:
    explicit listening_wait(const wait_kind& what) noexcept;
    /// Pre: not awaited yet.
    listening_wait(listening_wait&& other) noexcept;

    /// From here on it may be told.
    void open_box();
    void close_box() noexcept { box_.reset(); }

 private:
    static void told(work_listener& listener) noexcept;
    static void arrived(posted& message, end how);

    std::shared_ptr<mailbox> box_;
};

/// Waits on a loop until work has ended.
class LARIAT_EXPORT work_wait : public listening_wait {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

    explicit work_wait(work_core& core) noexcept : listening_wait(kind_of_wait), core_(&core) {}

 private:
    [[nodiscard]] bool must_wait();
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    work_core* core_;
};

/// Waits on a loop until work has a place in its pool's queue.
class LARIAT_EXPORT submit_wait : public listening_wait {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    submit_wait(blocking_pool& pool, work_core& core) noexcept
        : listening_wait(kind_of_wait), pool_(&pool), core_(&core) {}

 private:
    [[nodiscard]] bool must_wait();
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    blocking_pool* pool_;
    work_core* core_;
};

/// Waits on a loop for work that is given up when the wait is cut: what has not begun never will,
/// what runs is left to its worker.
class LARIAT_EXPORT abandoning_wait : public listening_wait {
 public:
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        start();
        park(party_of(frame), frame);
    }

 protected:
    /// The asker's reference is its own from now on.
    abandoning_wait(blocking_pool& pool, work_core& core) noexcept
        : listening_wait(kind_of_wait), pool_(&pool), core_(&core) {}
    abandoning_wait(abandoning_wait&& other) noexcept
        : listening_wait(static_cast<listening_wait&&>(other)),
          pool_(other.pool_),
          core_(std::exchange(other.core_, nullptr)) {}
    ~abandoning_wait() {
        if (core_ != nullptr) core_->drop_ref();
    }
    /// Pre: it was not cut.
    [[nodiscard]] work_core& core() const noexcept { return *core_; }

 private:
    void start();
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    blocking_pool* pool_;
    work_core* core_;
};

template <class T>
T take_result(work_result<T>& ended) {
    if (ended.how != work_core::ending::value) [[unlikely]]
        ended.throw_failure();
    return ended.slot.take();
}

}  // namespace detail

/// Names work that was submitted to a pool: await it on any loop, or block a plain thread for it.
///
///     lariat::pool_future<int> sum = co_await pool.submit(add_up, std::move(numbers));
///     int total = co_await sum;            // or sum.get_blocking() on a plain thread
///
/// Threads      one at a time; it may be handed from one to another
/// Lifetime     may outlive the pool, and be dropped before the work ends: that goes on, and its
///              failure goes to the report hook of the loop that submitted it (printed, where none
///              did). Outlives its await
/// Allocation   none; work and result lie in one record, made by submit
template <class T>
class [[nodiscard("dropped, it lets the work go on unheard")]] pool_future {
 public:
    pool_future() noexcept = default;
    /// Library use.
    explicit pool_future(detail::work_ref<T> work) noexcept : work_(std::move(work)) {}

    /// Suspends until the work has ended, not at all if it has · Returns its result, once: the
    /// handle is then empty · Errors: the work's exception; task_cancelled after cancel();
    /// closed_error if the pool was shut down before it began · Cancel: stops waiting, the work
    /// goes on · Overlap: one waits at a time.
    auto operator co_await() & noexcept { return awaiter(*this); }
    auto operator co_await() && noexcept { return awaiter(*this); }

    /// The same on a plain thread, which it blocks. Pre: no loop runs on this thread.
    T get_blocking() { return get_until(forever); }
    /// Errors: timeout_error as well; the handle can be asked again.
    T get_blocking(duration length) { return get_until(saturating_add(clock::now(), length)); }

    /// Takes it back · Returns true if it had not begun: it never will, and whoever waits for it
    /// gets task_cancelled. Running work is not stopped.
    bool cancel() noexcept { return checked().cancel(); }
    /// Whether asking for the result would not wait.
    [[nodiscard]] bool ready() const noexcept { return checked().ended(); }
    /// False for an empty handle, or when the result was taken.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(work_); }

    /// Calls fn(handle) when the work has ended, with this handle, ready: on this loop, as a task
    /// of its own. A run that ends first does not call it. Errors: what fn throws goes to the
    /// report hook and ends the run · Pre: a loop runs on this thread · Cost: a task.
    template <class Fn>
    void add_done_callback(Fn fn) && {
        spawn(call_when_done(std::move(*this), std::move(fn)));
    }

 private:
    class awaiter : public detail::work_wait {
     public:
        explicit awaiter(pool_future& from) noexcept : work_wait(from.checked()), from_(&from) {}
        T await_resume() {
            throw_if_cut();
            return from_->take();
        }

     private:
        pool_future* from_;
    };

    template <class Fn>
    static task<> call_when_done(pool_future work, Fn fn) {
        [[maybe_unused]] const int has_a_local = 0;  // GCC 12 miscompiles bodies without one
        co_await detail::work_wait(work.checked());
        fn(std::move(work));
    }

    T get_until(time_point until) {
        if (!checked().wait_blocking(until)) throw timeout_error("waiting for work of a pool");
        return take();
    }
    /// Pre: ended.
    T take() {
        const detail::work_ref<T> ended(std::move(work_));
        detail::require(static_cast<bool>(ended), "the result of this work was already taken");
        return detail::take_result(*ended);
    }
    [[nodiscard]] detail::work_result<T>& checked() const noexcept {
        detail::require(static_cast<bool>(work_),
                        "this pool_future is empty or its result was already taken");
        return *work_;
    }

    detail::work_ref<T> work_;
};

}  // namespace lariat

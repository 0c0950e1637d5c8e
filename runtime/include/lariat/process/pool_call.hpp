#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/packed_call.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

class process_pool_core;
struct pool_worker;
struct worker_call;

/// Who hears of the end of a call, once. It may cancel others and submit more.
struct call_listener {
    using action = void (*)(call_listener&, worker_call&) noexcept;
    explicit call_listener(action how) noexcept : tell(how) {}
    action tell;
};

struct pool_link : list_link {};
struct group_link : list_link {};

/// A call that was given to a pool of processes. Counted: the asker, and the pool until the call
/// has left its worker.
///
/// States       fresh -> queued (submit) -> sent (to a worker) -> over (its result came)
///              sent -> queued, if its worker is lost or another is idle, and it had not begun;
///              queued, or sent and not begun -> over (cancel, terminate)
/// Invariant 1  `how` leaves `none` once, and listener and waiters are told then: with `over`, or
///              before it if the asker cancelled what had begun: the result is then thrown away
/// Invariant 2  the arguments are here until it has ended, or its worker has said that it has begun
///              (of those with descriptors they do): before that the worker may be lost
struct LARIAT_EXPORT worker_call : pool_link, group_link {
    enum class phase : std::uint8_t { fresh, queued, sent, over };
    enum class ending : std::uint8_t { none, value, thrown, failed, cancelled, closed };

    explicit worker_call(packed_call&& call) noexcept;
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    [[nodiscard]] bool is_task() const noexcept { return what.entry->is_task; }
    [[nodiscard]] bool ended() const noexcept { return how != ending::none; }
    /// Whether its worker has begun it, and it has not ended.
    [[nodiscard]] bool runs() const noexcept;
    /// Pre: it has just ended.
    void tell_end() noexcept;
    /// Pre: it is not sent again.
    void drop_arguments() noexcept;
    /// Pre: ended otherwise than with a value. The same for everybody who asks.
    [[nodiscard]] std::exception_ptr take_failure();
    /// Pre: ended; a value was not taken before. Errors: take_failure().
    [[nodiscard]] parcel take_answer();
    void add_ref() noexcept { ++refs; }
    /// The last one to go reports a failure that nobody has heard of, if that was asked for.
    void drop_ref() noexcept;

    packed_call what;
    std::size_t bytes;  ///< of its arguments, also when those have gone
    /// Its arguments' bytes, once they have gone in a message of their own: that may be on its way
    /// to a worker while the next gets them too, or when the call is over.
    shared_bytes shared;
    std::vector<cell_ref> held;  ///< what its arguments refer to: every sending needs its own
    process_pool_core* pool = nullptr;
    pool_worker* on = nullptr;
    std::uint64_t id = 0;  ///< of this sending
    std::uint32_t slot = 0;
    std::uint32_t refs = 1;
    phase now = phase::fresh;
    ending how = ending::none;
    bool reports = false;
    bool taken = false;  ///< its value
    bool begun = false;  ///< its worker said so, and the arguments have gone
    call_listener* listener = nullptr;
    std::size_t position = 0;      ///< the listener's: of its first item
    std::size_t items = 0;         ///< the listener's
    wait_queue waiters;            ///< who waits by a handle
    time_point kill_at = forever;  ///< its worker, if it was cancelled and has not ended
    parcel answer;                 ///< a packed exception_record, if it ended by `thrown`
    std::exception_ptr failure;
};

/// The asker's counted pointer.
class call_ref {
 public:
    call_ref() noexcept = default;
    /// Takes over a reference.
    explicit call_ref(worker_call* call) noexcept : call_(call) {}
    call_ref(call_ref&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
    call_ref& operator=(call_ref&& other) noexcept {
        std::swap(call_, other.call_);
        return *this;
    }
    ~call_ref() {
        if (call_ != nullptr) call_->drop_ref();
    }
    [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
    [[nodiscard]] worker_call& operator*() const noexcept { return *call_; }
    [[nodiscard]] worker_call* operator->() const noexcept { return call_; }
    [[nodiscard]] worker_call* release() noexcept { return std::exchange(call_, nullptr); }

 private:
    worker_call* call_ = nullptr;
};

/// Pre: fresh, on the pool's own loop. Errors: closed_error; limit_error for too many descriptors;
/// pool_start_error. It may have ended when this returns.
LARIAT_EXPORT void submit_call(process_pool_core& pool, worker_call& call);
/// False if it had ended. What has begun goes on; see process_pool_options::kill_on_cancel.
LARIAT_EXPORT bool cancel_call(worker_call& call) noexcept;

/// Submits a call and waits for its end; one that is cut short takes the call back.
class LARIAT_EXPORT run_wait : public wait_point, public single_step, private call_listener {
 public:
    run_wait(std::shared_ptr<process_pool_core> pool, packed_call&& what) noexcept;
    run_wait(run_wait&& other) noexcept;
    ~run_wait();

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    /// Errors: `cancelled`, and the call's own.
    [[nodiscard]] parcel finish();

 private:
    /// True if it waits.
    [[nodiscard]] bool begin();
    static void told(call_listener& self, worker_call& call) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    std::shared_ptr<process_pool_core> pool_;
    packed_call what_;
    call_ref call_;
};

template <class T>
class [[nodiscard("a call does nothing until it is awaited: co_await it")]] pool_run_awaiter
    : public run_wait {
 public:
    using run_wait::run_wait;
    T await_resume() { return unpack_result<T>(finish()); }
};

/// Waits for the end of a call that goes on if the wait does not.
class LARIAT_EXPORT call_wait : public line_point, public single_step {
 public:
    explicit call_wait(worker_call& call) noexcept : line_point(kind_of_wait), call_(&call) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (call_->ended()) return pass(p, frame);
        call_->waiters.add(*this);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static const wait_kind kind_of_wait;

    worker_call* call_;
};

}  // namespace detail

/// Names a call that was submitted to a process_pool: await it for its result, or cancel it.
///
///     lariat::pool_call<int> sum = pool.submit(add_up, std::move(numbers));
///     sum.add_done_callback([](lariat::pool_call<int> ended) { count(ended.successful()); });
///     int total = co_await sum;        // or co_await lariat::timeout(1s, sum), and again
///
/// A result is there once, for whoever takes it first: who awaits this handle, or a callback. A
/// failure is thrown to each that asks.
///
/// Order        callbacks and those who wait: as they came
/// Threads      the pool's loop
/// Lifetime     may outlive the pool, and be dropped before the call ends: that goes on, and its
///              failure goes to the loop's report hook. Outlives its await
/// Allocation   a callback's task; else none, the record was made by submit
template <class T = void>
class [[nodiscard("dropped, it lets the call go on unheard")]] pool_call {
 public:
    pool_call() noexcept = default;
    /// Library use.
    explicit pool_call(detail::call_ref call) noexcept : call_(std::move(call)) {}

    /// Suspends until the call has ended, not at all if it has · Returns its result, once: the
    /// handle is then empty · Errors: those of process_pool::run; task_cancelled after cancel();
    /// the handle keeps them · Cancel: stops waiting, the call goes on · Overlap: one takes the
    /// result, any number wait().
    auto operator co_await() & noexcept { return awaiter(*this); }
    auto operator co_await() && noexcept { return awaiter(*this); }
    /// Suspends until the call has ended, however, and leaves its result or failure where it is ·
    /// Cancel: stops waiting, the call goes on · Overlap: any number.
    [[nodiscard]] detail::call_wait wait() const noexcept { return detail::call_wait(checked()); }
    /// The result, without a wait; the handle is then empty · Errors: as awaited · Pre: done().
    T take() {
        detail::require(static_cast<bool>(call_), "the result of this call was already taken");
        detail::require(call_->ended(), "take() is for a call that is done(): co_await this one");
        detail::parcel answer = call_->take_answer();  // a failure stays, for who asks again
        const detail::call_ref taken(std::move(call_));
        return detail::unpack_result<T>(std::move(answer));
    }

    /// Ends the call, with task_cancelled for whoever waits. One that has not begun never will; a
    /// task that runs is cancelled in its worker, a function that runs is left to end, and what
    /// comes of either is thrown away (see process_pool_options::kill_on_cancel) · Returns false
    /// if it had ended.
    bool cancel() noexcept { return detail::cancel_call(checked()); }
    /// Whether asking for the result would not wait.
    [[nodiscard]] bool done() const noexcept { return checked().ended(); }
    /// Whether a worker has begun it, and it is not done: false while it stands in a line, here or
    /// at a worker, and after cancel().
    [[nodiscard]] bool running() const noexcept { return checked().runs(); }
    /// Whether it is done with a result, not with a failure, and was not cancelled.
    [[nodiscard]] bool successful() const noexcept {
        return checked().how == detail::worker_call::ending::value;
    }
    /// False for an empty handle, or when the result was taken by it.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(call_); }

    /// Calls fn(handle) when the call has ended, however, with another handle to it, done: in this
    /// process, as a task of its own. A call may have several, and be awaited as well; this handle
    /// may be dropped. A run that ends first does not call them. Errors: what fn throws goes to the
    /// report hook and ends the run · Cost: a task.
    template <class Fn>
    void add_done_callback(Fn fn) const {
        detail::worker_call& call = checked();
        call.add_ref();
        spawn(call_when_done(pool_call(detail::call_ref(&call)), std::move(fn)));
    }

 private:
    class awaiter : public detail::call_wait {
     public:
        explicit awaiter(pool_call& from) noexcept : call_wait(from.checked()), from_(&from) {}
        T await_resume() {
            throw_if_cut();
            return from_->take();
        }

     private:
        pool_call* from_;
    };

    template <class Fn>
    static task<> call_when_done(pool_call call, Fn fn) {
        [[maybe_unused]] const int has_a_local = 0;  // GCC 12 miscompiles bodies without one
        co_await detail::call_wait(call.checked());
        fn(std::move(call));
    }

    [[nodiscard]] detail::worker_call& checked() const noexcept {
        detail::require(static_cast<bool>(call_),
                        "this pool_call is empty or its result was already taken");
        return *call_;
    }

    detail::call_ref call_;
};

}  // namespace lariat

#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

/// A call on another loop. It lies in the awaiting frame, its two messages in it.
///
/// States       posted -> working (the call has arrived there) -> ended (it was let go of there) ->
///              back (the answer has arrived here). A cut posts the second message
/// Invariant 1  `holds_` counts what the other side still does with it: the call, the task that it
///              started, a cut under way. Whoever ends the last of them sends the answer, and
///              nobody there touches it after
/// Invariant 2  the frame stays until the answer has arrived: a cut does not end the wait
/// Invariant 3  `worker_` is the other loop's; how it ended is written there, before the answer
class LARIAT_EXPORT remote_call : public wait_point {
 public:
    remote_call(const remote_call&) = delete;
    remote_call& operator=(const remote_call&) = delete;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!send()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    enum class ending : std::uint8_t { unreached, done, failed, cut };
    /// Starts the work on the other loop, or does it.
    using starter = void (*)(remote_call&);

    remote_call(const loop_ref& where, starter how) noexcept
        : wait_point(kind_of_wait), there_(where.box()), start_(how) {}
    /// Pre: not awaited yet.
    remote_call(remote_call&& other) noexcept
        : wait_point(static_cast<wait_point&&>(other)),
          there_(std::move(other.there_)),
          start_(other.start_) {}
    ~remote_call() = default;

    /// One hold on the call, let go of at the end of whatever has this. On the other loop.
    class LARIAT_EXPORT hold {
     public:
        explicit hold(remote_call& call) noexcept : call_(&call) {}
        hold(hold&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
        hold& operator=(hold&&) = delete;
        ~hold() {
            if (call_ != nullptr) call_->let_go();
        }

     private:
        remote_call* call_;
    };
    /// The same for the task that does the work; one that never runs lets go as well.
    class LARIAT_EXPORT work_hold {
     public:
        explicit work_hold(remote_call& call) noexcept : call_(&call) {
            call.holds_.fetch_add(1, std::memory_order_relaxed);  // the starter's keeps it alive
        }
        work_hold(work_hold&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
        work_hold& operator=(work_hold&&) = delete;
        ~work_hold() {
            if (call_ != nullptr) call_->work_ended();
        }

     private:
        remote_call* call_;
    };

    // All on the other loop.
    /// False when its run is ending: nobody would wait for another task.
    [[nodiscard]] static bool takes_tasks() noexcept;
    /// `worker` is to be cancelled when this wait is cut.
    void work_started(party& worker) noexcept { worker_ = &worker; }
    void end_with(ending how) noexcept { ending_ = how; }
    void fail() noexcept;
    /// What it means that `cancelled` came out of the work.
    void unwound() noexcept;

    /// Errors: the call's exception, `cancelled`.
    [[nodiscard]] bool reached();
    [[noreturn]] static void throw_unreached();

 private:
    struct letter : posted {
        letter(remote_call& call, action on_end) noexcept : posted(on_end), of(&call) {}
        remote_call* of;
    };

    [[nodiscard]] bool send() noexcept;
    static void arrived(posted& message, posted::end how);
    static void cut_arrived(posted& message, posted::end how);
    static void answered(posted& message, posted::end how);
    void work_ended() noexcept;
    void let_go() noexcept;
    void answer() noexcept;
    static void cut(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    std::shared_ptr<mailbox> there_;
    const std::shared_ptr<mailbox>* here_ = nullptr;  // the loop's own: it stays while a task waits
    scheduler* home_ = nullptr;
    starter start_;
    letter way_{*this, &arrived};  // there, and back
    letter cut_way_{*this, &cut_arrived};
    std::atomic<std::uint32_t> holds_{1};
    std::atomic<bool> withdrawn_{false};  // by cut, which then posts: seen there when that arrives
    party* worker_ = nullptr;
    std::exception_ptr failure_;
    ending ending_ = ending::unreached;
    bool cut_there_ = false;
};

template <class Called>
struct called_value {
    using type = Called;
};
template <class T>
struct called_value<task<T>> {
    using type = T;
};

template <class Fn>
class [[nodiscard("it does nothing until it is awaited: co_await call_on(loop, fn)")]] call_on_wait
    : public remote_call {
    using called = std::invoke_result_t<Fn&>;
    static_assert(!std::is_base_of_v<awaiter_base, std::remove_cvref_t<called>>,
                  "an awaitable of the other loop would be awaited on this one; return a task: "
                  "[&]() -> lariat::task<...> { co_return co_await queue.get(); }");
    using value = typename called_value<called>::type;

 public:
    template <class F>
    call_on_wait(const loop_ref& where, F&& fn)
        : remote_call(where, &start), fn_(std::forward<F>(fn)) {}
    call_on_wait(call_on_wait&& other) noexcept(std::is_nothrow_move_constructible_v<Fn>)
        : remote_call(static_cast<remote_call&&>(other)), fn_(std::move(other.fn_)) {}

    value await_resume() {
        if (!reached()) throw_unreached();
        return slot_.take();
    }
    /// For nothrow(). Errors: what fn threw is thrown here too.
    result<value> finish_nothrow()
        requires(!std::is_reference_v<value>)
    {
        if (!reached()) return make_error_code(errc::closed);
        if constexpr (std::is_void_v<value>) {
            return result<value>();
        } else {
            return result<value>(slot_.take());
        }
    }

 private:
    static void start(remote_call& base) {
        const hold held(base);
        auto& self = static_cast<call_on_wait&>(base);
        try {
            if constexpr (!is_task<called>) {
                self.keep([&self]() -> decltype(auto) { return self.fn_(); });
                self.end_with(ending::done);
            } else if (takes_tasks()) {
                const join_handle<> worker = spawn(work(work_hold(self), self));
                self.work_started(worker.who());
            }
        } catch (...) {
            self.fail();
        }
    }

    static task<> work([[maybe_unused]] work_hold held, call_on_wait& self) {
        try {
            if constexpr (std::is_void_v<value>) {
                co_await self.fn_();
            } else if constexpr (std::is_reference_v<value>) {
                value got = co_await self.fn_();
                self.slot_.return_value(got);
            } else {
                value got = co_await self.fn_();
                self.slot_.return_value(std::move(got));
            }
            self.end_with(ending::done);
        } catch (const cancelled&) {
            self.unwound();
        } catch (...) {
            self.fail();
        }
    }

    template <class Call>
    void keep(Call call) {
        if constexpr (std::is_void_v<value>) {
            call();
        } else {
            slot_.return_value(call());
        }
    }

    Fn fn_;
    result_slot<value> slot_;
};

}  // namespace detail

/// Calls fn() on another loop, or on this one, and awaits what it returns. If that is a task, it
/// runs as one there, without the caller's task-locals.
///
///     int total = co_await lariat::call_on(other, [&] { return counters.total(); });
///     co_await lariat::call_on(other, [&]() -> lariat::task<> { co_await stream.close(); });
///
/// Order        calls of one loop to another begin in the order in which they were made; a loop
///              that is between two runs begins them in the next
/// Suspends until it has ended there · Returns its result · Errors: its exception; closed_error
/// (through nothrow: errc::closed) if the loop has closed, or closes, or its run ends, before the
/// end of the call: what had begun there has then been cancelled and has ended · Cancel: a task is
/// cancelled there and awaited to its end; a function that began is awaited, and one that had not
/// never runs. What it returned all the same is delivered, and the cancellation stays pending. All
/// that once the other loop hears of it: while it is between runs, or does not come back from a
/// leg, the call and its cancellation wait · Borrows nothing: fn and the result
/// lie in the awaiting frame, are used on the other loop, and destroyed on this one · Cost: a
/// message each way, no allocation; for a task, what spawn costs.
template <class Fn>
    requires std::is_invocable_v<std::decay_t<Fn>&>
[[nodiscard]] auto call_on(const loop_ref& where, Fn&& fn) {
    return detail::call_on_wait<std::decay_t<Fn>>(where, std::forward<Fn>(fn));
}
/// The same. Pre: the loop lives; one that may be gone is named by a loop_ref.
template <class Fn>
    requires std::is_invocable_v<std::decay_t<Fn>&>
[[nodiscard]] auto call_on(const loop& where, Fn&& fn) {
    return call_on(loop_ref(where), std::forward<Fn>(fn));
}

}  // namespace lariat

#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/lock_word.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/shm/wait_word.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>

#include <array>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <source_location>
#include <system_error>
#include <utility>

namespace lariat {

namespace detail {

/// What a shared condition is in the arena. Who waits draws a ticket; a notify calls up the next
/// tickets. They sleep in lanes, so that one notify does not turn round all who wait.
///
/// Invariant    `called` only grows, and up to `drawn`; whoever raises it wakes the lanes of the
///              tickets that it has passed
struct LARIAT_EXPORT condition_body {
    static constexpr std::size_t lane_count = 8;

    /// Under the lock that is about to be given up.
    [[nodiscard]] std::uint64_t draw() noexcept;
    [[nodiscard]] futex_step attempt(std::uint64_t ticket) noexcept;
    /// For one who was cancelled, or out of time: false if it was called up before. A ticket that
    /// nobody holds would swallow a notify, so it is called up, and with it those before it.
    [[nodiscard]] bool leave(std::uint64_t ticket) noexcept;
    void notify(std::uint64_t count) noexcept;
    /// The dead may have held tickets: all are called up.
    void sweep() noexcept;
    [[nodiscard]] bool is_awaited() const noexcept {
        return called.load(std::memory_order_seq_cst) < drawn.load(std::memory_order_seq_cst);
    }

    std::atomic<std::uint64_t> drawn{0};
    std::atomic<std::uint64_t> called{0};
    std::array<wait_word, lane_count> lanes;

 private:
    [[nodiscard]] wait_word& lane_of(std::uint64_t ticket) noexcept {
        return lanes[ticket % lane_count];
    }
    void wake_lanes(std::uint64_t after, std::uint64_t up_to) noexcept;
};

/// One task that waits: first for its ticket, then for the lock.
class LARIAT_EXPORT condition_wait : public wait_point, private futex_watch {
 protected:
    using relock_attempt = futex_step (*)(condition_wait&) noexcept;

    condition_wait(condition_body& which, relock_attempt relock) noexcept
        : wait_point(kind_of_wait),
          futex_watch(&condition_wait::ended),
          relock_(relock),
          body_(&which) {}
    condition_wait(condition_wait&& other) noexcept : condition_wait(*other.body_, other.relock_) {}
    ~condition_wait() = default;

    void draw() noexcept { ticket_ = body_->draw(); }
    /// Whether there is something to wait for: false once the lock was taken, or cannot be.
    [[nodiscard]] bool go_on() noexcept;
    /// Whether the lock is held again.
    [[nodiscard]] bool holds_lock() const noexcept { return !lost_ && !request_.died; }
    [[nodiscard]] lock_request& request() noexcept { return request_; }
    /// Why it did not wait, or does not hold the lock, beside owner_died. Errors: `cancelled`.
    void finish() const;

 private:
    static void leave(waiter& w) noexcept;
    static void ended(futex_watch& watch, futex_end how) noexcept;
    void failed() noexcept;
    void wait_for_lock() noexcept;
    static const wait_kind kind_of_wait;
    static const wait_kind kind_of_relock;

    relock_attempt relock_;
    condition_body* body_;
    std::uint64_t ticket_ = 0;
    lock_request request_{false};
    std::error_code failure_;
    bool notified_ = false;  ///< or cut: it waits for the lock
    bool cut_asked_ = false;
    bool cut_ = false;
    bool lost_ = false;
};

template <class Body>
class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] condition_awaiter
    : public condition_wait {
 public:
    condition_awaiter(condition_body& which, guard<Body>& held) noexcept
        : condition_wait(which, &relock), held_(&held) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        lock_ = Body::held_by(*held_);
        require(lock_ != nullptr, "a condition is waited for under a lock: this guard holds none");
        who = &party_of(frame);
        draw();
        depth_ = lock_->give_up();
        if (!go_on()) return pass(*who, frame);
        park(*who, frame);
        return true;
    }
    void await_resume() {
        if (holds_lock()) [[likely]] {
            lock_->restore(depth_);
        } else {
            Body::empty(*held_);
            if (request().died) lock_->throw_died();
        }
        finish();
    }

 private:
    static futex_step relock(condition_wait& self) noexcept {
        auto& mine = static_cast<condition_awaiter&>(self);
        return mine.lock_->attempt(mine.request(), mine.who);
    }

    guard<Body>* held_;
    Body* lock_ = nullptr;
    std::uint32_t depth_ = 0;
};

}  // namespace detail

namespace shm {

/// Lets tasks and plain threads of all processes of a family wait, under a lock, until another says
/// that something has changed.
///
///     auto guard = co_await mutex.lock();
///     co_await changed.wait(guard, [&] { return items.get() != 0; });   // holds the lock again
///
/// A wait may end although nobody has notified: when a process ends, however, that has had a handle
/// of it, and for those who came before one that was cancelled or ran out of time. So look again,
/// or give a predicate. No notify is lost to a killed or cancelled waiter.
///
/// Order        notify() goes to those who have waited longest; they take the lock again in any
///              order
/// Threads      any; the lock is a shm::mutex or shm::recursive_mutex, or that of a shm::value or
///              shm::array, and the same for all who wait
/// Lifetime     who waits needs a handle of its process, and one of the lock; with a predicate the
///              very handle that was asked
/// Allocation   a new one: 192 bytes of shared memory; waiting: none, a frame where a predicate is
///              given
class LARIAT_EXPORT condition {
 public:
    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    condition();

    /// Gives the lock up, suspends until notified, and takes the lock again; a recursive_mutex is
    /// given up whole, however often it is held. Pre: `held` holds it, and is left alone meanwhile.
    ///
    /// Errors: owner_died, by the lock: `held` is empty then; std::system_error for want of a
    /// thread to wait with. Cancel: takes the lock again, which cannot be cancelled, and then
    /// throws. One who was notified before it was cancelled returns.
    template <class Body>
    [[nodiscard]] detail::condition_awaiter<Body> wait(guard<Body>& held) const noexcept {
        return detail::condition_awaiter<Body>(*handle_, held);
    }
    /// Waits until `holds()`, which is called under the lock, at first at once. Errors: also what
    /// `holds` throws, under the lock as well.
    template <class Body, std::predicate Predicate>
    task<> wait(guard<Body>& held, Predicate holds) const {
        while (!holds()) co_await wait(held);
    }
    /// For a thread without a loop, which sleeps meanwhile.
    template <class Body>
    void wait_blocking(guard<Body>& held,
                       std::source_location where = std::source_location::current()) const {
        detail::require_no_loop("wait_blocking", "co_await x.wait(guard)", where);
        (void)wait_until(held, forever);
    }
    /// False if it was not notified for so long; the lock is held again all the same.
    template <class Body>
    [[nodiscard]] bool wait_blocking(
        guard<Body>& held, duration longest,
        std::source_location where = std::source_location::current()) const {
        detail::require_no_loop("wait_blocking", "co_await lariat::timeout(t, x.wait(guard))",
                                where);
        return wait_until(held, detail::deadline_after(longest));
    }
    template <class Body, std::predicate Predicate>
    void wait_blocking(guard<Body>& held, Predicate holds,
                       std::source_location where = std::source_location::current()) const {
        detail::require_no_loop("wait_blocking", "co_await x.wait(guard, predicate)", where);
        while (!holds()) (void)wait_until(held, forever);
    }
    /// Returns holds(), at the end of the time at the latest.
    template <class Body, std::predicate Predicate>
    [[nodiscard]] bool wait_blocking(
        guard<Body>& held, duration longest, Predicate holds,
        std::source_location where = std::source_location::current()) const {
        detail::require_no_loop("wait_blocking",
                                "co_await lariat::timeout(t, x.wait(guard, predicate))", where);
        const time_point deadline = detail::deadline_after(longest);
        while (!holds()) {
            if (!wait_until(held, deadline)) return holds();
        }
        return true;
    }

    /// Lets `n` of those who wait go on, or as many as there are. It need not be called under the
    /// lock. Cost: two atomic operations, and a system call if somebody sleeps; a process killed in
    /// the middle has done it or has not.
    void notify(std::size_t n = 1) const noexcept { handle_->notify(n); }
    void notify_all() const noexcept { notify(std::numeric_limits<std::size_t>::max()); }

    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const condition& other) const noexcept = default;

    void pack_into(detail::parcel_writer& to) const { handle_.pack_into(to); }
    [[nodiscard]] static condition unpack_from(detail::parcel_reader& from);

 private:
    explicit condition(detail::shared_handle<detail::condition_body> of) noexcept
        : handle_(std::move(of)) {}

    template <class Body>
    [[nodiscard]] bool wait_until(guard<Body>& held, time_point deadline) const {
        detail::condition_body& body = *handle_;
        Body* const lock = Body::held_by(held);
        detail::require(lock != nullptr,
                        "a condition is waited for under a lock: this guard holds none");
        const std::uint64_t ticket = body.draw();
        const std::uint32_t depth = lock->give_up();
        const bool notified = detail::futex_block([&] { return body.attempt(ticket); }, deadline) ||
                              !body.leave(ticket);
        detail::lock_request again(false);
        (void)lock->attempt_until(again, forever);
        if (again.died) {
            Body::empty(held);
            lock->throw_died();
        }
        lock->restore(depth);
        return notified;
    }

    detail::shared_handle<detail::condition_body> handle_;
};

}  // namespace shm

}  // namespace lariat

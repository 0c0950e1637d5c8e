#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/owner_died.hpp>
#include <lariat/process/shm/lock_word.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <source_location>
#include <utility>

namespace lariat {

namespace shm {

/// Holds a lock to repair what it guards after a holder has died; else like every guard. The lock
/// stays marked, and reports owner_died to whoever comes, until make_consistent().
///
///     auto repair = co_await lock.lock_to_repair();
///     if (repair.owner_died()) { ... ; repair.make_consistent(); }
template <class Body>
class repair_guard : public lariat::guard<Body> {
 public:
    repair_guard() noexcept = default;

    /// Whether a holder has died since it was consistent.
    [[nodiscard]] bool owner_died() const noexcept { return body().word.inconsistent(); }
    /// The pid of the last that did; 0: none.
    [[nodiscard]] int pid() const noexcept { return body().word.dead_pid(); }
    /// What it guards is in order again: the next who come get it as always.
    void make_consistent() noexcept { body().word.make_consistent(); }

 private:
    friend Body;

    explicit repair_guard(lariat::guard<Body> held) noexcept
        : lariat::guard<Body>(std::move(held)) {}
    [[nodiscard]] Body& body() const noexcept {
        Body* held = Body::held_by(*this);
        detail::require(held != nullptr, "a guard that holds nothing has nothing to repair");
        return *held;
    }
};

}  // namespace shm

namespace detail {

template <class Body>
class lock_wait : public futex_verb<lock_wait<Body>>, public single_step {
 public:
    lock_wait(Body& which, bool to_repair) noexcept
        : futex_verb<lock_wait>(kind_of_wait), body_(&which), request_(to_repair) {}

    [[nodiscard]] futex_step attempt() noexcept { return body_->attempt(request_, this->who); }
    void passed_on() noexcept { body_->word.pass_on(); }

 protected:
    /// Errors: as finish(); owner_died.
    [[nodiscard]] guard<Body> take() const {
        this->finish();
        if (request_.died) [[unlikely]]
            body_->throw_died();
        return Body::hold(*body_);
    }

    Body* body_;

 private:
    static constexpr wait_kind kind_of_wait{Body::name, &futex_wait_point::leave};

    lock_request request_;
};

template <class Body>
class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await x.lock()")]] lock_awaiter
    : public lock_wait<Body> {
 public:
    explicit lock_awaiter(Body& which) noexcept : lock_wait<Body>(which, false) {}
    [[nodiscard]] guard<Body> await_resume() const { return this->take(); }
};

template <class Body>
class [[nodiscard("lock_to_repair() does nothing until it is awaited")]] repair_awaiter
    : public lock_wait<Body> {
 public:
    explicit repair_awaiter(Body& which) noexcept : lock_wait<Body>(which, true) {}
    [[nodiscard]] shm::repair_guard<Body> await_resume() const {
        return Body::hold_to_repair(this->take());
    }
};

/// The verbs of what can be locked: shm::mutex, shm::recursive_mutex, and the own locks of
/// shm::value and shm::array.
///
/// Errors (all that lock): owner_died, if a process ended while it held the lock, each time until
/// somebody has locked it to repair, and made it consistent.
template <class Body>
class lock_verbs {
 public:
    using guard = lariat::guard<Body>;
    using repair_guard = shm::repair_guard<Body>;

    /// Suspends until it is this task's, not at all if it is free · Returns a guard · Cancel: it is
    /// not held · Cost: one atomic operation if it is free; else a system call or two.
    [[nodiscard]] lock_awaiter<Body> lock() const noexcept { return lock_awaiter(body()); }
    /// An empty guard if somebody holds it.
    [[nodiscard]] guard try_lock() const {
        lock_request once(false);
        const bool done = body().attempt(once, nullptr).is_done();
        if (!done) return guard();
        if (once.died) body().throw_died();
        return Body::hold(body());
    }
    /// For a thread without a loop, which sleeps meanwhile. With a time: an empty guard if it did
    /// not get it for so long.
    [[nodiscard]] guard lock_blocking(
        std::source_location where = std::source_location::current()) const {
        require_no_loop("lock_blocking", "auto guard = co_await x.lock()", where);
        return lock_until(forever);
    }
    [[nodiscard]] guard lock_blocking(
        duration longest, std::source_location where = std::source_location::current()) const {
        require_no_loop("lock_blocking", "auto guard = co_await lariat::timeout(t, x.lock())",
                        where);
        return lock_until(deadline_after(longest));
    }
    /// As lock(), also if a holder has died; see shm::repair_guard.
    [[nodiscard]] repair_awaiter<Body> lock_to_repair() const noexcept {
        return repair_awaiter(body());
    }
    [[nodiscard]] repair_guard lock_to_repair_blocking(
        std::source_location where = std::source_location::current()) const {
        require_no_loop("lock_to_repair_blocking", "auto guard = co_await x.lock_to_repair()",
                        where);
        lock_request wanted(true);
        (void)body().attempt_until(wanted, forever);
        return Body::hold_to_repair(Body::hold(body()));
    }
    /// Whether anybody held it an instant ago.
    [[nodiscard]] bool locked() const noexcept { return body().word.holder() != nobody; }

    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const lock_verbs& other) const noexcept = default;

 protected:
    explicit lock_verbs(cell_ref of) noexcept : handle_(std::move(of)) {}
    explicit lock_verbs(shared_handle<Body> handle) noexcept : handle_(std::move(handle)) {}
    lock_verbs(const lock_verbs&) noexcept = default;
    lock_verbs(lock_verbs&&) noexcept = default;
    lock_verbs& operator=(const lock_verbs&) noexcept = default;
    lock_verbs& operator=(lock_verbs&&) noexcept = default;
    ~lock_verbs() = default;

    [[nodiscard]] Body& body() const noexcept { return *handle_; }
    [[nodiscard]] const shared_handle<Body>& handle() const noexcept { return handle_; }

 private:
    [[nodiscard]] guard lock_until(time_point deadline) const {
        lock_request wanted(false);
        if (!body().attempt_until(wanted, deadline)) return guard();
        if (wanted.died) body().throw_died();
        return Body::hold(body());
    }

    shared_handle<Body> handle_;
};

}  // namespace detail

}  // namespace lariat

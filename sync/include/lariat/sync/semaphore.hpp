#pragma once

#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/line_wait.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>

namespace lariat {

/// Permits that tasks take and give back: at most so many at a time do what it guards.
///
///     lariat::semaphore at_most(5);
///     auto permit = co_await at_most.scoped_acquire();   // given back at the end of the scope
///
/// Order        first come, first served; who asks for several waits at the front of the line until
///              so many are there, and is not passed by those who ask for fewer
/// Threads      one loop
/// Lifetime     outlives its guards and those who wait (the latter asserted)
/// Allocation   none
class LARIAT_EXPORT semaphore {
    class wait;

 public:
    class acquire_awaiter;
    template <class Semaphore>
    class permit_awaiter;

    explicit semaphore(std::size_t permits) noexcept : free_(permits) {}

    /// Suspends until `count` permits are there for this task, not at all if they are and nobody
    /// waits · Cancel: leaves the line, O(1), having taken none; one to whom they were given has
    /// them.
    [[nodiscard]] acquire_awaiter acquire(std::size_t count = 1) noexcept;
    /// One permit, in a guard.
    [[nodiscard]] permit_awaiter<semaphore> scoped_acquire() noexcept;
    /// Takes them if they are there and nobody waits: whether it did.
    [[nodiscard]] bool try_acquire(std::size_t count = 1) noexcept {
        if (!line_.empty() || free_ < count) return false;
        free_ -= count;
        return true;
    }
    /// Gives permits back, or adds new ones, and hands them to those who wait. Runs nobody.
    void release(std::size_t count = 1) noexcept {
        free_ += count;
        if (!line_.empty()) serve();
    }
    /// Permits that nobody holds.
    [[nodiscard]] std::size_t available() const noexcept { return free_; }

 private:
    friend struct detail::permit_hold;

    void give_back() noexcept { release(); }
    /// Hands permits to the front of the line for as long as there are enough.
    void serve() noexcept;

    // Whenever a task runs, the line is empty or its first asks for more than are free.
    wait_queue line_;
    std::size_t free_;
};

/// A place in the line.
class semaphore::wait : public detail::line_wait<semaphore::wait> {
 public:
    static const wait_kind kind_of_wait;

    [[nodiscard]] bool attempt() const noexcept { return from_->try_acquire(count_); }
    void join_line() noexcept { from_->line_.add(*this); }
    void result() const noexcept {}

 protected:
    wait(semaphore& from, std::size_t count) noexcept : from_(&from), count_(count) {}

 private:
    friend class semaphore;

    static void leave(waiter& w) noexcept;

    semaphore* from_;
    std::size_t count_;
};

class [[nodiscard(
    "acquire() does nothing until it is awaited: co_await it")]] semaphore::acquire_awaiter
    : public wait {
 public:
    acquire_awaiter(semaphore& from, std::size_t count) noexcept : wait(from, count) {}
};

/// For a semaphore of any kind: the guard gives back through it.
template <class Semaphore>
class [[nodiscard(
    "scoped_acquire() does nothing until it is awaited: auto permit = co_await it")]] semaphore::
    permit_awaiter : public wait {
 public:
    permit_awaiter(semaphore& from, Semaphore& owner) noexcept : wait(from, 1), owner_(&owner) {}
    [[nodiscard]] permit<Semaphore> await_resume() {
        throw_if_cut();
        return permit<Semaphore>(*owner_);
    }

 private:
    Semaphore* owner_;
};

inline semaphore::acquire_awaiter semaphore::acquire(std::size_t count) noexcept {
    return acquire_awaiter(*this, count);
}
inline semaphore::permit_awaiter<semaphore> semaphore::scoped_acquire() noexcept {
    return permit_awaiter<semaphore>(*this, *this);
}

}  // namespace lariat

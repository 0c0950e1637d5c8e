#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>
#include <cstddef>

namespace lariat {

/// Lets in many readers together, or one writer alone.
///
///     auto reading = co_await table.lock_shared();
///     auto writing = co_await table.lock();
///
/// Order        one line for both, first come, first served: a reader that comes after a waiting
///              writer waits, so writers do not starve; readers that stand together in the line are
///              let in together
/// Threads      one loop
/// Lifetime     outlives its guards and those who wait (asserted)
/// Allocation   none
/// Limits       a reader does not become a writer: it gives back first. One who holds it and asks
///              again may wait for itself, as reader too
class LARIAT_EXPORT rw_mutex {
    class wait;

 public:
    class lock_awaiter;
    class shared_awaiter;

    rw_mutex() noexcept = default;
    ~rw_mutex() {
        detail::require(!writing_ && readers_ == 0,
                        "an rw_mutex must outlive those who hold it or wait for it");
    }

    /// Suspends until this task is alone, not at all if nobody is inside · Returns a guard ·
    /// Cancel: leaves the line, O(1), and those it held up go in; one who was let in is inside.
    [[nodiscard]] lock_awaiter lock() noexcept;
    /// The same among readers · Returns a shared_guard.
    [[nodiscard]] shared_awaiter lock_shared() noexcept;
    /// An empty guard if anybody is inside.
    [[nodiscard]] guard<rw_mutex> try_lock() noexcept {
        return take() ? guard<rw_mutex>(*this) : guard<rw_mutex>();
    }
    /// An empty guard if a writer is inside or anybody waits.
    [[nodiscard]] shared_guard<rw_mutex> try_lock_shared() noexcept {
        return take_shared() ? shared_guard<rw_mutex>(*this) : shared_guard<rw_mutex>();
    }

 private:
    friend struct detail::exclusive_hold;
    friend struct detail::shared_hold;

    [[nodiscard]] bool take() noexcept {
        if (writing_ || readers_ != 0) return false;
        writing_ = true;
        return true;
    }
    [[nodiscard]] bool take_shared() noexcept {
        if (writing_ || !line_.empty()) return false;
        ++readers_;
        return true;
    }
    void unlock() noexcept {
        writing_ = false;
        if (!line_.empty()) let_in();
    }
    void unlock_shared() noexcept {
        --readers_;
        if (!line_.empty()) let_in();
    }
    /// Lets in from the front of the line all who may be.
    void let_in() noexcept;

    // Whenever a task runs, the line is empty or its first may not be let in.
    wait_queue line_;
    std::size_t readers_ = 0;  // inside
    bool writing_ = false;
};

/// A place in the line, for either use.
class rw_mutex::wait : public line_point, public single_step {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (shared_ ? mutex_->take_shared() : mutex_->take()) return pass(p, frame);
        park(p, frame);
        mutex_->line_.add(*this);
        return true;
    }

 protected:
    wait(rw_mutex& which, const wait_kind& what, bool shared) noexcept
        : line_point(what), mutex_(&which), shared_(shared) {}

    static void leave(waiter& w) noexcept;

    rw_mutex* mutex_;

 private:
    friend class rw_mutex;

    bool shared_;
};

class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await m.lock()")]] rw_mutex::
    lock_awaiter : public wait {
 public:
    explicit lock_awaiter(rw_mutex& which) noexcept : wait(which, kind_of_wait, false) {}
    [[nodiscard]] guard<rw_mutex> await_resume() const {
        throw_if_cut();
        return guard<rw_mutex>(*mutex_);
    }

 private:
    static const wait_kind kind_of_wait;
};

class [[nodiscard("lock_shared() does nothing until it is awaited")]] rw_mutex::shared_awaiter
    : public wait {
 public:
    explicit shared_awaiter(rw_mutex& which) noexcept : wait(which, kind_of_wait, true) {}
    [[nodiscard]] shared_guard<rw_mutex> await_resume() const {
        throw_if_cut();
        return shared_guard<rw_mutex>(*mutex_);
    }

 private:
    static const wait_kind kind_of_wait;
};

inline rw_mutex::lock_awaiter rw_mutex::lock() noexcept { return lock_awaiter(*this); }
inline rw_mutex::shared_awaiter rw_mutex::lock_shared() noexcept { return shared_awaiter(*this); }

}  // namespace lariat

#pragma once

#include <lariat/base/assert.hpp>

#include <utility>

namespace lariat {

namespace detail {

/// How a guard gives back what it holds.
struct exclusive_hold {
    template <class Lock>
    static void end(Lock& held) noexcept {
        held.unlock();
    }
};
struct shared_hold {
    template <class Lock>
    static void end(Lock& held) noexcept {
        held.unlock_shared();
    }
};
struct permit_hold {
    template <class Semaphore>
    static void end(Semaphore& held) noexcept {
        held.give_back();
    }
};

}  // namespace detail

/// Holds a lock, or a permit, and gives it back at the end of its scope, also when that ends by an
/// exception or a cancellation. An empty one holds nothing.
///
///     auto guard = co_await mutex.lock();
///     auto perhaps = mutex.try_lock();
///     if (perhaps) { ... }
///
/// Threads      one loop
/// Lifetime     what it holds outlives it
/// Allocation   none
template <class Lock, class Hold = detail::exclusive_hold>
class [[nodiscard("a guard that is dropped gives back at once what it holds; name it")]] guard {
 public:
    guard() noexcept = default;
    guard(guard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    guard& operator=(guard&& other) noexcept {
        guard gone(std::move(*this));
        lock_ = std::exchange(other.lock_, nullptr);
        return *this;
    }
    ~guard() {
        if (lock_ != nullptr) Hold::end(*lock_);
    }

    /// Gives it back now; the next in line has it when this returns. Pre: it holds something.
    void unlock() noexcept {
        detail::require(lock_ != nullptr,
                        "a guard that holds nothing cannot unlock: it was empty, moved from, or "
                        "unlocked before");
        Hold::end(*std::exchange(lock_, nullptr));
    }
    [[nodiscard]] explicit operator bool() const noexcept { return lock_ != nullptr; }

 private:
    friend Lock;             // those who wait for it make one that holds
    friend class semaphore;  // for what is built on it
    friend class condition;

    explicit guard(Lock& held) noexcept : lock_(&held) {}

    Lock* lock_ = nullptr;
};

/// One of the readers that an rw_mutex has let in together.
template <class Lock>
using shared_guard = guard<Lock, detail::shared_hold>;
/// One permit of a semaphore.
template <class Semaphore>
using permit = guard<Semaphore, detail::permit_hold>;

}  // namespace lariat

#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/config.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/semaphore.hpp>

#include <cstddef>
#include <stdexcept>

namespace lariat {

/// A bounded_semaphore was given back a permit that nobody had taken: some path releases twice.
class LARIAT_EXPORT released_too_often : public std::logic_error {
 public:
    released_too_often(std::size_t released, std::size_t taken, std::size_t limit);
    ~released_too_often() override;
};

/// A semaphore that never has more permits than it began with, and so finds a release too many.
///
/// Order, Threads, Lifetime, Allocation: as semaphore
/// Limits       the permits it is made with; a release beyond is refused
class LARIAT_EXPORT bounded_semaphore {
 public:
    explicit bounded_semaphore(std::size_t permits) noexcept : permits_(permits), limit_(permits) {}

    /// As semaphore's. Pre: `count` is not more than limit(), or it would wait for ever.
    [[nodiscard]] semaphore::acquire_awaiter acquire(std::size_t count = 1) noexcept {
        detail::require(count <= limit_,
                        "more permits were asked for than this bounded_semaphore will ever have");
        return permits_.acquire(count);
    }
    /// One permit, in a guard.
    [[nodiscard]] semaphore::permit_awaiter<bounded_semaphore> scoped_acquire() noexcept {
        return semaphore::permit_awaiter<bounded_semaphore>(permits_, *this);
    }
    /// Takes them if they are there and nobody waits: whether it did.
    [[nodiscard]] bool try_acquire(std::size_t count = 1) noexcept {
        return permits_.try_acquire(count);
    }
    /// Gives permits back and hands them to those who wait. Runs nobody.
    ///
    /// Errors: released_too_often if so many are not taken; nothing was released then.
    void release(std::size_t count = 1) {
        if (count > taken()) [[unlikely]]
            refuse(count);
        permits_.release(count);
    }
    [[nodiscard]] std::size_t available() const noexcept { return permits_.available(); }
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

 private:
    friend struct detail::permit_hold;

    [[nodiscard]] std::size_t taken() const noexcept { return limit_ - permits_.available(); }
    [[noreturn]] void refuse(std::size_t count) const;
    void give_back() noexcept {
        detail::require(taken() != 0,
                        "a bounded_semaphore's permit was released while a guard held it");
        permits_.release();
    }

    semaphore permits_;
    std::size_t limit_;
};

}  // namespace lariat

#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/config.hpp>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace lariat::detail {

/// A process of the family as words in shared memory name it: its slot, and which of the slot's
/// lives it is. 0 is nobody. Bits 30 and 31 are free for who keeps it in a word.
using owner_id = std::uint32_t;
inline constexpr owner_id nobody = 0;
inline constexpr std::uint32_t owner_bits = (1U << 30U) - 1U;

/// This process; `nobody` outside of a family, and in a child that was forked by hand.
inline constinit LARIAT_EXPORT std::atomic<owner_id> this_owner{nobody};

/// For tests: called between the steps of every protocol in shared memory, to end the process
/// there.
inline constinit LARIAT_EXPORT std::atomic<void (*)() noexcept> between_steps{nullptr};
inline void step() noexcept {
    if (auto* hook = between_steps.load(std::memory_order_relaxed); hook != nullptr) [[unlikely]]
        hook();
}

/// One at a time among the threads of all processes; for a few instructions.
///
/// Its holder may be killed at any of them: the word names the holder, and who comes next, or the
/// fork server, which hears of the death first, undoes what was begun and opens it.
///
/// Order        none
/// Threads      any; a stopped holder (SIGSTOP) stops all who come
/// Allocation   none
class LARIAT_EXPORT robust_lock {
 public:
    /// Pre: this process belongs to a family.
    void lock() noexcept {
        std::uint32_t expected = nobody;
        if (!word_.compare_exchange_strong(expected, this_owner.load(std::memory_order_relaxed),
                                           std::memory_order_acquire, std::memory_order_relaxed))
            [[unlikely]]
            lock_slowly();
    }
    void unlock() noexcept {
        if ((word_.exchange(nobody, std::memory_order_release) & has_waiters) != 0) [[unlikely]]
            wake_next();
    }
    [[nodiscard]] owner_id holder() const noexcept {
        return word_.load(std::memory_order_acquire) & owner_bits;
    }
    /// Passes it from a dead holder to this process: false if another did.
    [[nodiscard]] bool inherit(owner_id dead) noexcept;

 private:
    static constexpr std::uint32_t has_waiters = 1U << 31U;

    void lock_slowly() noexcept;
    void wake_next() noexcept;

    std::atomic<std::uint32_t> word_{nobody};
};

/// A lock with what is needed to undo the work of a holder that died: part of every cell whose
/// state is more than one word.
struct LARIAT_EXPORT guarded {
    static constexpr std::uint32_t most_changes = 30;
    struct change {
        std::uintptr_t where;  // bit 0: it has 4 bytes, not 8
        std::uint64_t before;
    };

    /// What its holder, which is dead, had begun and not committed is undone, and the lock opened.
    /// Nothing if `dead` does not hold it.
    void recover(owner_id dead) noexcept;
    /// Undoes what was begun. Pre: this process has the lock.
    void undo() noexcept;

    robust_lock lock;
    std::atomic<std::uint32_t> changes{0};
    change log[most_changes];
};

/// Changes to shared memory that happen all or not at all, also if the process is killed meanwhile.
///
///     transaction change(body.guard);          // waits for its turn
///     change.set(body.count, body.count + 1);
///     change.commit();                         // else its destructor undoes it
///
/// The compiler keeps the order of the stores (signal fences); of what a killed thread had stored,
/// every store before the interrupted instruction arrives and none after, so no stronger order is
/// needed towards a death. Towards other threads the lock's own order does.
///
/// Limits       guarded::most_changes stores (asserted), of 4 or 8 bytes each
class transaction {
 public:
    explicit transaction(guarded& what) noexcept : what_(what) {
        what_.lock.lock();
        if (what_.changes.load(std::memory_order_relaxed) != 0) [[unlikely]]
            what_.undo();  // the lock came from one who died
        step();
    }
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    ~transaction() {
        if (open_) [[unlikely]] {
            what_.undo();
            what_.lock.unlock();
        }
    }

    template <class T>
    void set(std::atomic<T>& target, std::type_identity_t<T> value) noexcept {
        constexpr std::size_t bytes = sizeof target;
        static_assert(bytes == 4 || bytes == 8);
        const T old = target.load(std::memory_order_relaxed);
        if constexpr (bytes == 8) {
            remember(reinterpret_cast<std::uintptr_t>(&target), std::bit_cast<std::uint64_t>(old));
        } else {
            remember(reinterpret_cast<std::uintptr_t>(&target) | 1U,
                     std::bit_cast<std::uint32_t>(old));
        }
        target.store(value, std::memory_order_relaxed);
        step();
    }

    /// It happened: the lock is open again.
    void commit() noexcept {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        what_.changes.store(0, std::memory_order_release);
        open_ = false;
        step();
        what_.lock.unlock();
    }

 private:
    void remember(std::uintptr_t where, std::uint64_t before) noexcept {
        const std::uint32_t count = what_.changes.load(std::memory_order_relaxed);
        require(count < guarded::most_changes, "a transaction has room for 30 changes");
        what_.log[count] = guarded::change{where, before};
        std::atomic_signal_fence(std::memory_order_seq_cst);
        what_.changes.store(count + 1, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        step();
    }

    guarded& what_;
    bool open_ = true;
};

}  // namespace lariat::detail

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/shm/locking.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/shm/wait_word.hpp>
#include <lariat/process/transaction.hpp>
#include <lariat/sync/guard.hpp>

#include <atomic>
#include <cstdint>
#include <source_location>
#include <utility>

namespace lariat {

namespace detail {

/// What a shared rw_mutex is in the arena.
///
/// A count of all processes is the difference of two that only grow, one changed in transactions,
/// the other by the fork server for the dead; so neither waits for the other.
///
/// Invariant    readers() is the sum of `reading`, and waiting_writers() that of `waiting`
struct LARIAT_EXPORT rw_mutex_body {
    /// One who wants in, over its attempts.
    struct request {
        bool repairs = false;
        bool counted = false;     ///< among the writers that wait
        bool has_waited = false;  ///< a reader, since the round `since`
        std::uint32_t since = 0;
        bool died = false;  ///< out: done, but it is not in
        int pid = 0;        ///< who died
    };
    /// What locking.hpp's repair_guard wants to know: of writers that died inside.
    struct mark {
        std::atomic<std::uint32_t> deaths{0};
        std::atomic<std::uint32_t> repaired{0};
        std::atomic<std::int32_t> last_pid{0};

        [[nodiscard]] bool inconsistent() const noexcept {
            return deaths.load(std::memory_order_acquire) !=
                   repaired.load(std::memory_order_acquire);
        }
        [[nodiscard]] int dead_pid() const noexcept {
            return last_pid.load(std::memory_order_relaxed);
        }
        /// Pre: a writer is inside, and it is the caller.
        void make_consistent() noexcept {
            repaired.store(deaths.load(std::memory_order_acquire), std::memory_order_release);
        }
    };

    [[nodiscard]] futex_step attempt(request& who) noexcept;
    [[nodiscard]] futex_step attempt_shared(request& who) noexcept;
    /// False: not now; nobody is counted.
    [[nodiscard]] bool try_lock(request& who) noexcept;
    [[nodiscard]] bool try_lock_shared(request& who) noexcept;
    /// One that was counted waits no more.
    void leave(request& who) noexcept;
    void unlock() noexcept;
    void unlock_shared() noexcept;
    void sweep(owner_id dead) noexcept;
    [[noreturn]] void throw_died(const request& who) const;

    [[nodiscard]] std::uint32_t readers() const noexcept {
        return entered.load(std::memory_order_relaxed) - lost.load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint32_t waiting_writers() const noexcept {
        return came.load(std::memory_order_relaxed) - gone.load(std::memory_order_relaxed);
    }

    [[nodiscard]] static guard<rw_mutex_body> hold(rw_mutex_body& of) noexcept {
        return guard<rw_mutex_body>(of);
    }
    [[nodiscard]] static shared_guard<rw_mutex_body> hold_shared(rw_mutex_body& of) noexcept {
        return shared_guard<rw_mutex_body>(of);
    }
    [[nodiscard]] static shm::repair_guard<rw_mutex_body> hold_to_repair(
        guard<rw_mutex_body> held) noexcept {
        return shm::repair_guard<rw_mutex_body>(std::move(held));
    }
    [[nodiscard]] static rw_mutex_body* held_by(const guard<rw_mutex_body>& holder) noexcept {
        return holder.lock_;
    }

    guarded lock;
    wait_word to_write;
    wait_word to_read;
    std::atomic<owner_id> writer{nobody};
    std::atomic<std::uint32_t> round{0};  // how many writers have left
    std::atomic<std::uint32_t> entered{0};
    std::atomic<std::uint32_t> came{0};
    std::atomic<std::uint32_t> told{0};  // of readers that died: those that were reported
    std::atomic<std::uint32_t> lost{0};  // this and the next: the fork server's to change
    std::atomic<std::uint32_t> gone{0};
    std::atomic<std::uint32_t> dead_readers{0};
    std::atomic<std::int32_t> dead_reader_pid{0};
    mark word;
    std::atomic<std::uint32_t> reading[max_processes]{};
    std::atomic<std::uint32_t> waiting[max_processes]{};

 private:
    [[nodiscard]] bool enter(request& who) noexcept;
    [[nodiscard]] bool enter_shared(request& who) noexcept;
    void count(request& who) noexcept;
};

/// A task's wait, for either use.
class LARIAT_EXPORT rw_wait : public single_step {
 public:
    rw_wait(const rw_wait&) = delete;
    rw_wait& operator=(const rw_wait&) = delete;

 protected:
    rw_wait(rw_mutex_body& which, bool to_repair) noexcept : body_(&which) {
        request_.repairs = to_repair;
    }
    rw_wait(rw_wait&& other) noexcept = default;
    ~rw_wait() { body_->leave(request_); }

    rw_mutex_body* body_;
    rw_mutex_body::request request_;
};

class LARIAT_EXPORT write_wait : public futex_verb<write_wait>, public rw_wait {
 public:
    [[nodiscard]] futex_step attempt() noexcept { return body_->attempt(request_); }
    /// Readers that it held up go in.
    void gave_up() noexcept { body_->leave(request_); }
    void passed_on() noexcept { body_->to_write.pass_on(); }

    static constexpr wait_kind kind_of_wait{"a shm::rw_mutex, to write", &futex_wait_point::leave};

 protected:
    write_wait(rw_mutex_body& which, bool to_repair) noexcept
        : futex_verb(kind_of_wait), rw_wait(which, to_repair) {}
    [[nodiscard]] guard<rw_mutex_body> take() const {
        finish();
        if (request_.died) [[unlikely]]
            body_->throw_died(request_);
        return rw_mutex_body::hold(*body_);
    }
};

}  // namespace detail

namespace shm {

/// Lets in many readers together, or one writer alone: tasks and plain threads of all processes of
/// a family.
///
///     lariat::shm::rw_mutex table;                    // a handle: copies name the same
///     auto reading = co_await table.lock_shared();
///     auto writing = co_await table.lock();
///
/// A writer whose process ends inside, killed or not, may leave what it guards half changed: all
/// who come get owner_died, until somebody has locked it to repair and made it consistent. A reader
/// that ends inside can have broken nothing: it is given back, and the next writer that comes gets
/// owner_died, once, with its pid.
///
/// Order        a reader that comes after a waiting writer waits, so writers do not starve; when a
///              writer leaves, all readers that came before that go in, so readers do not either.
///              Among writers none: who comes may overtake who waits
/// Threads      any. A guard may be given back on another thread of the process that took it
/// Lifetime     a guard, and one who waits, need a handle of their process; any handle will do
/// Allocation   a new one: some 9 KiB of shared memory; none by its verbs
/// Limits       a reader does not become a writer: it gives back first. One who holds it and asks
///              again may wait for itself, as reader too. If the fork server itself was killed,
///              later deaths are not noticed
class LARIAT_EXPORT rw_mutex {
 public:
    class lock_awaiter;
    class repair_awaiter;
    class shared_awaiter;
    using guard = lariat::guard<detail::rw_mutex_body>;
    using shared_guard = lariat::shared_guard<detail::rw_mutex_body>;
    using repair_guard = shm::repair_guard<detail::rw_mutex_body>;

    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    rw_mutex();

    /// Suspends until this task is alone, not at all if nobody is inside · Returns a guard ·
    /// Errors: owner_died · Cancel: it is not inside, and those it held up go in · Cost: a short
    /// lock if nobody is inside; else a system call or two.
    [[nodiscard]] lock_awaiter lock() const noexcept;
    /// The same among readers · Returns a shared_guard.
    [[nodiscard]] shared_awaiter lock_shared() const noexcept;
    /// An empty guard if anybody is inside. Errors: owner_died.
    [[nodiscard]] guard try_lock() const;
    /// An empty guard if a writer is inside or waits. Errors: owner_died.
    [[nodiscard]] shared_guard try_lock_shared() const;
    /// For threads without a loop, which sleep meanwhile. With a time: an empty guard if they did
    /// not get in for so long.
    [[nodiscard]] guard lock_blocking(
        std::source_location where = std::source_location::current()) const;
    [[nodiscard]] guard lock_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;
    [[nodiscard]] shared_guard lock_shared_blocking(
        std::source_location where = std::source_location::current()) const;
    [[nodiscard]] shared_guard lock_shared_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;
    /// As lock(), also if a writer has died; see shm::repair_guard.
    [[nodiscard]] repair_awaiter lock_to_repair() const noexcept;
    [[nodiscard]] repair_guard lock_to_repair_blocking(
        std::source_location where = std::source_location::current()) const;

    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const rw_mutex& other) const noexcept = default;

    void pack_into(detail::parcel_writer& to) const { body_.pack_into(to); }
    [[nodiscard]] static rw_mutex unpack_from(detail::parcel_reader& from);

 private:
    explicit rw_mutex(detail::shared_handle<detail::rw_mutex_body> of) noexcept
        : body_(std::move(of)) {}
    [[nodiscard]] guard lock_until(time_point deadline) const;
    [[nodiscard]] shared_guard lock_shared_until(time_point deadline) const;

    detail::shared_handle<detail::rw_mutex_body> body_;
};

class [[nodiscard(
    "lock() does nothing until it is awaited: auto guard = co_await m.lock()")]] rw_mutex::
    lock_awaiter : public detail::write_wait {
 public:
    explicit lock_awaiter(detail::rw_mutex_body& which) noexcept : write_wait(which, false) {}
    [[nodiscard]] guard await_resume() const { return take(); }
};

class [[nodiscard("lock_to_repair() does nothing until it is awaited")]] rw_mutex::repair_awaiter
    : public detail::write_wait {
 public:
    explicit repair_awaiter(detail::rw_mutex_body& which) noexcept : write_wait(which, true) {}
    [[nodiscard]] repair_guard await_resume() const {
        return detail::rw_mutex_body::hold_to_repair(take());
    }
};

class [[nodiscard("lock_shared() does nothing until it is awaited")]] rw_mutex::shared_awaiter
    : public detail::futex_verb<rw_mutex::shared_awaiter>,
      public detail::rw_wait {
 public:
    explicit shared_awaiter(detail::rw_mutex_body& which) noexcept
        : futex_verb(kind_of_wait), rw_wait(which, false) {}

    [[nodiscard]] detail::futex_step attempt() noexcept { return body_->attempt_shared(request_); }
    /// All readers are woken at once: there is no other's wake to take.
    void passed_on() noexcept {}
    [[nodiscard]] shared_guard await_resume() const {
        finish();
        if (request_.died) [[unlikely]]
            body_->throw_died(request_);
        return detail::rw_mutex_body::hold_shared(*body_);
    }

    static constexpr wait_kind kind_of_wait{"a shm::rw_mutex, to read",
                                            &detail::futex_wait_point::leave};
};

inline rw_mutex::lock_awaiter rw_mutex::lock() const noexcept { return lock_awaiter(*body_); }
inline rw_mutex::repair_awaiter rw_mutex::lock_to_repair() const noexcept {
    return repair_awaiter(*body_);
}
inline rw_mutex::shared_awaiter rw_mutex::lock_shared() const noexcept {
    return shared_awaiter(*body_);
}

}  // namespace shm

}  // namespace lariat

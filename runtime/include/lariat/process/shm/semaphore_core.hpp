#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/shm/wait_word.hpp>
#include <lariat/process/transaction.hpp>
#include <lariat/sync/guard.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <source_location>

namespace lariat::shm {

/// What becomes of a permit that was acquired.
enum class permits : std::uint8_t {
    held,  ///< it is this process's until the process releases it; if the process ends, it is told
    spent  ///< it is used up: whoever comes releases new ones. For signals: nobody holds anything
};

}  // namespace lariat::shm

namespace lariat::detail {

/// What a shared semaphore is in the arena.
///
/// Invariant    `made`, which is all there are, is `available`, and what is held by the living (the
///              sum of `held`, one a process) and lost by the dead, but for those of the latter
///              that somebody else has `returned`. Not kept of spent permits
struct LARIAT_EXPORT semaphore_body {
    semaphore_body(std::uint32_t permits, std::uint32_t most, bool spends) noexcept
        : limit(most), spent(spends), available(permits), made(permits) {}

    /// One who wants permits.
    struct request {
        std::uint32_t count = 1;
        bool died = false;  ///< out: done, but it has got none
    };
    [[nodiscard]] futex_step attempt(request& who) noexcept;
    [[nodiscard]] bool try_acquire(request& who) noexcept;
    /// Errors: released_too_often.
    void release(std::size_t count);
    /// A guard's.
    void give_back() noexcept;
    /// Returns how many the dead had held.
    [[nodiscard]] std::uint32_t repair() noexcept;
    /// What the dead held. After settle() nobody has given any of it back.
    [[nodiscard]] std::uint32_t lost() const noexcept {
        return lost_ever.load(std::memory_order_acquire) - repaired.load(std::memory_order_acquire);
    }
    void sweep(owner_id dead) noexcept;
    [[noreturn]] void throw_died() const;
    [[nodiscard]] static permit<semaphore_body> hold_one(semaphore_body& of) noexcept {
        return permit<semaphore_body>(of);
    }

    guarded guard;
    wait_word word;
    const std::uint32_t limit;  // 0: none
    const bool spent;
    std::atomic<std::uint32_t> available;
    std::atomic<std::uint32_t> made;
    std::atomic<std::uint32_t> returned{0};    // for whoever holds one, and ends or releases next
    std::atomic<std::uint32_t> wants_many{0};  // somebody has waited for several
    std::atomic<std::uint32_t> repaired{0};
    std::atomic<std::uint32_t> lost_ever{0};  // this and the next: the fork server's to change
    std::atomic<std::int32_t> dead_pid{0};
    std::atomic<std::uint32_t> held[max_processes]{};

 private:
    [[nodiscard]] bool take(request& who) noexcept;
    [[nodiscard]] bool add(std::uint32_t count, std::uint32_t& taken) noexcept;
    [[nodiscard]] bool let_go_of_returned() noexcept;
    void settle(transaction& change) noexcept;
    void account(transaction& change, std::uint32_t count, std::uint32_t taken) noexcept;
};

/// Errors: std::invalid_argument for more than 2^31 - 1; those of make_cell.
[[nodiscard]] LARIAT_EXPORT cell_ref make_semaphore(std::size_t permits, bool bounded, bool spent);
LARIAT_EXPORT extern const cell_kind semaphore_kind;
LARIAT_EXPORT extern const cell_kind bounded_semaphore_kind;

/// A task's wait for permits.
class LARIAT_EXPORT semaphore_wait : public futex_verb<semaphore_wait>, public single_step {
 public:
    [[nodiscard]] futex_step attempt() noexcept { return from_->attempt(request_); }
    void passed_on() noexcept { from_->word.pass_on(); }

    static constexpr wait_kind kind_of_wait{"a permit of a shm::semaphore",
                                            &futex_wait_point::leave};

 protected:
    semaphore_wait(semaphore_body& from, std::uint32_t count) noexcept
        : futex_verb(kind_of_wait), from_(&from) {
        request_.count = count;
    }
    void check() const {
        finish();
        if (request_.died) [[unlikely]]
            from_->throw_died();
    }

    semaphore_body* from_;

 private:
    semaphore_body::request request_;
};

class [[nodiscard("acquire() does nothing until it is awaited: co_await it")]] acquire_wait
    : public semaphore_wait {
 public:
    acquire_wait(semaphore_body& from, std::uint32_t count) noexcept
        : semaphore_wait(from, count) {}
    void await_resume() const { check(); }
};

class [[nodiscard(
    "scoped_acquire() does nothing until it is awaited: auto permit = co_await it")]] permit_wait
    : public semaphore_wait {
 public:
    explicit permit_wait(semaphore_body& from) noexcept : semaphore_wait(from, 1) {}
    [[nodiscard]] permit<semaphore_body> await_resume() const {
        check();
        return semaphore_body::hold_one(*from_);
    }
};

/// The verbs of shm::semaphore and shm::bounded_semaphore.
///
/// Errors (all that acquire): owner_died, if a process ended while it held permits, each time until
/// somebody has called repair().
class LARIAT_EXPORT semaphore_verbs {
 public:
    using permit = lariat::permit<semaphore_body>;

    /// Suspends until `count` permits are there, not at all if they are · Cancel: none is taken ·
    /// Cost: a short lock while they are there; else a system call or two.
    [[nodiscard]] acquire_wait acquire(std::size_t count = 1) const {
        return acquire_wait(*body_, checked(count));
    }
    /// One permit, in a guard.
    [[nodiscard]] permit_wait scoped_acquire() const { return permit_wait(*body_); }
    /// Takes them if they are there: whether it did.
    [[nodiscard]] bool try_acquire(std::size_t count = 1) const;
    /// For threads without a loop, which sleep meanwhile. With a time: false, or an empty guard, if
    /// it did not get them for so long.
    void acquire_blocking(std::source_location where = std::source_location::current()) const;
    [[nodiscard]] bool acquire_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;
    [[nodiscard]] permit scoped_acquire_blocking(
        std::source_location where = std::source_location::current()) const;
    [[nodiscard]] permit scoped_acquire_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;
    /// Gives back what the dead held. Returns how many permits that were: what they guard is in
    /// order again.
    std::size_t repair() const noexcept { return body_->repair(); }
    /// Permits that nobody holds.
    [[nodiscard]] std::size_t available() const noexcept {
        return body_->available.load(std::memory_order_acquire);
    }
    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const semaphore_verbs& other) const noexcept = default;

    void pack_into(parcel_writer& to) const { body_.pack_into(to); }

 protected:
    explicit semaphore_verbs(shared_handle<semaphore_body> of) noexcept : body_(std::move(of)) {}
    semaphore_verbs(const semaphore_verbs&) noexcept = default;
    semaphore_verbs(semaphore_verbs&&) noexcept = default;
    semaphore_verbs& operator=(const semaphore_verbs&) noexcept = default;
    semaphore_verbs& operator=(semaphore_verbs&&) noexcept = default;
    ~semaphore_verbs() = default;

    [[nodiscard]] semaphore_body& body() const noexcept { return *body_; }

 private:
    [[nodiscard]] std::uint32_t checked(std::size_t count) const noexcept;
    [[nodiscard]] bool acquire_until(time_point deadline) const;

    shared_handle<semaphore_body> body_;
};

}  // namespace lariat::detail

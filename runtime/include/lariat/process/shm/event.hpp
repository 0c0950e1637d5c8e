#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/shared_handle.hpp>

#include <cstdint>
#include <optional>
#include <source_location>

namespace lariat {

namespace detail {

/// What a shared event is in the arena: one word. Bit 0: somebody may sleep; bit 1: it is set; the
/// rest counts how often it was, so that those who waited pass although it is cleared again.
///
/// A waiter that sleeps through exactly 2^30 of them does not see them.
struct LARIAT_EXPORT event_body {
    void set() noexcept;
    void clear() noexcept { word.fetch_and(~is_set, std::memory_order_acq_rel); }
    /// `since`: the count when the wait began, which the first attempt notes.
    [[nodiscard]] futex_step attempt(std::optional<std::uint32_t>& since) noexcept;

    static constexpr std::uint32_t may_sleep = 1;
    static constexpr std::uint32_t is_set = 2;
    static constexpr std::uint32_t once = 4;

    futex_word word{0};
};

}  // namespace detail

namespace shm {

/// A flag that the tasks and plain threads of all processes of a family wait for; while it is set,
/// all pass.
///
///     lariat::shm::event ready;        // copies, also in other processes, name the same
///     co_await ready.wait();           // in tasks
///     ready.wait_blocking();           // in a thread without a loop
///     ready.set();                     // anywhere
///
/// Order        none; those who waited pass, also when it is cleared before they have run
/// Threads      any; what was done before set() is seen after a wait that it ended
/// Lifetime     who waits needs a handle of its process
/// Allocation   a new one: 128 bytes of shared memory; none by its verbs
class LARIAT_EXPORT event {
 public:
    class awaiter;

    /// A new one, not set. Errors: std::system_error (ENOMEM); std::logic_error outside of a
    /// family.
    event();

    /// Wakes all who wait, and lets pass whoever comes, until clear(). Cost: one atomic operation;
    /// a system call if anybody waits. A process killed in the middle has set it or has not; those
    /// who wait learn it.
    void set() const noexcept { handle_->set(); }
    /// What was done before a set() that it takes back is seen after it: clear, then look.
    void clear() const noexcept { handle_->clear(); }
    [[nodiscard]] bool is_set() const noexcept {
        return (handle_->word.load(std::memory_order_acquire) & detail::event_body::is_set) != 0;
    }

    /// Suspends until it is set, not at all if it is · Cancel: it does not wait any more · Cost:
    /// one look if it is set.
    [[nodiscard]] awaiter wait() const noexcept;
    /// The same for a thread without a loop, which sleeps meanwhile. With a time: false if it was
    /// not set for so long.
    void wait_blocking(std::source_location where = std::source_location::current()) const;
    [[nodiscard]] bool wait_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;

    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const event& other) const noexcept = default;

    void pack_into(detail::parcel_writer& to) const { handle_.pack_into(to); }
    [[nodiscard]] static event unpack_from(detail::parcel_reader& from);

 private:
    explicit event(detail::shared_handle<detail::event_body> of) noexcept
        : handle_(std::move(of)) {}
    [[nodiscard]] bool wait_until(time_point deadline) const noexcept;

    detail::shared_handle<detail::event_body> handle_;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] event::awaiter
    : public detail::futex_verb<event::awaiter>,
      public single_step {
 public:
    explicit awaiter(detail::event_body& which) noexcept
        : futex_verb(kind_of_wait), body_(&which) {}

    [[nodiscard]] detail::futex_step attempt() noexcept { return body_->attempt(since_); }
    /// set() wakes all: there is no other's wake to take.
    void passed_on() noexcept {}
    void await_resume() const { finish(); }

 private:
    static constexpr wait_kind kind_of_wait{"a shm::event to be set",
                                            &detail::futex_wait_point::leave};

    detail::event_body* body_;
    std::optional<std::uint32_t> since_;
};

inline event::awaiter event::wait() const noexcept { return awaiter(*handle_); }

}  // namespace shm

}  // namespace lariat

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/shm/wait_word.hpp>
#include <lariat/process/transaction.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <utility>

namespace lariat {

namespace detail {

/// What a shared barrier is in the arena.
///
/// Invariant 1  arrived is the number of bits in `places`, and less than parties
/// Invariant 2  waiting[s] names a round, above, and how many of process s wait in it, below; of an
///              earlier round it says nothing
struct LARIAT_EXPORT barrier_body {
    static constexpr std::uint32_t most_parties = 1024;
    static constexpr std::uint32_t remembered = 16;

    /// One who waits, over its attempts.
    struct request {
        bool arrived = false;
        bool broken = false;  ///< out
        std::uint32_t round = 0;
        std::uint32_t place = 0;  ///< out: the index of its arrival
    };

    explicit barrier_body(std::uint32_t wanted) noexcept : parties(wanted) {}

    [[nodiscard]] futex_step attempt(request& who) noexcept;
    /// False if the round has come together, or broken, before it could leave: see `broken`.
    [[nodiscard]] bool leave(request& who) noexcept;
    void end_round(bool stays_broken) noexcept;
    void sweep(owner_id dead) noexcept;

    guarded guard;
    wait_word word;
    const std::uint32_t parties;
    std::atomic<std::uint32_t> round{0};
    std::atomic<std::uint32_t> arrived{0};
    std::atomic<std::uint32_t> broken{0};
    /// One more than the last round in which a process died; the fork server's to change.
    std::atomic<std::uint32_t> died_in{0};
    /// The last rounds that broke, each plus one.
    std::atomic<std::uint32_t> broken_count{0};
    std::array<std::atomic<std::uint32_t>, remembered> broken_rounds{};
    std::array<std::atomic<std::uint64_t>, most_parties / 64> places{};
    std::array<std::atomic<std::uint64_t>, max_processes> waiting{};

 private:
    [[nodiscard]] std::uint32_t free_place() const noexcept;
    [[nodiscard]] bool has_broken(std::uint32_t which) const noexcept;
    void note_deaths(transaction& change) noexcept;
    void break_round(transaction& change) noexcept;
    void next_round(transaction& change) noexcept;
    void arrive(transaction& change, request& who) noexcept;
    [[nodiscard]] bool look(request& who) noexcept;
};

}  // namespace detail

namespace shm {

/// A place where tasks and plain threads of all processes of a family wait for each other: when as
/// many as it is for have come, all go on, and it begins anew.
///
///     lariat::shm::barrier all_ready(3);               // a handle: copies name the same
///     std::size_t index = co_await all_ready.wait();   // 0, 1 and 2: the last to come has 2
///
/// Order        none among those who go on; who comes after them belongs to the next round
/// Threads      any; what was done before a wait is seen after all waits of its round
/// Lifetime     who waits needs a handle of its process
/// Allocation   a new one: some 9 KiB of shared memory; none by its verbs
/// Limits       1 to 1,024 parties (asserted). One who sleeps while 16 later rounds break may take
///              its own for one that came together. If the fork server itself was killed, later
///              deaths are not noticed
///
/// One who is cancelled, or whose time runs out, leaves, and another may come in its place. One
/// whose process ends while it waits breaks the barrier for all, as abort() does.
class LARIAT_EXPORT barrier {
 public:
    class awaiter;

    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    explicit barrier(std::size_t parties);

    /// Suspends until as many as it is for have come; the last to come does not suspend · Returns
    /// the index of this arrival, from 0, each once in a round · Errors: broken_barrier (through
    /// nothrow: errc::broken_barrier) if it is aborted, is reset meanwhile, or a process ends that
    /// waits · Cancel: leaves, and has not come; if the round came together before, that stands.
    [[nodiscard]] awaiter wait() const noexcept;
    /// The same for a thread without a loop. With a time: empty, and it has left, if the others did
    /// not come for so long.
    std::size_t wait_blocking(std::source_location where = std::source_location::current()) const;
    [[nodiscard]] std::optional<std::size_t> wait_blocking(
        duration longest, std::source_location where = std::source_location::current()) const;

    /// Breaks it: all who wait and all who come get broken_barrier, until reset().
    void abort() const noexcept { body_->end_round(true); }
    /// Makes it as new; those who wait get broken_barrier.
    void reset() const noexcept { body_->end_round(false); }

    [[nodiscard]] std::size_t parties() const noexcept { return body_->parties; }
    /// These tell what was so an instant ago.
    [[nodiscard]] std::size_t waiting() const noexcept {
        return body_->arrived.load(std::memory_order_acquire);
    }
    [[nodiscard]] bool broken() const noexcept {
        return body_->broken.load(std::memory_order_acquire) != 0 ||
               body_->died_in.load(std::memory_order_acquire) ==
                   body_->round.load(std::memory_order_acquire) + 1;
    }

    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const barrier& other) const noexcept = default;

    void pack_into(detail::parcel_writer& to) const { body_.pack_into(to); }
    [[nodiscard]] static barrier unpack_from(detail::parcel_reader& from);

 private:
    explicit barrier(detail::shared_handle<detail::barrier_body> of) noexcept
        : body_(std::move(of)) {}

    detail::shared_handle<detail::barrier_body> body_;
};

class [[nodiscard("a wait does nothing until it is awaited: co_await it")]] barrier::awaiter
    : public detail::futex_verb<barrier::awaiter> {
 public:
    explicit awaiter(detail::barrier_body& which) noexcept
        : futex_verb(kind_of_wait), body_(&which) {}
    awaiter(awaiter&& other) noexcept = default;
    ~awaiter() { (void)body_->leave(request_); }

    [[nodiscard]] detail::futex_step attempt() noexcept { return body_->attempt(request_); }
    void gave_up() noexcept { came_late_ = !body_->leave(request_); }
    /// All are woken at once: there is no other's wake to take.
    void passed_on() noexcept {}
    std::size_t await_resume() { return finish_nothrow().value("shm::barrier"); }
    /// For nothrow().
    [[nodiscard]] lariat::result<std::size_t> finish_nothrow();

 private:
    static constexpr wait_kind kind_of_wait{"a shm::barrier", &detail::futex_wait_point::leave};

    detail::barrier_body* body_;
    detail::barrier_body::request request_;
    bool came_late_ = false;  // the cancellation did
};

inline barrier::awaiter barrier::wait() const noexcept { return awaiter(*body_); }

}  // namespace shm

}  // namespace lariat

#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/locking.hpp>

#include <cstdint>
#include <utility>

namespace lariat {

namespace detail {

/// What a shared mutex is in the arena.
struct LARIAT_EXPORT mutex_body {
    static constexpr const char* name = "a shm::mutex";

    [[nodiscard]] futex_step attempt(lock_request& request, const party*) noexcept {
        return word.attempt(request);
    }
    [[nodiscard]] bool attempt_until(lock_request& request, time_point deadline) noexcept {
        return word.attempt_until(request, deadline);
    }
    void unlock() noexcept { word.release(); }
    /// For a condition.
    [[nodiscard]] std::uint32_t give_up() noexcept {
        unlock();
        return 1;
    }
    void restore(std::uint32_t) const noexcept {}
    [[noreturn]] void throw_died() const;

    [[nodiscard]] static guard<mutex_body> hold(mutex_body& held) noexcept {
        return guard<mutex_body>(held);
    }
    [[nodiscard]] static shm::repair_guard<mutex_body> hold_to_repair(
        guard<mutex_body> held) noexcept {
        return shm::repair_guard<mutex_body>(std::move(held));
    }
    [[nodiscard]] static mutex_body* held_by(const guard<mutex_body>& holder) noexcept {
        return holder.lock_;
    }
    /// A guard whose lock was given up and not taken again.
    static void empty(guard<mutex_body>& holder) noexcept { holder.lock_ = nullptr; }
    /// The `sweep` of a kind whose body begins with one.
    static void sweep(void* body, owner_id dead) noexcept {
        static_cast<mutex_body*>(body)->word.sweep(dead);
    }

    lock_word word;
};

}  // namespace detail

namespace shm {

/// Lets one at a time into what it guards: a task or a plain thread of any process of the family.
///
///     lariat::shm::mutex lock;                 // made here; copies, also in other processes,
///     process::start(work, lock);              // name the same
///     auto guard = co_await lock.lock();       // given back at the end of the scope
///
/// A process that ends while it holds it, killed or not, is reported as owner_died to the next who
/// come, and to those who wait, in about as long as it takes to be woken. It is given back with
/// its guard: in a process that lives on, a task that ends gives back what it held. A mutex that
/// comes free wakes one who waits, in whose process the wake stays while that computes or is
/// stopped (SIGSTOP): who comes then may have it, but others that wait go on waiting until that
/// process goes on or ends.
///
/// Order        none: who comes may overtake who waits. Nobody is forgotten
/// Threads      any. A guard may be given back on another thread of the process that took it
/// Lifetime     a guard, and one who waits, need a handle of their process; any handle will do
/// Allocation   a new one: 128 bytes of shared memory; none by its verbs
/// Limits       who locks it twice waits for itself. If the fork server itself was killed, threads
///              find a dead holder by themselves, within about 50 ms; tasks wait
class LARIAT_EXPORT mutex : public detail::lock_verbs<detail::mutex_body> {
 public:
    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    mutex();

    void pack_into(detail::parcel_writer& to) const;
    [[nodiscard]] static mutex unpack_from(detail::parcel_reader& from);

 private:
    using lock_verbs::lock_verbs;
};

}  // namespace shm

}  // namespace lariat

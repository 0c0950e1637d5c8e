#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/locking.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

namespace lariat {

namespace detail {

/// What a shared recursive mutex is in the arena.
///
/// Invariant    only who holds the word writes the rest. `home` names the holder while `task` is
///              valid, and nobody before the word is given back; so who finds its own process and
///              itself there holds it, whatever a dead holder has left
struct LARIAT_EXPORT recursive_mutex_body {
    static constexpr const char* name = "a shm::recursive_mutex";

    /// `waiting` is the task if it is parked, else the one that runs here asks.
    [[nodiscard]] futex_step attempt(lock_request& request, const party* waiting) noexcept;
    [[nodiscard]] bool attempt_until(lock_request& request, time_point deadline) noexcept;
    void unlock() noexcept;
    /// For a condition: gives it up whole, and puts the depth back when it is taken again.
    [[nodiscard]] std::uint32_t give_up() noexcept;
    void restore(std::uint32_t times) noexcept { depth.store(times, std::memory_order_relaxed); }
    [[noreturn]] void throw_died() const;

    [[nodiscard]] static guard<recursive_mutex_body> hold(recursive_mutex_body& held) noexcept {
        return guard<recursive_mutex_body>(held);
    }
    [[nodiscard]] static shm::repair_guard<recursive_mutex_body> hold_to_repair(
        guard<recursive_mutex_body> held) noexcept {
        return shm::repair_guard<recursive_mutex_body>(std::move(held));
    }
    [[nodiscard]] static recursive_mutex_body* held_by(
        const guard<recursive_mutex_body>& holder) noexcept {
        return holder.lock_;
    }
    static void empty(guard<recursive_mutex_body>& holder) noexcept { holder.lock_ = nullptr; }

    lock_word word;
    std::atomic<std::uint32_t> depth{0};
    std::atomic<owner_id> home{nobody};
    std::atomic<std::uint64_t> task{0};

 private:
    [[nodiscard]] bool again(std::uint64_t who) noexcept;
    void taken_by(std::uint64_t who) noexcept;
};

}  // namespace detail

namespace shm {

/// A mutex that the task, or the thread without a loop, which holds it may take again; it is free
/// when as many guards are gone as were taken. The holder is a task with the tasks that it awaits:
/// what is spawned or gathered is another one, and waits.
///
/// A process that ends while it holds it is reported as by shm::mutex.
///
/// Order        none, as shm::mutex; its holder never waits
/// Threads      any; a guard goes in the task, or on the thread, that took it (asserted)
/// Lifetime     a guard, and one who waits, need a handle of their process; any handle will do
/// Allocation   a new one: 128 bytes of shared memory; none by its verbs
/// Limits       as shm::mutex; taken 2^32 - 1 times
class LARIAT_EXPORT recursive_mutex : public detail::lock_verbs<detail::recursive_mutex_body> {
 public:
    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    recursive_mutex();

    void pack_into(detail::parcel_writer& to) const;
    [[nodiscard]] static recursive_mutex unpack_from(detail::parcel_reader& from);

 private:
    using lock_verbs::lock_verbs;
};

}  // namespace shm

}  // namespace lariat

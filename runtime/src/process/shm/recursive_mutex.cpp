#include <lariat/process/shm/recursive_mutex.hpp>

#include <lariat/task/scheduler.hpp>
#include <lariat/task/waiter.hpp>

namespace lariat {

namespace detail {

namespace {

/// Whose address names a thread that has no loop.
constinit thread_local char this_thread = 0;

std::uint64_t name_of(const void* task_or_thread) noexcept {
    return reinterpret_cast<std::uintptr_t>(task_or_thread);
}

std::uint64_t running() noexcept {
    if (this_scheduler == nullptr) return name_of(&this_thread);
    require(this_scheduler->current != nullptr,
            "a recursive_mutex is taken and released inside a task");
    return name_of(this_scheduler->current);
}

constexpr cell_kind kind{"shm::recursive_mutex", nullptr, +[](void* body, owner_id dead) noexcept {
                             static_cast<recursive_mutex_body*>(body)->word.sweep(dead);
                         }};

}  // namespace

bool recursive_mutex_body::again(std::uint64_t who) noexcept {
    const owner_id here = this_owner.load(std::memory_order_relaxed);
    // Acquire: taken_by's release, so that `task` is that of the same taking, or newer.
    if (word.holder() != here || home.load(std::memory_order_acquire) != here ||
        task.load(std::memory_order_relaxed) != who)
        return false;
    const std::uint32_t times = depth.load(std::memory_order_relaxed) + 1;
    require(times != 0, "a recursive_mutex is taken 2^32 - 1 times at most");
    depth.store(times, std::memory_order_relaxed);
    return true;
}

void recursive_mutex_body::taken_by(std::uint64_t who) noexcept {
    depth.store(1, std::memory_order_relaxed);
    task.store(who, std::memory_order_relaxed);
    home.store(this_owner.load(std::memory_order_relaxed), std::memory_order_release);
    step();
}

futex_step recursive_mutex_body::attempt(lock_request& request, const party* waiting) noexcept {
    const std::uint64_t who = waiting != nullptr ? name_of(waiting) : running();
    if (again(who)) return futex_step::done();
    const futex_step next = word.attempt(request);
    if (next.is_done() && !request.died) taken_by(who);
    return next;
}

bool recursive_mutex_body::attempt_until(lock_request& request, time_point deadline) noexcept {
    const std::uint64_t who = running();
    if (again(who)) return true;
    if (!word.attempt_until(request, deadline)) return false;
    if (!request.died) taken_by(who);
    return true;
}

void recursive_mutex_body::unlock() noexcept {
    const owner_id here = this_owner.load(std::memory_order_relaxed);
    if (here == nobody) return;  // a child forked by hand has copies of guards; they hold nothing
    require(word.holder() == here && home.load(std::memory_order_relaxed) == here &&
                task.load(std::memory_order_relaxed) == running(),
            "a recursive_mutex is released by the task that took it");
    const std::uint32_t left = depth.load(std::memory_order_relaxed) - 1;
    depth.store(left, std::memory_order_relaxed);
    if (left != 0) return;
    home.store(nobody, std::memory_order_relaxed);
    word.release();
}

std::uint32_t recursive_mutex_body::give_up() noexcept {
    const std::uint32_t times = depth.load(std::memory_order_relaxed);
    depth.store(1, std::memory_order_relaxed);
    unlock();
    return times;
}

void recursive_mutex_body::throw_died() const {
    throw_owner_died(name, word.dead_pid(),
                     "take it with lock_to_repair(), repair that, and make_consistent()");
}

}  // namespace detail

namespace shm {

recursive_mutex::recursive_mutex()
    : lock_verbs(detail::make_cell<detail::recursive_mutex_body>(detail::kind)) {}

void recursive_mutex::pack_into(detail::parcel_writer& to) const { handle().pack_into(to); }

recursive_mutex recursive_mutex::unpack_from(detail::parcel_reader& from) {
    return recursive_mutex(detail::shared_handle<detail::recursive_mutex_body>::unpack(
        from, detail::kind, typeid(recursive_mutex)));
}

}  // namespace shm

}  // namespace lariat

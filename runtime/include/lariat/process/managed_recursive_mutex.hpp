#pragma once

#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/task.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <typeinfo>
#include <utility>

namespace lariat {

namespace detail {

/// Held by a task of a connection; `task_name` is not 0, and tells it from that connection's others
/// for as long as it holds this.
class LARIAT_EXPORT served_recursive_mutex : public holder_for_connections {
 public:
    /// Returns the name, for who undoes it.
    task<std::uint64_t> lock(manager_caller who, std::uint64_t task_name);
    /// Returns the name, or 0 if another holds it.
    [[nodiscard]] std::uint64_t try_lock(manager_caller who, std::uint64_t task_name);
    /// Once. Errors: std::logic_error if this task does not hold it.
    void unlock(manager_caller who, std::uint64_t task_name);
    void unlock_if(manager_caller who, std::uint64_t taken_by);
    [[nodiscard]] bool locked() const noexcept { return lock_.locked(); }
    void left(std::uint64_t connection) { lock_.left(connection); }

 private:
    [[nodiscard]] bool held_by(manager_caller who, std::uint64_t task_name) const noexcept {
        return lock_.held_by(who) && task_ == task_name;
    }
    [[nodiscard]] bool again(manager_caller who, std::uint64_t task_name) noexcept;

    served_mutex lock_;
    std::uint64_t task_ = 0;  // this and the depth are those of the last to whom `lock_` was handed
    std::size_t depth_ = 0;
};

class managed_recursive_take;

}  // namespace detail

/// Holds a managed_recursive_mutex once, and gives that back at the end of its scope: a message
/// goes, and nobody waits for it. An empty one holds nothing.
///
/// Threads      the loop that took it
/// Lifetime     it goes in the task that took it, before that ends (asserted)
class [[nodiscard("a guard that is dropped gives back at once: name it")]] managed_recursive_guard {
 public:
    managed_recursive_guard() noexcept = default;
    managed_recursive_guard(managed_recursive_guard&& other) noexcept
        : holder_(std::exchange(other.holder_, nullptr)), held_(std::move(other.held_)) {}
    managed_recursive_guard& operator=(managed_recursive_guard&& other) noexcept {
        managed_recursive_guard gone(std::move(*this));
        holder_ = std::exchange(other.holder_, nullptr);
        held_ = std::move(other.held_);
        return *this;
    }
    ~managed_recursive_guard() {
        if (held_) unlock();
    }

    /// Gives it back now. Pre: it holds something.
    LARIAT_EXPORT void unlock() noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(held_); }

 private:
    friend class detail::managed_recursive_take;

    LARIAT_EXPORT managed_recursive_guard(managed_guard&& held, party& holder) noexcept;

    party* holder_ = nullptr;
    managed_guard held_;
};

namespace detail {

/// Gives a guard; an empty one where the answer is 0.
class [[nodiscard(
    "it does nothing until it is awaited: auto guard = co_await it")]] managed_recursive_take
    : public manager_wait {
 public:
    managed_recursive_take(const managed_ref& object, parcel&& request, const std::type_info& name,
                           manager_undo undo, party& by) noexcept
        : manager_wait(object, std::move(request), name, undo), by_(&by) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        require_asked_by(party_of(frame));
        return manager_wait::await_suspend(frame);
    }
    LARIAT_EXPORT managed_recursive_guard await_resume();

    /// The one that runs here.
    [[nodiscard]] LARIAT_EXPORT static party& running() noexcept;
    [[nodiscard]] LARIAT_EXPORT static std::uint64_t name_of(const party& which) noexcept;

 private:
    LARIAT_EXPORT void require_asked_by(const party& awaiting) const noexcept;

    party* by_;
};

}  // namespace detail

/// A managed_mutex that the task which holds it may take again; it is free when as many guards are
/// gone as were taken. The holder is a task of one process, with the tasks that it awaits: what is
/// spawned or gathered is another one, and waits.
///
///     auto lock = co_await m.make<lariat::managed_recursive_mutex>();
///     auto outer = co_await lock.lock();
///     auto inner = co_await lock.lock();     // at once: a message there and one back
///
/// Given back whole when its holder's connection ends, however its process does. A task that ends
/// and keeps a guard stops its program with that rule: the next task at its address would pass for
/// it. A managed_condition goes with a managed_mutex, not with this.
///
/// Order        first come, first served; its holder never waits
/// Limits       a task has 65,535 guards at a time (asserted). Who reaches one manager in two ways
///              (in the family, and by its address) is another holder by each
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_recursive_mutex
    : public detail::proxy_of<managed_recursive_mutex, detail::served_recursive_mutex> {
    template <auto Method>
    [[nodiscard]] detail::managed_recursive_take take() const {
        using take = detail::managed_recursive_take;
        const detail::managed_ref& object = checked();
        party& by = take::running();
        return take(object, detail::pack_method<body, Method>(*object, take::name_of(by)),
                    typeid(detail::method_call<body, Method>), undo_by<&body::unlock_if>(), by);
    }

 public:
    using detail::proxy_of<managed_recursive_mutex, detail::served_recursive_mutex>::proxy_of;

    /// Suspends until it is this task's turn · Returns a managed_recursive_guard · Cancel: it is
    /// held as often as before. Pre: the task that calls it awaits it (asserted): race and gather
    /// run what they are given as tasks of their own, so it is timeout(d, lock.lock()).
    [[nodiscard]] detail::managed_recursive_take lock() const { return take<&body::lock>(); }
    /// Returns an empty guard if another task holds it. Pre: as of lock().
    [[nodiscard]] detail::managed_recursive_take try_lock() const {
        return take<&body::try_lock>();
    }
    /// Whether anybody holds it, this task too.
    [[nodiscard]] auto locked() const { return ask<&body::locked>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<> initial() noexcept { return {}; }
};

}  // namespace lariat

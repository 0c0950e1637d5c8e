#pragma once

#include <lariat/process/manager_call.hpp>
#include <lariat/sync/mutex.hpp>
#include <lariat/task/task.hpp>

#include <cstdint>
#include <tuple>
#include <utility>

namespace lariat {

namespace detail {

class managed_condition_wait;

class LARIAT_EXPORT served_mutex : public holder_for_connections {
 public:
    task<> lock(manager_caller who);
    [[nodiscard]] bool try_lock(manager_caller who);
    /// Errors: std::logic_error if another has it.
    void unlock(manager_caller who);
    void unlock_if(manager_caller who, bool taken);
    [[nodiscard]] bool locked() const noexcept { return mutex_.locked(); }
    [[nodiscard]] bool held_by(manager_caller who) const noexcept {
        return held_ && holder_ == who.connection;
    }
    void left(std::uint64_t connection);

    // For a condition.
    /// The lock of one who holds it. Errors: std::logic_error if another does.
    [[nodiscard]] guard<mutex> lend(manager_caller who);
    void hand_to(manager_caller who, guard<mutex>&& held) noexcept;
    /// The number of the last hold: each time that somebody gets the lock has its own, from 1.
    [[nodiscard]] std::uint64_t hold() const noexcept { return hold_; }
    /// The last hold that was given back by left(); 0: none was.
    [[nodiscard]] std::uint64_t abandoned() const noexcept { return abandoned_; }

 private:
    void require_holder(manager_caller who) const;

    mutex mutex_;
    guard<mutex> held_;
    std::uint64_t holder_ = 0;
    std::uint64_t hold_ = 0;
    std::uint64_t abandoned_ = 0;
};

}  // namespace detail

/// Holds a managed_mutex, or a permit of a managed_semaphore, and gives it back at the end of its
/// scope: a message goes, and nobody waits for it. An empty one holds nothing.
///
/// Threads      the loop that took it
class [[nodiscard("a guard that is dropped gives back at once: name it")]] managed_guard {
 public:
    managed_guard() noexcept = default;
    /// Library use.
    managed_guard(detail::managed_ref held, detail::parcel&& give_back) noexcept
        : held_(std::move(held)), give_back_(std::move(give_back)) {}
    managed_guard(managed_guard&& other) noexcept
        : held_(std::exchange(other.held_, nullptr)), give_back_(std::move(other.give_back_)) {}
    managed_guard& operator=(managed_guard&& other) noexcept {
        managed_guard gone(std::move(*this));
        held_ = std::exchange(other.held_, nullptr);
        give_back_ = std::move(other.give_back_);
        return *this;
    }
    ~managed_guard() {
        if (held_ != nullptr) unlock();
    }

    /// Gives it back now. Pre: it holds something.
    LARIAT_EXPORT void unlock() noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }

 private:
    friend class detail::managed_condition_wait;

    detail::managed_ref held_;
    detail::parcel give_back_;
};

namespace detail {

/// Gives a guard; of a try, an empty one where the answer is no.
template <class Body, auto GiveBack, bool Tries>
class [[nodiscard("it does nothing until it is awaited: auto guard = co_await it")]] managed_take
    : public manager_wait {
 public:
    using manager_wait::manager_wait;
    managed_guard await_resume() {
        parcel_reader from = finish();
        bool taken = true;
        if constexpr (Tries) taken = read_value<bool>(from);
        from.finish();
        if (!taken) return {};
        return {object(), pack_method<Body, GiveBack>(*object())};
    }
};

}  // namespace detail

/// Lets one task at a time, of all processes, into what it guards.
///
///     auto lock = co_await m.make<lariat::managed_mutex>();
///     auto guard = co_await lock.lock();     // given back at the end of the scope
///
/// Given back as well when its holder's connection ends, however its process does.
///
/// Order        first come, first served
/// Limits       who locks it twice waits for itself
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_mutex : public detail::proxy_of<managed_mutex, detail::served_mutex> {
    template <auto Method, bool Tries>
    [[nodiscard]] auto take(detail::manager_undo undo) const {
        const detail::managed_ref& object = checked();
        return detail::managed_take<body, &body::unlock, Tries>(
            object, detail::pack_method<body, Method>(*object),
            typeid(detail::method_call<body, Method>), undo);
    }

 public:
    using detail::proxy_of<managed_mutex, detail::served_mutex>::proxy_of;

    /// Suspends until it is this task's turn · Returns a managed_guard · Cancel: it is not held.
    [[nodiscard]] auto lock() const { return take<&body::lock, false>(undo_by<&body::unlock>()); }
    /// Returns an empty guard if somebody holds it.
    [[nodiscard]] auto try_lock() const {
        return take<&body::try_lock, true>(undo_by<&body::unlock_if>());
    }
    [[nodiscard]] auto locked() const { return ask<&body::locked>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<> initial() noexcept { return {}; }
};

}  // namespace lariat

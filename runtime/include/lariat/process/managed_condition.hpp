#pragma once

#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/sync/condition.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

/// A notify is used up by who gives the lock back after it. One whose connection ends before that
/// passes it on.
class LARIAT_EXPORT served_condition : public holder_for_connections {
 public:
    /// Errors: std::logic_error if the caller does not hold the mutex; std::invalid_argument.
    task<> wait(manager_caller who, std::uint64_t mutex_id);
    /// What a wait has led to goes back: nobody is there any more.
    void abandon(manager_caller who, std::uint64_t mutex_id);
    void notify(std::size_t count) noexcept { line_.notify(count); }
    void left(std::uint64_t connection);

 private:
    condition line_;
    std::shared_ptr<served_mutex> lock_;  // that of the first wait
    std::uint64_t given_ = 0;             // the hold that the last notify has led to
};

class LARIAT_EXPORT managed_condition_wait : public manager_wait {
    using method = method_call<served_condition, &served_condition::wait>;

 public:
    managed_condition_wait(const managed_ref& condition, managed_guard& held);
    void await_resume();

 private:
    [[nodiscard]] static parcel pack(const managed_object& condition, const managed_guard& held);
    // Whether the lock is held at the end of a wait that was cut is for the manager to say.
    [[nodiscard]] static manager_undo undo(const managed_guard& held) noexcept;

    managed_guard* held_;
};

}  // namespace detail

/// Lets tasks of many processes wait, under a managed_mutex, until another says that something has
/// changed.
///
///     auto guard = co_await lock.lock();
///     co_await changed.wait(guard, [&]() -> lariat::task<bool> {      // asked here, each time
///         const std::size_t left = co_await stock.size();
///         co_return left != 0;
///     });                                                             // holds the lock again
///
/// A wait is one message there and one back: the lock is given up and taken again in the manager. A
/// process that ends, however it does, stands in nobody's way: its waits are withdrawn, and a
/// notify that it had not yet answered by giving the lock back goes to the next who waits. So a
/// wait may end although what it waits for has been used up: look again, or give a predicate.
///
/// Order        notify() goes to those who have waited longest; they take the lock again in that
///              order, behind those who stand in its line
/// Limits       it goes with one mutex of the same manager: the one of the first wait
///
/// Errors, Cancel but that of wait, Threads, Lifetime: those of proxy.
class managed_condition : public detail::proxy_of<managed_condition, detail::served_condition> {
 public:
    using detail::proxy_of<managed_condition, detail::served_condition>::proxy_of;

    /// Gives the lock up, suspends until notified, and takes the lock again. Pre: `held` holds it,
    /// and is left alone meanwhile.
    ///
    /// Errors: std::logic_error if the lock was taken on another loop; std::invalid_argument if
    /// `held` is of another manager, of a semaphore, or not of the mutex of the first wait; where
    /// the connection has gone, as by manager_died, `held` is empty. Cancel: takes the lock again,
    /// which cannot be cancelled, and then throws; one who was notified before it was cancelled
    /// returns. A manager that answers nothing for half a second after it ends that as well:
    /// manager_silent instead of the cancellation, and `held` is empty; what the manager does
    /// later, it takes back.
    [[nodiscard("a wait does nothing until it is awaited: co_await it")]]
    detail::managed_condition_wait wait(managed_guard& held) const {
        return detail::managed_condition_wait(checked(), held);
    }
    /// Waits until `holds()`, which gives a bool or a task<bool>, and is called here, under the
    /// lock, at first at once. Errors: also what it throws, under the lock as well.
    template <std::invocable Predicate>
    [[nodiscard]] task<> wait(managed_guard& held, Predicate holds) const {
        return wait_until(*this, held, std::move(holds));
    }

    /// Lets the first `count` who wait go on, or as many as there are. It need not be called under
    /// the lock. Errors: std::invalid_argument for a negative number.
    template <std::integral Number = int>
    [[nodiscard]] auto notify(Number count = 1) const {
        return ask<&body::notify>(detail::as_count(count));
    }
    [[nodiscard]] auto notify_all() const {
        return notify(std::numeric_limits<std::size_t>::max());
    }

    /// Library use.
    [[nodiscard]] static std::tuple<> initial() noexcept { return {}; }

 private:
    template <class Predicate>
    static task<> wait_until(managed_condition self, managed_guard& held, Predicate holds) {
        for (;;) {
            bool enough = false;
            if constexpr (std::is_convertible_v<std::invoke_result_t<Predicate&>, bool>) {
                enough = std::invoke(holds);
            } else {
                auto asking = std::invoke(holds);
                enough = co_await std::move(asking);
            }
            if (enough) break;
            co_await self.wait(held);
        }
    }
};

}  // namespace lariat

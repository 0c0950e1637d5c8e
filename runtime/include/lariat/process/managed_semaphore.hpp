#pragma once

#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/sync/semaphore.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>

namespace lariat {

namespace detail {

class LARIAT_EXPORT served_semaphore {
 public:
    explicit served_semaphore(std::size_t permits) noexcept : permits_(permits) {}

    task<> acquire(manager_caller who);
    [[nodiscard]] bool try_acquire(manager_caller who);
    void release(manager_caller who);
    void release_if(manager_caller who, bool taken);
    [[nodiscard]] std::size_t available() const noexcept { return permits_.available(); }
    void left(std::uint64_t connection);

 private:
    semaphore permits_;
    std::map<std::uint64_t, std::size_t> taken_;  // by connections, and not given back by them
};

}  // namespace detail

/// Permits that tasks of many processes take and give back.
///
///     auto at_most = co_await m.make<lariat::managed_semaphore>(5);
///     auto permit = co_await at_most.scoped_acquire();   // given back at the end of the scope
///
/// What a connection has taken and not given back comes back when it ends, however its process
/// does. Who releases more than it took adds permits.
///
/// Order        first come, first served
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_semaphore : public detail::proxy_of<managed_semaphore, detail::served_semaphore> {
 public:
    using detail::proxy_of<managed_semaphore, detail::served_semaphore>::proxy_of;

    /// Suspends until a permit is there for this task · Cancel: none was taken.
    [[nodiscard]] auto acquire() const {
        return ask_undoable<&body::acquire>(undo_by<&body::release>());
    }
    /// The same · Returns a managed_guard that gives it back.
    [[nodiscard]] auto scoped_acquire() const {
        const detail::managed_ref& object = checked();
        return detail::managed_take<body, &body::release, false>(
            object, detail::pack_method<body, &body::acquire>(*object),
            typeid(detail::method_call<body, &body::acquire>), undo_by<&body::release>());
    }
    /// Returns whether one was there.
    [[nodiscard]] auto try_acquire() const {
        return ask_undoable<&body::try_acquire>(undo_by<&body::release_if>());
    }
    [[nodiscard]] auto release() const { return ask<&body::release>(); }
    [[nodiscard]] auto available() const { return ask<&body::available>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<std::size_t> initial(std::integral auto permits) {
        return {detail::as_count(permits)};
    }
};

}  // namespace lariat

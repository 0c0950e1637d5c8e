#pragma once

#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/sync/bounded_semaphore.hpp>
#include <lariat/sync/semaphore.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <type_traits>

namespace lariat {

namespace detail {

/// Permits, and which connection has taken how many. `Permits`: semaphore or bounded_semaphore.
template <class Permits>
class LARIAT_EXPORT served_permits : public holder_for_connections {
    static constexpr bool bounded = std::is_same_v<Permits, bounded_semaphore>;

 public:
    explicit served_permits(std::size_t permits) noexcept : permits_(permits), limit_(permits) {}

    task<> acquire(manager_caller who);
    [[nodiscard]] bool try_acquire(manager_caller who);
    /// Errors: those of Permits.
    void release(manager_caller who);
    /// Where it is refused it returns the bound: the caller's process throws.
    [[nodiscard]] std::optional<std::size_t> release_within(manager_caller who);
    void release_if(manager_caller who, bool taken);
    [[nodiscard]] std::size_t available() const noexcept { return permits_.available(); }
    /// What it was made with.
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    void left(std::uint64_t connection);

 private:
    Permits permits_;
    std::size_t limit_;
    std::map<std::uint64_t, std::size_t> taken_;  // by connections, and not given back by them
    std::size_t returned_ = 0;  // bounded: of those, given back by connections that had none
};
extern template class served_permits<semaphore>;
extern template class served_permits<bounded_semaphore>;

/// What the proxies of semaphores have in common.
template <class Proxy, class Permits>
class permits_proxy : public proxy_of<Proxy, served_permits<Permits>> {
 public:
    using body = served_permits<Permits>;
    using proxy_of<Proxy, body>::proxy_of;

    /// Suspends until a permit is there for this task · Cancel: none was taken.
    [[nodiscard]] auto acquire() const {
        return this->template ask_undoable<&body::acquire>(
            this->template undo_by<&body::release>());
    }
    /// The same · Returns a managed_guard that gives it back.
    [[nodiscard]] auto scoped_acquire() const {
        const managed_ref& object = this->checked();
        return managed_take<body, &body::release, false>(
            object, pack_method<body, &body::acquire>(*object),
            typeid(method_call<body, &body::acquire>), this->template undo_by<&body::release>());
    }
    /// Returns whether one was there.
    [[nodiscard]] auto try_acquire() const {
        return this->template ask_undoable<&body::try_acquire>(
            this->template undo_by<&body::release_if>());
    }
    [[nodiscard]] auto available() const { return this->template ask<&body::available>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<std::size_t> initial(std::integral auto permits) {
        return {as_count(permits)};
    }
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
class managed_semaphore : public detail::permits_proxy<managed_semaphore, semaphore> {
 public:
    using permits_proxy::permits_proxy;

    [[nodiscard]] auto release() const { return ask<&body::release>(); }
};

}  // namespace lariat

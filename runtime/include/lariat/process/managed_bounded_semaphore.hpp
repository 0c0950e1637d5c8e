#pragma once

#include <lariat/process/managed_semaphore.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/sync/bounded_semaphore.hpp>

#include <typeinfo>

namespace lariat {

namespace detail {

class [[nodiscard("release() does nothing until it is awaited: co_await it")]] managed_release
    : public manager_wait {
 public:
    using manager_wait::manager_wait;
    LARIAT_EXPORT void await_resume();
};

}  // namespace detail

/// A managed_semaphore that finds a release too many: there are never more permits than it is made
/// with.
///
/// What a connection has taken and not given back comes back when it ends, however its process
/// does. Any connection may release what another has taken: as no release says whose permit it
/// means, it is taken for that of the connection that ends first, at whose end so much less comes
/// back.
///
/// Order        first come, first served
/// Limits       the permits it is made with
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_bounded_semaphore
    : public detail::permits_proxy<managed_bounded_semaphore, bounded_semaphore> {
 public:
    using permits_proxy::permits_proxy;

    /// Errors: released_too_often if none is taken, by this connection or others; nothing was
    /// released then.
    [[nodiscard]] detail::managed_release release() const {
        const detail::managed_ref& object = checked();
        return detail::managed_release(
            object, detail::pack_method<body, &body::release_within>(*object),
            typeid(detail::method_call<body, &body::release_within>), detail::manager_undo());
    }
    [[nodiscard]] auto limit() const { return ask<&body::limit>(); }
};

}  // namespace lariat

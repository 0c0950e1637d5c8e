#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/shm/semaphore_core.hpp>
#include <lariat/sync/bounded_semaphore.hpp>

#include <cstddef>

namespace lariat::shm {

/// A shm::semaphore that finds a release too many: there are never more than it is made with.
///
/// Order, Threads, Lifetime, Allocation, whose permits a release gives back, and what becomes of
/// them when a process ends: as shm::semaphore
/// Limits       the permits it is made with. A guard that ends when all of them are there, as
///              another process has released its permit, gives nothing back; that its own process
///              has released it is asserted against
class LARIAT_EXPORT bounded_semaphore : public detail::semaphore_verbs {
 public:
    /// A new one. Errors: as semaphore's.
    explicit bounded_semaphore(std::size_t count);

    /// Errors: released_too_often if so many are not acquired, by this process or others; nothing
    /// was released then.
    void release(std::size_t count = 1) const { body().release(count); }
    [[nodiscard]] std::size_t limit() const noexcept { return body().limit; }

    [[nodiscard]] static bounded_semaphore unpack_from(detail::parcel_reader& from);

 private:
    using semaphore_verbs::semaphore_verbs;
};

}  // namespace lariat::shm

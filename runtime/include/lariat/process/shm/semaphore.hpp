#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/shm/semaphore_core.hpp>

#include <cstddef>

namespace lariat::shm {

/// Permits that tasks and plain threads of all processes of a family take and give back: at most so
/// many at a time do what it guards.
///
///     lariat::shm::semaphore at_most(5);                 // a handle: copies name the same
///     auto permit = co_await at_most.scoped_acquire();   // given back at the end of the scope
///
/// What a process acquires is its own until it is released. If it ends before, killed or not, all
/// who come get owner_died, with its pid, until somebody calls repair(), which gives the permits
/// back: it is for the living to say that what they stood for is in order. For signals, where those
/// who acquire never release, make it with permits::spent: then nobody holds anything.
///
/// Any process may release what another has acquired. What it releases beyond its own are the
/// dead's permits, as if by repair(); then those of the living, and as no release says whose it
/// means, it is taken for that of the holder that ends first: nobody hears of that end. Only what
/// is beyond all that was acquired is new.
///
/// Order        none: who comes may overtake who waits, and who asks for several may wait long.
///              Nobody is forgotten
/// Threads      any; what was done before a release is seen after the acquire that it served
/// Lifetime     a guard, and one who waits, need a handle of their process; any handle will do
/// Allocation   a new one: some 5 KiB of shared memory; none by its verbs
/// Limits       2^31 - 1 permits (asserted). If the fork server itself was killed, later deaths are
///              not noticed
class LARIAT_EXPORT semaphore : public detail::semaphore_verbs {
 public:
    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family;
    /// std::invalid_argument.
    explicit semaphore(std::size_t count, permits use = permits::held);

    /// Gives back `count` permits: this process's, then others'; what is left of them is new.
    void release(std::size_t count = 1) const { body().release(count); }

    [[nodiscard]] static semaphore unpack_from(detail::parcel_reader& from);

 private:
    using semaphore_verbs::semaphore_verbs;
};

}  // namespace lariat::shm

#pragma once

#include <lariat/process/manager_call.hpp>
#include <lariat/sync/barrier.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace lariat {

namespace detail {

class served_barrier {
 public:
    explicit served_barrier(std::size_t parties) : barrier_(checked(parties)) {}

    task<std::size_t> wait() {
        auto waiting = barrier_.wait();
        const std::size_t index = co_await std::move(waiting);
        co_return index;
    }
    void abort() noexcept { barrier_.abort(); }
    void reset() noexcept { barrier_.reset(); }
    [[nodiscard]] std::size_t waiting() const noexcept { return barrier_.waiting(); }
    [[nodiscard]] bool broken() const noexcept { return barrier_.broken(); }

 private:
    static std::size_t checked(std::size_t parties) {
        if (parties == 0) throw std::invalid_argument("a managed_barrier is for one at least");
        return parties;
    }

    barrier barrier_;
};

}  // namespace detail

/// A place in a manager where tasks of many processes wait for each other: when as many as it is
/// for have come, all go on, and it begins anew.
///
/// One who is cancelled, or whose process ends, leaves, and another may come in its place. Errors,
/// Cancel, Threads, Lifetime: those of proxy.
class managed_barrier : public detail::proxy_of<managed_barrier, detail::served_barrier> {
 public:
    using detail::proxy_of<managed_barrier, detail::served_barrier>::proxy_of;

    /// Suspends until as many as it is for have come · Returns the index of this arrival, from 0 ·
    /// Errors: broken_barrier, if it is aborted, or reset meanwhile.
    [[nodiscard]] auto wait() const { return ask<&body::wait>(); }
    /// Breaks it: all who wait and all who come get broken_barrier, until reset().
    [[nodiscard]] auto abort() const { return ask<&body::abort>(); }
    [[nodiscard]] auto reset() const { return ask<&body::reset>(); }
    [[nodiscard]] auto waiting() const { return ask<&body::waiting>(); }
    [[nodiscard]] auto broken() const { return ask<&body::broken>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<std::size_t> initial(std::integral auto parties) {
        return {detail::as_count(parties)};
    }
};

}  // namespace lariat

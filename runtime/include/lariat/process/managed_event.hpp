#pragma once

#include <lariat/process/manager_call.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/task/task.hpp>

#include <tuple>
#include <utility>

namespace lariat {

namespace detail {

class served_event {
 public:
    void set() noexcept { event_.set(); }
    void clear() noexcept { event_.clear(); }
    [[nodiscard]] bool is_set() const noexcept { return event_.is_set(); }
    task<> wait() {
        auto waiting = event_.wait();
        co_await std::move(waiting);
    }

 private:
    event event_;
};

}  // namespace detail

/// A flag in a manager that tasks of many processes wait for; while it is set, all pass.
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_event : public detail::proxy_of<managed_event, detail::served_event> {
 public:
    using detail::proxy_of<managed_event, detail::served_event>::proxy_of;

    [[nodiscard]] auto set() const { return ask<&body::set>(); }
    [[nodiscard]] auto clear() const { return ask<&body::clear>(); }
    [[nodiscard]] auto is_set() const { return ask<&body::is_set>(); }
    /// Suspends until it is set.
    [[nodiscard]] auto wait() const { return ask<&body::wait>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<> initial() noexcept { return {}; }
};

}  // namespace lariat

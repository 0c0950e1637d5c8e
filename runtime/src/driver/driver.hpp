#pragma once

#include "base/fork_guard.hpp"
#include "driver/contract.hpp"
#include "driver/epoll/epoll_driver.hpp"
#include "driver/sim/sim_driver.hpp"
#if LARIAT_HAS_URING
#include "driver/uring/uring_driver.hpp"
#endif

#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include <memory>
#include <string>
#include <type_traits>

namespace lariat::detail {

class fault_plan;

/// The driver a loop runs on, chosen when it is made; see the contract for the seven calls.
///
/// `backend::automatic` is what LARIAT_BACKEND (auto, uring, epoll) says, and else io_uring where
/// the kernel grants it, epoll where not: then one line on standard error names the cause, once in
/// a process. A backend asked for by name in the options is that one or an error. With epoll no
/// io_uring call is made: some sandboxes kill for the first.
///
/// Threads      `wake`: any; the rest: the one that made it
class driver {
 public:
    /// Errors: std::system_error when the chosen backend is refused; std::invalid_argument for a
    /// value of LARIAT_BACKEND that names none.
    explicit driver(const driver_options& options);

    bool submit(op& operation) noexcept {
        if (faults_ != nullptr) [[unlikely]]
            return submit_with_faults(operation);
        return dispatch([&](auto& to) { return to.submit(operation); });
    }
    void cancel(op& operation) noexcept {
        if (faults_ != nullptr) [[unlikely]]
            return cancel_with_faults(operation);
        dispatch([&](auto& to) { to.cancel(operation); });
    }
    void poll(time_point until) {
        if (faults_ != nullptr) [[unlikely]]
            return poll_with_faults(until);
        dispatch([&](auto& to) { to.poll(until); });
    }
    void wake() noexcept {
        dispatch([&](auto& to) { to.wake(); });
    }
    void give_back(std::uint32_t lent) noexcept {
        dispatch([&](auto& to) { to.give_back(lent); });
    }
    [[nodiscard]] driver_stats stats() const noexcept {
        if (faults_ != nullptr) [[unlikely]]
            return stats_with_faults();
        return dispatch([](auto& to) { return to.stats(); });
    }
    [[nodiscard]] time_point now() const noexcept {
        return dispatch([](auto& to) { return to.now(); });
    }

    /// False in a forked child that inherited it: there it is only destroyed.
    [[nodiscard]] bool at_home() const noexcept { return process_.at_home(); }
    /// uring, epoll or sim.
    [[nodiscard]] backend chosen() const noexcept { return chosen_; }
    /// Why it is not io_uring though nobody asked for another; else empty.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
    /// The simulator, for tests that script it; nullptr when another was chosen.
    [[nodiscard]] sim_driver* sim() noexcept { return sim_.get(); }
    /// For tests: lets `plan` strike from now on; nullptr: no longer. Pre: nothing is in flight.
    void set_faults(fault_plan* plan) noexcept;

 private:
    class bare;
    bool submit_with_faults(op& operation) noexcept;
    void cancel_with_faults(op& operation) noexcept;
    void poll_with_faults(time_point until);
    [[nodiscard]] driver_stats stats_with_faults() const noexcept;
    void make(backend wanted, const driver_options& options);
    void make_automatic(const driver_options& options);
    void make_uring(const driver_options& options);

    // A switch that always goes the same way costs less than a virtual call, and inlines.
    template <class Call>
    auto dispatch(Call call) const -> std::invoke_result_t<Call, epoll_driver&> {
#if LARIAT_HAS_URING
        if (chosen_ == backend::uring) return call(*uring_);
#endif
        if (chosen_ == backend::epoll) return call(*epoll_);
        return call(*sim_);
    }

    fork_guard process_;
    backend chosen_ = backend::automatic;
    fault_plan* faults_ = nullptr;
#if LARIAT_HAS_URING
    std::unique_ptr<uring_driver> uring_;
#endif
    std::unique_ptr<epoll_driver> epoll_;
    std::unique_ptr<sim_driver> sim_;
    std::string reason_;
};

static_assert(driver_contract<driver>);

}  // namespace lariat::detail

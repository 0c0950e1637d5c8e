#include "driver/driver.hpp"

#include "driver/fault.hpp"

#include <lariat/base/assert.hpp>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace lariat::detail {

namespace {

backend wanted_by_environment() {
    const char* value = std::getenv("LARIAT_BACKEND");
    if (value == nullptr) return backend::automatic;
    const std::string_view name(value);
    if (name.empty() || name == "auto") return backend::automatic;
    if (name == "uring") return backend::uring;
    if (name == "epoll") return backend::epoll;
    throw std::invalid_argument("LARIAT_BACKEND=" + std::string(name) +
                                ": it may be auto, uring or epoll");
}

void say_once(const std::string& reason) {
    static std::atomic<bool> said{false};
    if (said.exchange(true, std::memory_order_relaxed)) return;
    std::fprintf(stderr, "lariat: io_uring is refused (%s): using epoll\n", reason.c_str());
}

/// What an administrator can look for; io_uring_setup(2).
const char* hint(int code) noexcept {
    switch (code) {
        case EPERM: return " (policy or seccomp?)";
        case ENOMEM: return " (memory or RLIMIT_MEMLOCK?)";
        default: return "";
    }
}

}  // namespace

driver::driver(const driver_options& options) {
    backend wanted = options.backend;
    if (wanted == backend::automatic) wanted = wanted_by_environment();
    make(wanted, options);
}

void driver::make(backend wanted, const driver_options& options) {
    switch (wanted) {
        case backend::automatic: return make_automatic(options);
        case backend::uring: make_uring(options); break;
        case backend::epoll: epoll_ = std::make_unique<epoll_driver>(options); break;
        case backend::sim: sim_ = std::make_unique<sim_driver>(options); break;
    }
    chosen_ = wanted;
}

void driver::make_automatic(const driver_options& options) {
    try {
        return make(backend::uring, options);
    } catch (const std::system_error& refusal) {
        reason_ = std::string(refusal.what()) + hint(refusal.code().value());
    }
    make(backend::epoll, options);
    say_once(reason_);
}

void driver::make_uring([[maybe_unused]] const driver_options& options) {
#if LARIAT_HAS_URING
    uring_ = std::make_unique<uring_driver>(options);
#else
    throw std::system_error(ENOSYS, std::system_category(), "built without liburing");
#endif
}

/// The driver beneath a plan of faults.
class driver::bare final : public fault_target {
 public:
    explicit bare(driver& whole) noexcept : whole_(whole) {}
    bool submit(op& o) noexcept override {
        return whole_.dispatch([&](auto& to) { return to.submit(o); });
    }
    void cancel(op& o) noexcept override {
        whole_.dispatch([&](auto& to) { to.cancel(o); });
    }
    void poll(time_point until) override {
        whole_.dispatch([&](auto& to) { to.poll(until); });
    }
    [[nodiscard]] time_point now() const noexcept override { return whole_.now(); }

 private:
    driver& whole_;
};

void driver::set_faults(fault_plan* plan) noexcept {
    require(stats().in_flight == 0, "faults come and go while no operation is in flight");
    faults_ = plan;
}

bool driver::submit_with_faults(op& operation) noexcept {
    bare target(*this);
    return faults_->submit(target, operation);
}

void driver::cancel_with_faults(op& operation) noexcept {
    bare target(*this);
    faults_->cancel(target, operation);
}

void driver::poll_with_faults(time_point until) {
    bare target(*this);
    faults_->poll(target, until);
}

driver_stats driver::stats_with_faults() const noexcept {
    return faults_->adjust(dispatch([](auto& to) { return to.stats(); }));
}

}  // namespace lariat::detail

#pragma once

#include <lariat/loop/loop.hpp>
#include <lariat/task/task.hpp>

#include "driver/fault.hpp"
#include "loop/loop_state.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <utility>

#include <signal.h>
#include <sys/resource.h>

namespace file_test {

/// The code and the words of what an awaitable fails with.
template <class Awaitable>
lariat::task<std::system_error> failure_of(Awaitable work) {
    std::system_error failure{std::error_code()};
    try {
        (void)co_await std::move(work);
        FAIL("it did not fail");
    } catch (const std::system_error& error) {
        failure = error;
    }
    co_return failure;
}
inline lariat::task<std::system_error> failure_of(lariat::task<> work) {
    std::system_error failure{std::error_code()};
    try {
        co_await std::move(work);
        FAIL("it did not fail");
    } catch (const std::system_error& error) {
        failure = error;
    }
    co_return failure;
}

inline lariat::task<lariat::detail::loop_state*> own_state() {
    co_return &lariat::detail::loop_state::current();
}

/// Runs body() with a plan of faults in the driver.
template <class Body>
void with_faults(lariat::detail::fault_plan& plan, Body body) {
    lariat::loop own;
    own.run(own_state())->driver_.set_faults(&plan);
    own.run(body());
    own.close();
    CHECK(own.stats().driver.in_flight == 0);
}

/// Whether the driver does what is asked of files: the ring does, on the kernels tests run on.
inline bool rings() {
    const lariat::loop own;
    return own.stats().driver.backend == lariat::backend::uring;
}

/// No file may grow beyond so many bytes, for as long as this lives.
class size_limit {
 public:
    explicit size_limit(rlim_t bytes) {
        ignored_.sa_handler = SIG_IGN;
        ::sigaction(SIGXFSZ, &ignored_, &handler_before_);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        rlimit lowered = before_;
        lowered.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &lowered);
    }
    size_limit(const size_limit&) = delete;
    ~size_limit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        ::sigaction(SIGXFSZ, &handler_before_, nullptr);
    }

 private:
    struct sigaction ignored_{};
    struct sigaction handler_before_{};
    rlimit before_{};
};

}  // namespace file_test

#pragma once

#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace lariat::detail {
class sim_driver;
}

namespace lariat::test {

/// Nobody of a test's tasks can ever run again; what() is who waits for what.
class stuck_error : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

/// A loop on the simulated driver, as a fixture or a local: time is virtual, a seed decides what
/// the contract leaves open, failures that reach no caller are collected, and when it goes, frames,
/// descriptors, operations, lent buffers, timers and tasks have been counted back to what they
/// were.
///
///     TEST_CASE_FIXTURE(lariat::test::test_loop, "sleep: takes its time") {
///         run([]() -> task<> { co_await sleep(4ms); });
///         CHECK(elapsed() == 4ms);
///     }
class test_loop {
 public:
    explicit test_loop(std::uint64_t seed = 1);
    /// The backend and the report hook are its own.
    explicit test_loop(run_options options);
    test_loop(const test_loop&) = delete;
    test_loop& operator=(const test_loop&) = delete;
    ~test_loop();

    /// As loop::run · Errors: stuck_error, after everything was cancelled, where loop::run would
    /// wait for ever.
    template <class T>
    T run(task<T> main) {
        session running(*this);
        join_handle<T> handle = spawn(std::move(main));
        drive(handle.who());
        finish_run(handle.who());
        return handle.take_outcome().value();
    }
    /// Runs body(), which is kept for as long.
    template <std::invocable Fn>
    auto run(Fn body) {
        return run(body());
    }

    [[nodiscard]] time_point now() const noexcept { return loop_.now(); }
    /// Virtual time since the present or last run began.
    [[nodiscard]] duration elapsed() const noexcept { return now() - began_; }
    [[nodiscard]] lariat::loop& loop() noexcept { return loop_; }
    [[nodiscard]] detail::sim_driver& sim() noexcept;

    /// What reached no caller, in order, as "name: text".
    std::vector<std::string> reports;

 private:
    class session {
     public:
        explicit session(test_loop& which);
        session(const session&) = delete;
        ~session();

     private:
        test_loop& loop_;
    };

    [[nodiscard]] run_options prepared(run_options options);
    void drive(party& main);
    void turn();
    void finish_run(party& main);

    leak_check leaks_;  // the first member: it looks when all others are gone
    lariat::loop loop_;
    detail::loop_state* state_ = nullptr;
    time_point began_;
    std::string stuck_;
};

}  // namespace lariat::test

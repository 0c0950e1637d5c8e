#include "test_loop.hpp"

#include <lariat/task/error_group.hpp>
#include <lariat/task/trace.hpp>

#include "driver/driver.hpp"
#include "loop/loop_state.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace lariat::test {

namespace {

run_options seeded(std::uint64_t seed) {
    run_options options;
    options.driver.seed = seed;
    return options;
}

task<detail::loop_state*> own_state() { co_return &detail::loop_state::current(); }

}  // namespace

test_loop::test_loop(std::uint64_t seed) : test_loop(seeded(seed)) {}

test_loop::test_loop(run_options options)
    : loop_(prepared(std::move(options))), state_(loop_.run(own_state())), began_(loop_.now()) {}

test_loop::~test_loop() {
    const loop_stats last = loop_.stats();
    CHECK(last.driver.in_flight == 0);
    CHECK(last.driver.lent == 0);
    CHECK(last.timers == 0);
    CHECK(last.tasks == 0);
}

run_options test_loop::prepared(run_options options) {
    options.driver.backend = backend::sim;
    options.report = [this](const failure_report& report) {
        reports.push_back(report.task + ": " + describe(report.error));
    };
    return options;
}

detail::sim_driver& test_loop::sim() noexcept { return *state_->driver_.sim(); }

// As loop_state::drive, with an eye on whether anything can happen at all.
void test_loop::drive(party& main) {
    state_->main_ = &main;
    while (main.state != party_state::finished) turn();
    state_->main_ = nullptr;
    state_->root_.cancel_root();
    while (state_->root_.pending != 0) turn();
    while (state_->orphans_ != 0 || !state_->ready.empty()) turn();
}

void test_loop::turn() {
    const std::uint64_t legs = state_->legs_;
    state_->turn();
    if (!sim().stuck() || state_->legs_ != legs || !state_->ready.empty()) return;
    if (!stuck_.empty()) {
        std::fprintf(stderr, "stuck, and cancellation does not end it:\n%s", dump_tasks().c_str());
        std::abort();
    }
    stuck_ = "nobody can ever run again:\n" + dump_tasks();
    state_->root_.cancel_root();
}

void test_loop::finish_run(party& main) {
    if (!stuck_.empty()) {
        state_->failed_ = nullptr;
        throw stuck_error(std::exchange(stuck_, {}));
    }
    state_->finish_run(main);
}

test_loop::session::session(test_loop& which) : loop_(which) {
    detail::require(this_scheduler == nullptr, "a test loop is run outside of any other");
    this_scheduler = which.state_;
    which.state_->running_ = true;
    which.state_->root_.open_root();
    which.began_ = which.now();
}

test_loop::session::~session() {
    loop_.state_->running_ = false;
    this_scheduler = nullptr;
}

}  // namespace lariat::test

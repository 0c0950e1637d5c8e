#pragma once

#include "leak_check.hpp"

#include <lariat/driver/options.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/task.hpp>

#include "loop/loop_state.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace lariat::test {

/// Some loops on this one thread, on the simulated driver, each of which runs only when it is told
/// to: every order in which threads could meet can be played, and played again. Between the turns
/// this thread is one without a loop.
class loop_set {
 public:
    explicit loop_set(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            run_options options;
            options.driver.backend = backend::sim;
            loops_.push_back(std::make_unique<loop>(options));
            states_.push_back(loops_.back()->run(own_state()));
            states_.back()->running_ = true;
            states_.back()->root_.open_root();
        }
    }
    loop_set(const loop_set&) = delete;
    loop_set& operator=(const loop_set&) = delete;
    ~loop_set() {
        for (std::size_t i = 0; i < size(); ++i) end_run(i);
    }

    [[nodiscard]] std::size_t size() const noexcept { return loops_.size(); }
    [[nodiscard]] loop& operator[](std::size_t which) noexcept { return *loops_[which]; }
    [[nodiscard]] mailbox& box(std::size_t which) noexcept { return *loops_[which]->box(); }

    /// Calls fn() as something that runs on that loop.
    template <class Fn>
    auto on(std::size_t which, Fn fn) {
        const at_home here(*states_[which]);
        return fn();
    }
    /// Starts a task there; it begins at that loop's next turn.
    template <class T>
    join_handle<T> spawn_on(std::size_t which, task<T> work) {
        return on(which, [&] { return spawn(std::move(work)); });
    }
    void turn(std::size_t which) {
        on(which, [this, which] { states_[which]->turn(); });
    }
    /// Every loop in turn, until none has a task left. Fails the test if that takes too long.
    void finish() {
        std::size_t turns = 0;
        while (tasks() != 0 && turns < 10'000) {
            for (std::size_t i = 0; i < size(); ++i) turn(i);
            ++turns;
        }
        REQUIRE(tasks() == 0);
    }
    /// As many rounds of all loops as it takes for everything under way to arrive.
    void settle() {
        for (int round = 0; round < 8; ++round) {
            for (std::size_t i = 0; i < size(); ++i) turn(i);
        }
    }
    /// Cancels what is left there, as the end of a run does, and waits for it; the others run on.
    void end_run(std::size_t which) {
        detail::loop_state& state = *states_[which];
        if (!state.running_) return;
        on(which, [&state] { state.root_.cancel_root(); });
        for (int turns = 0; state.root_.pending != 0 && turns < 10'000; ++turns) settle();
        REQUIRE(state.root_.pending == 0);
        turn(which);
        state.running_ = false;
    }
    /// Pre: its run has ended.
    void close(std::size_t which) { loops_[which]->close(); }

    [[nodiscard]] std::size_t tasks() const noexcept {
        std::size_t left = 0;
        for (const detail::loop_state* state : states_) left += state->root_.pending;
        return left;
    }

 private:
    class at_home {
     public:
        explicit at_home(detail::loop_state& state) noexcept
            : outer_(std::exchange(this_scheduler, &state)) {}
        at_home(const at_home&) = delete;
        at_home& operator=(const at_home&) = delete;
        ~at_home() { this_scheduler = outer_; }

     private:
        scheduler* outer_;
    };
    static task<detail::loop_state*> own_state() { co_return &detail::loop_state::current(); }

    leak_check leaks_;  // the first member: it looks when all others are gone
    std::vector<std::unique_ptr<loop>> loops_;
    std::vector<detail::loop_state*> states_;
};

}  // namespace lariat::test

#pragma once

#include "forked.hpp"
#include "leak_check.hpp"
#include "shared_words.hpp"
#include "test_loop.hpp"

#include "driver/fault.hpp"
#include "loop/futex_helper.hpp"
#include "loop/loop_state.hpp"

#include <lariat/loop/futex.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace futex_test {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::detail::futex_block;
using lariat::detail::futex_end;
using lariat::detail::futex_helper;
using lariat::detail::futex_step;
using lariat::detail::futex_verb;
using lariat::detail::futex_wait_blocking;
using lariat::detail::futex_wait_point;
using lariat::detail::futex_wake;
using lariat::detail::futex_watch;
using lariat::detail::futex_word;
using lariat::test::forked_children_have_threads;
using lariat::test::leak_check;
using lariat::test::shared_words;
using lariat::test::test_loop;

/// Tokens in a word: one is taken, or waited for.
inline futex_step take_token(futex_word& tokens) noexcept {
    std::uint32_t there = tokens.load(std::memory_order_relaxed);
    while (there != 0) {
        if (tokens.compare_exchange_weak(there, there - 1, std::memory_order_acquire))
            return futex_step::done();
    }
    return futex_step::wait(tokens, 0);
}

inline void give_token(futex_word& tokens) {
    tokens.fetch_add(1, std::memory_order_release);
    futex_wake(tokens, 1);
}

/// What became of the verbs of a test.
struct tally {
    int attempts = 0;
    int passed_on = 0;
    int gave_up = 0;
};

class token_wait : public futex_verb<token_wait>, public single_step {
 public:
    explicit token_wait(futex_word& tokens, tally* notes = nullptr) noexcept
        : futex_verb(kind_of_wait), tokens_(&tokens), notes_(notes) {}

    futex_step attempt() noexcept {
        if (notes_ != nullptr) ++notes_->attempts;
        return take_token(*tokens_);
    }
    void passed_on() noexcept {
        if (notes_ != nullptr) ++notes_->passed_on;
        futex_wake(*tokens_, 1);
    }
    void gave_up() noexcept {
        if (notes_ != nullptr) ++notes_->gave_up;
    }
    void await_resume() const { finish(); }

 private:
    static constexpr wait_kind kind_of_wait{"a token", &futex_wait_point::leave};

    futex_word* tokens_;
    tally* notes_;
};

/// The ways by which a wait may go here.
enum class path : std::uint8_t { driver, helper, lone_threads };

class on_path {
 public:
    explicit on_path(path which)
        : before_(futex_helper::shared().change({which != path::lone_threads, 5s})) {
        options_.report = [](const failure_report&) { FAIL("a failure reached no caller"); };
        if (which != path::driver)
            options_.driver.uring_features &= ~static_cast<std::uint32_t>(uring_feature::futex);
    }
    on_path(const on_path&) = delete;
    ~on_path() {
        futex_helper::shared().change(before_);
        CHECK(futex_helper::shared().stats().waits == 0);
    }
    [[nodiscard]] const run_options& options() const { return options_; }

 private:
    futex_helper::habits before_;
    run_options options_;
};

/// How many waits of the running loop have come to where they wait.
inline std::size_t waiting_now() {
    const std::size_t helped = futex_helper::shared().stats().waits;
    return helped + static_cast<std::size_t>(loop::current().stats().driver.in_flight);
}

template <class Done>
task<> until(Done done) {
    for (bool reached = done(); !reached; reached = done()) co_await sleep(100us);
}

/// Until so many wait, in the kernel if that is the driver's business.
inline task<> until_waiting(std::size_t count) {
    co_await until([count] { return waiting_now() >= count; });
    co_await sleep(1us);
}

}  // namespace futex_test

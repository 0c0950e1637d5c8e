#pragma once

#include "leak_check.hpp"
#include "test_loop.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/child_set.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/timer_queue.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

/// Random schedules: a few tasks do random things to one primitive, wait with and without a
/// deadline, and are cancelled; beside them runs a plain model that says who may go on.
namespace sync_test {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

enum class place : std::uint8_t { away, waiting, beyond_cut, granted, cut };

/// One of the tasks, and where the model has it.
struct seat {
    std::size_t id = 0;
    place at = place::away;
    place when_served = place::granted;
    std::size_t wants = 0;          // what of the primitive, as its model counts
    bool cancelled = false;         // the task: each of its awaits throws from now on
    cancel_scope* scope = nullptr;  // around its wait, for others to cancel
    join_handle<> handle;
};

template <class Fn>
struct at_exit {
    explicit at_exit(Fn call) : fn(std::move(call)) {}
    at_exit(const at_exit&) = delete;
    at_exit& operator=(const at_exit&) = delete;
    ~at_exit() { fn(); }
    Fn fn;
};

/// One run of one seed: the model, its line, and what went wrong.
class world {
 public:
    world(std::uint64_t seed, test_loop& its_loop) : random(seed), loop(its_loop) {
        for (std::size_t i = 0; i < seats.size(); ++i) seats[i].id = i;
    }
    world(const world&) = delete;
    world& operator=(const world&) = delete;
    virtual ~world() = default;

    task<> play();
    std::vector<std::string> errors;

 protected:
    /// One random thing that `me` does with the primitive.
    virtual task<> operate(seat& me) = 0;
    /// The model lets go on all who may, from the front of its line.
    virtual void serve() = 0;
    /// The random part is over: lets go on those who would wait for ever.
    virtual void wind_up() {}
    virtual void check_end() {}

    virtual void ask(seat& me) {
        me.at = place::waiting;
        me.when_served = place::granted;
        line.push_back(&me);
        serve();
    }
    virtual void cut(seat& who) {
        if (who.at != place::waiting) return;
        std::erase(line, &who);
        who.at = place::cut;
        serve();
    }
    /// Whether the first thing that a verb does is to take it, or its place in the line.
    [[nodiscard]] virtual bool asks_at_once() const { return true; }
    /// Its turn had come, and it ended as cancelled.
    virtual void gave_up(seat& me) { broken(me, "was served, and lost it"); }

    seat& grant_front() {
        seat& first = *line.front();
        line.erase(line.begin());
        first.at = first.when_served;
        return first;
    }
    void broken(const seat& who, const char* what) {
        errors.push_back("task " + std::to_string(who.id) + " " + what);
    }
    void expect(bool holds, const seat& who, const char* what) {
        if (!holds) broken(who, what);
    }

    /// Awaits a verb of the primitive, in one of the ways there are. Returns its result, or nothing
    /// if it was cut.
    template <class Verb>
    task<std::optional<detail::stored<await_result<Verb>>>> attempt(seat& me, Verb verb);
    task<> pause();
    /// Cancels somebody: the wait alone, or the task.
    void disturb();

    detail::random_source random;
    test_loop& loop;
    std::array<seat, 6> seats;
    std::vector<seat*> line;

 private:
    /// Fires just before the deadline's own timer, which is armed next: the model's line changes
    /// at the moment at which the primitive's does.
    struct deadline_in_model : timer_entry {
        deadline_in_model(world& its_world, seat& whose)
            : timer_entry(&fired), in(its_world), me(whose) {}
        ~deadline_in_model() { this_scheduler->timers.disarm(*this); }
        static void fired(timer_entry& self) noexcept {
            auto& own = static_cast<deadline_in_model&>(self);
            own.in.cut(own.me);
        }
        world& in;
        seat& me;
    };

    task<> live(seat& me);
    void settle(seat& me, bool begun, bool done);
    bool all_done() const {
        return std::all_of(seats.begin(), seats.end(),
                           [](const seat& each) { return each.handle.done(); });
    }
};

template <class Verb>
task<std::optional<detail::stored<await_result<Verb>>>> world::attempt(seat& me, Verb verb) {
    using value = await_result<Verb>;
    std::optional<detail::stored<value>> got;
    const std::size_t way = random.below(3);
    const time_point deadline = loop.now() + 1ms * static_cast<int>(1 + random.below(4));
    cancel_scope scope;
    deadline_in_model model_deadline(*this, me);
    if (way == 1) this_scheduler->timers.arm(model_deadline, deadline);
    if (way == 2) me.scope = &scope;
    const at_exit scope_ends([&me] { me.scope = nullptr; });
    const bool begun = !me.cancelled;
    if (begun) ask(me);
    // Had at once with the last of a budget is another way than had at once.
    if (asks_at_once()) this_scheduler->budget = static_cast<std::uint32_t>(1 + random.below(3));
    try {
        if constexpr (std::is_void_v<value>) {
            bool done = true;
            if (way == 0) {
                co_await std::move(verb);
            } else if (way == 1) {
                co_await timeout_at(deadline, std::move(verb));
            } else {
                done = co_await scope.run(std::move(verb));
            }
            if (done) got.emplace();
        } else {
            if (way == 0) {
                got.emplace(co_await std::move(verb));
            } else if (way == 1) {
                got.emplace(co_await timeout_at(deadline, std::move(verb)));
            } else {
                got = co_await scope.run(std::move(verb));
            }
        }
    } catch (const timeout_error&) {
        expect(loop.now() >= deadline, me, "had its timeout too early");
    } catch (const cancelled&) {
        expect(me.cancelled, me, "was cancelled, and nobody did it");
        settle(me, begun, false);
        throw;
    }
    settle(me, begun, got.has_value());
    co_return got;
}

inline void world::settle(seat& me, bool begun, bool done) {
    if (!begun) {
        expect(!done, me, "began to wait although it was cancelled");
        return;
    }
    const place was = std::exchange(me.at, place::away);
    if (done) {
        expect(was == place::granted, me, "went on before its turn");
    } else if (was == place::granted) {
        gave_up(me);
    } else {
        expect(was == place::cut, me, "was cut, and nobody did it");
    }
}

inline task<> world::pause() {
    const int length = static_cast<int>(random.below(4));
    if (length == 0) {
        co_await yield_now();
    } else {
        co_await sleep(1ms * length);
    }
}

inline void world::disturb() {
    seat& other = seats[random.below(seats.size())];
    if (random.chance(100)) {
        other.cancelled = true;
        cut(other);
        other.handle.cancel();
    } else if (other.scope != nullptr) {
        cut(other);
        other.scope->cancel();
    }
}

inline task<> world::live(seat& me) {
    for (int left = 6; left > 0; --left) {
        const std::size_t what = random.below(7);
        if (what == 0) {
            disturb();
        } else if (what == 1) {
            co_await pause();
        } else {
            co_await operate(me);
        }
    }
}

inline task<> world::play() {
    for (seat& each : seats) each.handle = spawn(live(each));
    for (int turn = 0; !all_done() && turn < 500; ++turn) {
        co_await sleep(1ms);
        if (turn > 30) wind_up();
    }
    for (seat& each : seats) {
        if (!each.handle.done()) {
            broken(each, each.at == place::waiting ? "waits, by the model too" : "was forgotten");
            each.handle.cancel();
        }
        const outcome<> ended = co_await settled(std::move(each.handle));
        expect(!ended.is_error(), each, "failed");
        expect(!ended.is_cancelled() || each.cancelled || !errors.empty(), each,
               "was cancelled, and nobody did it");
    }
    if (!line.empty()) broken(*line.front(), "was let go on, and stands in the model's line");
    if (errors.empty()) check_end();
}

/// 10,000 runs; their seeds are in the report of what fails.
template <class World>
void run_schedules() {
    const std::uint64_t seeds = lariat::test::long_tests() ? 50'000 : 10'000;
    test_loop loop;
    int failed = 0;
    for (std::uint64_t seed = 1; seed <= seeds && failed < 3; ++seed) {
        World one(seed, loop);
        try {
            loop.run(one.play());
        } catch (const std::exception& error) {
            one.errors.emplace_back(error.what());
        }
        one.errors.insert(one.errors.end(), loop.reports.begin(), loop.reports.end());
        loop.reports.clear();
        if (one.errors.empty()) continue;
        ++failed;
        FAIL_CHECK("seed ", seed, ": ", one.errors.front());
    }
}

}  // namespace sync_test

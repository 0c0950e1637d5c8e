#pragma once

#include "test_loop.hpp"

#include <lariat/base/clock.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timer_queue.hpp>

#include "driver/random.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lariat::test {

/// How a wait ended, or had to end.
struct wait_ending {
    enum class how : std::uint8_t { waiting, fired, closed, cut };

    how what = how::waiting;
    std::size_t index = 0;  ///< of the arm that fired
    int item = 0;

    bool operator==(const wait_ending&) const = default;
    [[nodiscard]] std::string text() const {
        const char* const words[] = {"waiting", "fired", "closed", "cut"};
        return std::string(words[static_cast<int>(what)]) + " (" + std::to_string(index) + ", " +
               std::to_string(item) + ")";
    }
};

/// One seeded run of actors on a primitive and on its sequential model. An actor tells the model
/// what it does just before it does it, and those that cut a wait tell it just before they cut: so
/// the model knows at each moment who waits, and each wait's ending is compared with what the model
/// said it had to be.
struct model_world {
    model_world(std::uint64_t seed, test_loop& its_loop) : random(seed), loop(its_loop) {
        this_scheduler->dice = static_cast<std::uint32_t>(seed);  // a seed runs the same alone
    }

    void broken(const std::string& what) {
        if (errors.size() < 5) errors.push_back(what);
    }
    /// The model says how a wait ends.
    void end(int id, wait_ending how) {
        if (!verdicts.emplace(id, how).second) broken("a wait ends twice in the model");
    }
    /// How it did end.
    void check(int id, const wait_ending& real) {
        const wait_ending said = verdicts[id];
        if (said == real) return;
        broken("wait " + std::to_string(id) + " ended: " + real.text() +
               "; the model says: " + said.text());
    }
    [[nodiscard]] duration some_time() {
        return std::chrono::milliseconds(1 + static_cast<int>(random.below(4)));
    }

    detail::random_source random;
    test_loop& loop;
    std::vector<std::string> errors;
    std::map<int, wait_ending> verdicts;
    std::function<void(int)> cut;  ///< the model's: this wait, if it still is one, is cut
    int last_id = 0;
    int last_item = 0;
};

/// Tells the model of a timeout in the moment in which it fires: armed first, it fires first.
struct cut_note : timer_entry {
    cut_note(model_world& all, int which) : timer_entry(&due), w(all), id(which) {}
    cut_note(const cut_note&) = delete;
    ~cut_note() { this_scheduler->timers.disarm(*this); }

    /// The deadline to give to the timeout.
    time_point arm() {
        const time_point moment = w.loop.now() + w.some_time();
        this_scheduler->timers.arm(*this, moment);
        return moment;
    }
    static void due(timer_entry& self) noexcept {
        const auto& note = static_cast<cut_note&>(self);
        note.w.cut(note.id);
    }

    model_world& w;
    int id;
};

/// One of the tasks of a run.
struct model_actor {
    bool cancelled = false;
    int id = 0;  ///< of its last wait
};

/// Runs actors, cancels some of them at random moments, then calls `finish`, after which every
/// actor must come to its end.
template <class Act, class Finish>
task<> run_actors(model_world& w, std::size_t count, Act act, Finish finish) {
    std::vector<model_actor> actors(count);
    std::vector<join_handle<>> handles;
    for (model_actor& each : actors) handles.push_back(spawn(act, std::ref(w), std::ref(each)));
    for (std::size_t steps = w.random.below(12); steps > 0; --steps) {
        if (w.random.coin()) {
            co_await yield_now();
        } else {
            co_await sleep(w.some_time());
        }
        if (!w.random.chance(300)) continue;
        const std::size_t chosen = w.random.below(count);
        if (actors[chosen].cancelled) continue;
        actors[chosen].cancelled = true;
        w.cut(actors[chosen].id);
        handles[chosen].cancel();
    }
    finish();
    for (join_handle<>& each : handles) {
        const auto ended = co_await settled(std::move(each));
        if (ended.is_error()) w.broken("an actor failed");
    }
}

/// Around an actor's verb, and no other await: what is had at once with the last of a leg's budget
/// is another way than what is had at once.
struct short_budget {
    explicit short_budget(model_world& w) {
        this_scheduler->budget = static_cast<std::uint32_t>(1 + w.random.below(3));
    }
    short_budget(const short_budget&) = delete;
    ~short_budget() { this_scheduler->budget = scheduler::leg_budget; }
};

/// Between two of an actor's verbs.
inline task<> pause(model_world& w) {
    const std::size_t how = w.random.below(4);
    if (how == 0) co_await yield_now();
    if (how == 1) co_await sleep(w.some_time());
}

/// Plays `play(world)` once a seed, on one loop, until one is found that goes wrong: "" or what.
template <class Play>
std::string play_seeds(std::uint64_t seeds, Play play) {
    std::string found;
    test_loop loop;
    auto all = [&]() -> task<> {
        for (std::uint64_t seed = 1; seed <= seeds && found.empty(); ++seed) {
            model_world w(seed, loop);
            co_await play(w);
            for (const std::string& error : w.errors)
                found += "seed " + std::to_string(seed) + ": " + error + "\n";
        }
    };
    loop.run(all);
    return found;
}

/// At least ten thousand runs of each.
[[nodiscard]] inline std::uint64_t model_seeds() { return long_tests() ? 50'000 : 10'000; }

}  // namespace lariat::test

#pragma once

#include "leak_check.hpp"
#include "loop_set.hpp"

#include <lariat/task/cancel_scope.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

/// Random schedules of several loops and a thread, played on one thread, against models that do one
/// step after the other: nothing lost, nothing doubled, first come, first served.
namespace lariat::test {

enum class fate : std::uint8_t { fresh, in_line, served, cut };
inline constexpr int closed_mark = -1;

/// A task's wait: what the model says must become of it, and whether it has.
struct request {
    explicit request(std::size_t which) noexcept : loop(which) {}

    /// Where the task is about to await: false if it was cut before, and will not begin.
    [[nodiscard]] bool begins() const noexcept { return expected == fate::fresh; }

    std::size_t loop;
    fate expected = fate::fresh;
    int value = 0;  // to be given, or expected; closed_mark: refused, or drained
    bool ended = false;
    cancel_scope scope;
};

/// What all worlds share: the requests of one run, and what went wrong in it first.
struct world {
    world(loop_set& all, std::uint64_t seed) : loops(all), random(seed) {}

    request& add() {
        requests.push_back(std::make_unique<request>(random.below(loops.size())));
        return *requests.back();
    }
    void expect(bool holds, const char* rule) {
        if (!holds && broken.empty()) broken = rule;
    }
    /// The end of a request that was `cut` or not.
    void end(request& one, bool cut) {
        expect(!one.ended, "a wait ends once");
        one.ended = true;
        expect(one.expected == (cut ? fate::cut : fate::served),
               cut ? "only who waited is cut" : "only who was served goes on");
    }
    /// Cancels one at random; `leave` takes it out of the model's line.
    template <class Leave>
    void cancel_one(Leave leave) {
        if (requests.empty()) return;
        request& one = *requests[random.below(requests.size())];
        if (one.ended || one.scope.is_cancelled()) return;
        if (one.expected == fate::in_line) leave(one);
        if (one.expected != fate::served) one.expected = fate::cut;
        loops.on(one.loop, [&one] { one.scope.cancel(); });
    }
    void turn_one() { loops.turn(random.below(loops.size())); }
    void finish() {
        loops.finish();
        for (const auto& one : requests) expect(one->ended, "every wait ends");
    }

    loop_set& loops;
    detail::random_source random;
    std::vector<std::unique_ptr<request>> requests;
    std::string broken;
};

/// A line in the model.
struct model_line {
    void add(request& last) {
        last.expected = fate::in_line;
        waiting.push_back(&last);
    }
    request& serve() {
        request& first = *waiting.front();
        waiting.pop_front();
        first.expected = fate::served;
        return first;
    }
    void leave(request& one) { std::erase(waiting, &one); }

    std::deque<request*> waiting;
};

/// Plays many worlds, each of its own seed; the first that breaks a rule fails the test.
template <class Make>
void play(Make make) {
    loop_set loops(3);
    const std::uint64_t runs = long_tests() ? 30'000 : 10'000;
    std::size_t waits = 0;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
        auto one = make(loops, seed);
        one->run();
        waits += one->requests.size();
        INFO("seed ", seed);
        REQUIRE(one->broken == "");
    }
    CHECK(waits > 5 * runs);
}

}  // namespace lariat::test

// Random trees of tasks against a model of which scopes are cancelled.
#include "leak_check.hpp"
#include "test_loop.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

struct world;

/// The model of one scope: what may be cancelled as a whole, and who lives in it.
struct region {
    region(world& all, region* around, bool shields_it = false)
        : in(all), parent(around), shields(shields_it) {}
    region(const region&) = delete;
    region& operator=(const region&) = delete;
    ~region();

    world& in;
    region* parent;
    bool shields;
    bool cancelled = false;
    time_point deadline = forever;
    int live = 0;
};

/// One run of one seed.
struct world {
    world(std::uint64_t seed, test_loop& its_loop) : random(seed), loop(its_loop) {}

    void broken(const std::string& what) {
        if (errors.size() < 10)
            errors.push_back(what + " (after event " + std::to_string(events) + ")");
    }
    void note(std::uint64_t what) {
        ++events;
        for (const std::uint64_t part :
             {what, static_cast<std::uint64_t>(loop.elapsed().count())}) {
            trace = (trace ^ part) * 0x100000001b3U;  // FNV-1a
        }
    }
    [[nodiscard]] duration some_time() { return 1ms * static_cast<int>(random.below(7)); }

    /// A cancellation that has surely reached `at`: an await that begins there must throw.
    [[nodiscard]] bool surely_cancelled(const region& at) const {
        return cancelled(at, [this](const region& r) { return loop.now() > r.deadline; });
    }
    /// One that may have: else nothing there may throw `cancelled`.
    [[nodiscard]] bool maybe_cancelled(const region& at) const {
        return cancelled(at, [this](const region& r) { return loop.now() >= r.deadline; });
    }

    detail::random_source random;
    test_loop& loop;
    region root{*this, nullptr};
    int bodies_left = 80;
    std::uint64_t events = 0;
    std::uint64_t trace = 0xcbf29ce484222325U;
    std::uint64_t begun = 0;
    std::uint64_t unwound = 0;
    std::vector<std::string> errors;

 private:
    template <class Expired>
    static bool cancelled(const region& at, Expired expired) {
        for (const region* r = &at; r != nullptr; r = r->parent) {
            if (r->cancelled || expired(*r)) return true;
            if (r->shields) return false;
        }
        return false;
    }
};

region::~region() {
    if (live != 0) in.broken("something outlived its scope");
}

/// Marks a body that has begun, until it is unwound.
struct body_mark {
    body_mark(world& all, region& its_region) : in(all), at(its_region), id(++all.begun) {
        --in.bodies_left;
        in.note(id * 2);
        for (region* r = &at; r != nullptr; r = r->parent) ++r->live;
    }
    body_mark(const body_mark&) = delete;
    body_mark& operator=(const body_mark&) = delete;
    ~body_mark() {
        if (gone) in.broken("a body was unwound twice");
        gone = true;
        ++in.unwound;
        in.note(id * 2 + 1);
        for (region* r = &at; r != nullptr; r = r->parent) --r->live;
    }

    world& in;
    region& at;
    std::uint64_t id;
    bool gone = false;
};

/// Takes a call back when what it would cancel has ended.
struct call_guard {
    call_handle call;
    ~call_guard() { call.cancel(); }
};

task<> node(world& w, region& r, int depth);

/// A child with a party of its own, whose failure cancels its scope.
task<> failing_child(world& w, region& inside, int depth) {
    try {
        co_await node(w, inside, depth);
    } catch (const cancelled&) {
        throw;
    } catch (...) {
        inside.cancelled = true;
        throw;
    }
}

/// A child of a race: its end, if it is its own, cancels the others.
task<> racing_child(world& w, region& inside, int depth) {
    try {
        co_await node(w, inside, depth);
    } catch (const cancelled&) {
        throw;
    } catch (...) {
        inside.cancelled = true;
        throw;
    }
    inside.cancelled = true;
}

/// A spawned one: nobody may be left to hear of its failure, so it has none.
task<> lone_child(world& w, std::shared_ptr<region> inside, int depth) {
    try {
        co_await node(w, *inside, depth);
    } catch (const std::exception&) {
        w.note(3);
    }
}

task<> wait_a_while(world& w) {
    const duration length = w.some_time();
    if (w.random.chance(300)) {
        co_await yield_now();
    } else {
        co_await sleep(length);
    }
}

task<> gather_some(world& w, region& r, int depth) {
    region inside(w, &r);
    std::vector<task<>> children;
    for (std::size_t n = w.random.below(4); n > 0; --n)
        children.push_back(failing_child(w, inside, depth));
    co_await gather(std::move(children));
}

task<> settle_some(world& w, region& r, int depth) {
    region inside(w, &r);
    std::vector<task<>> children;
    for (std::size_t n = w.random.below(4); n > 0; --n) children.push_back(node(w, inside, depth));
    const auto ended = co_await settled(std::move(children));
    for (const outcome<>& each : ended) w.note(each.is_value() ? 4 : each.is_error() ? 5 : 6);
}

task<> race_some(world& w, region& r, int depth) {
    region inside(w, &r);
    std::vector<task<>> children;
    for (std::size_t n = 1 + w.random.below(3); n > 0; --n)
        children.push_back(racing_child(w, inside, depth));
    const auto first = co_await race(std::move(children));
    w.note(100 + first.index);
}

task<> group_some(world& w, region& r, int depth) {
    region inside(w, &r);
    call_guard cancel_later;
    auto body = [&](task_group& group) -> task<> {
        for (std::size_t n = w.random.below(4); n > 0; --n)
            group.spawn(failing_child(w, inside, depth));
        if (w.random.chance(300)) {
            cancel_later.call = w.loop.loop().call_later(w.some_time(), [&w, &group, &inside] {
                w.note(7);
                inside.cancelled = true;
                group.cancel();
            });
        }
        co_await failing_child(w, inside, depth);
    };
    co_await with_group(body);
}

task<> limit_time(world& w, region& r, int depth) {
    region inside(w, &r);
    inside.deadline = w.loop.now() + w.some_time();
    try {
        co_await timeout_at(inside.deadline, node(w, inside, depth));
    } catch (const timeout_error&) {
        w.note(8);
        if (w.loop.now() < inside.deadline) w.broken("a timeout came early");
        if (w.surely_cancelled(r)) w.broken("a timeout swallowed a cancel from outside");
    }
}

task<> run_scope(world& w, region& r, int depth) {
    region inside(w, &r);
    cancel_scope scope;
    const call_guard cancel_later{w.loop.loop().call_later(w.some_time(), [&w, &scope, &inside] {
        w.note(9);
        inside.cancelled = true;
        scope.cancel();
    })};
    const bool finished = co_await scope.run(node(w, inside, depth));
    w.note(finished ? 10 : 11);
    if (!finished && !inside.cancelled) w.broken("a scope was cut that nobody had cancelled");
    if (!finished && w.surely_cancelled(r)) w.broken("a scope swallowed a cancel from outside");
}

task<> shield_one(world& w, region& r, int depth) {
    region inside(w, &r, true);
    co_await shield(node(w, inside, depth));
}

task<> spawn_one(world& w, int depth) {
    auto inside = std::make_shared<region>(w, &w.root);
    auto handle = spawn(lone_child(w, inside, depth));
    if (w.random.chance(250)) co_return;  // on its own until the run ends
    if (w.random.chance(500)) co_await sleep(w.some_time());
    if (w.random.chance(500)) {
        inside->cancelled = true;
        handle.cancel();
    }
    inside.reset();
    const auto ended = co_await settled(std::move(handle));
    w.note(ended.is_value() ? 12 : 13);
    if (ended.is_error()) w.broken("an error nobody threw");
}

task<> fail(world& w) {
    co_await wait_a_while(w);
    throw std::runtime_error("a failure of the random test");
}

task<> one_step(world& w, region& r, int depth) {
    if (depth > 6 || w.bodies_left <= 0) return wait_a_while(w);
    switch (w.random.below(16)) {
        case 0: return fail(w);
        case 1: return node(w, r, depth + 1);
        case 2:
        case 3: return gather_some(w, r, depth + 1);
        case 4: return settle_some(w, r, depth + 1);
        case 5:
        case 6: return race_some(w, r, depth + 1);
        case 7:
        case 8: return group_some(w, r, depth + 1);
        case 9:
        case 10: return limit_time(w, r, depth + 1);
        case 11: return run_scope(w, r, depth + 1);
        case 12: return shield_one(w, r, depth + 1);
        case 13: return spawn_one(w, depth + 1);
        default: return wait_a_while(w);
    }
}

task<> node(world& w, region& r, int depth) {
    const body_mark mark(w, r);
    for (std::size_t left = 1 + w.random.below(4); left > 0; --left) {
        const bool must_throw = w.surely_cancelled(r);
        int tries = w.random.chance(200) ? 2 : 0;  // awaits that a caught cancel is followed by
        try {
            co_await one_step(w, r, depth);
            if (must_throw) w.broken("an await that began inside a cancelled scope returned");
            continue;
        } catch (const cancelled&) {
            if (!w.maybe_cancelled(r)) w.broken("cancelled, and nobody did it");
            if (tries == 0) throw;
        } catch (const std::exception&) {
            if (!w.random.chance(300)) throw;
            w.note(15);
            continue;
        }
        for (; tries > 0; --tries) {
            try {
                co_await sleep(1ms);
                w.broken("an await inside a cancelled scope returned");
            } catch (const cancelled&) {
                w.note(14);
            }
        }
        region covered(w, &r, true);
        if (depth < 6) co_await shield(node(w, covered, depth + 1));
    }
}

struct ending {
    std::uint64_t trace = 0;
    std::uint64_t events = 0;
    std::vector<std::string> errors;
};

ending play(std::uint64_t seed) {
    test_loop loop(seed);
    world w(seed, loop);
    loop.run([&]() -> task<> {
        region main_region(w, nullptr);
        try {
            co_await node(w, main_region, 0);
        } catch (const std::exception&) {
            w.note(16);
        }
        w.root.deadline = w.loop.now();  // the run cancels it at the end of this turn
    });
    if (w.begun != w.unwound) w.broken("a body that had begun was not unwound");
    return {w.trace, w.events, w.errors};
}

TEST_CASE("random: every tree of tasks ends as the model says, and the same way twice") {
    const std::uint64_t seeds = lariat::test::long_tests() ? 20'000 : 2'000;
    std::uint64_t events = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        ending once;
        try {
            once = play(seed);
        } catch (const std::exception& error) {
            FAIL("seed ", seed, ": ", error.what());
        }
        for (const std::string& error : once.errors) FAIL_CHECK("seed ", seed, ": ", error);
        const ending twice = play(seed);
        if (once.trace != twice.trace || once.events != twice.events)
            FAIL_CHECK("seed ", seed, " runs differently the second time");
        events += once.events;
    }
    CHECK(events > 20 * seeds);
}

}  // namespace

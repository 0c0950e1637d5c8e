// Random schedules of a broadcast and of a watch against what a log of all that was sent says.
#include "model.hpp"

#include <lariat/sync/broadcast.hpp>
#include <lariat/sync/watch.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;

/// All that was sent; item number n has the value n.
struct sending_log {
    std::uint64_t sent = 0;
    std::uint64_t capacity = 1;
    bool closed = false;

    [[nodiscard]] std::uint64_t oldest() const { return sent - std::min(sent, capacity); }
};

struct broadcast_run {
    broadcast<std::uint64_t>& real;
    sending_log& log;
};

/// What a subscriber at `next` had to receive just now.
void compare(model_world& w, const sending_log& log, std::uint64_t& next,
             const std::optional<broadcast_item<std::uint64_t>>& got) {
    const std::uint64_t first = std::max(next, log.oldest());
    if (!got) {
        if (!log.closed || next != log.sent) w.broken("ended before all was received");
        return;
    }
    if (got->value != first || got->missed != first - next)
        w.broken("received " + std::to_string(got->value) + ", missed " +
                 std::to_string(got->missed) + " instead of " + std::to_string(first));
    next = first + 1;
}

task<> subscriber(model_world& w, model_actor& me, broadcast_run& run) {
    auto mine = run.real.subscribe();
    std::uint64_t next = run.log.sent;
    for (std::size_t steps = 2 + w.random.below(10); steps > 0 && !me.cancelled; --steps) {
        const bool behind = next != run.log.sent;
        if (w.random.coin() && !run.log.closed) {
            run.real.send(run.log.sent);
            ++run.log.sent;
        } else {
            try {
                if (w.random.coin()) {
                    const auto got = co_await timeout(w.some_time(), mine.receive());
                    compare(w, run.log, next, got);
                } else {
                    const auto got = co_await mine.receive();
                    compare(w, run.log, next, got);
                }
            } catch (const timeout_error&) {
                if (behind) w.broken("a receive waited though there was an item");
            }
        }
        if (mine.behind() != run.log.sent - next) w.broken("a wrong count of what is behind");
        co_await pause(w);
    }
    while (!me.cancelled) {  // whoever is left drains it
        const auto got = co_await mine.receive();
        compare(w, run.log, next, got);
        if (!got) break;
    }
}

task<> play_broadcast(model_world& w) {
    sending_log log;
    log.capacity = 1 + w.random.below(4);
    broadcast<std::uint64_t> real(log.capacity);
    broadcast_run run{real, log};
    w.cut = [](int) {};
    const auto acts = [&](model_world& all, model_actor& me) { return subscriber(all, me, run); };
    const auto finish = [&] {
        log.closed = true;
        real.close();
    };
    co_await run_actors(w, 2 + w.random.below(5), acts, finish);
    if (real.stats().kept != 0 || real.stats().subscribers != 0)
        w.broken("something is kept for nobody");
}

TEST_CASE("broadcast: random schedules agree with a sequential model") {
    CHECK(play_seeds(model_seeds(), play_broadcast) == "");
}

struct watch_run {
    watch<std::uint64_t>& real;
    sending_log& log;
};

task<> reader(model_world& w, model_actor& me, watch_run& run) {
    auto mine = run.real.subscribe();
    std::uint64_t seen = 0;  // of the values 1, 2, ...
    for (std::size_t steps = 2 + w.random.below(10); steps > 0 && !me.cancelled; --steps) {
        const bool fresh = seen != run.log.sent;
        if (w.random.coin() && !run.log.closed) {
            run.real.set(++run.log.sent);
        } else {
            try {
                const auto now = co_await timeout(w.some_time(), mine.next());
                if (!now && (!run.log.closed || fresh)) w.broken("ended before the last was seen");
                if (now && *now != run.log.sent) w.broken("not the latest");
                if (now && *now == seen) w.broken("the same version twice");
                if (now) seen = *now;
            } catch (const timeout_error&) {
                if (fresh) w.broken("a reader waited though there was a change");
            }
        }
        if (mine.has_changed() != (seen != run.log.sent)) w.broken("has_changed");
        co_await pause(w);
    }
    while (!me.cancelled) {
        const auto now = co_await mine.next();
        if (!now) break;
        if (*now != run.log.sent) w.broken("not the latest");
        seen = *now;
    }
    if (!me.cancelled && seen != run.log.sent) w.broken("the last value was not seen");
}

task<> play_watch(model_world& w) {
    sending_log log;
    log.sent = 1;
    watch<std::uint64_t> real(std::uint64_t{1});
    watch_run run{real, log};
    w.cut = [](int) {};
    const auto acts = [&](model_world& all, model_actor& me) { return reader(all, me, run); };
    const auto finish = [&] {
        log.closed = true;
        real.close();
    };
    co_await run_actors(w, 2 + w.random.below(5), acts, finish);
}

TEST_CASE("watch: random schedules agree with a sequential model") {
    CHECK(play_seeds(model_seeds(), play_watch) == "");
}

}  // namespace

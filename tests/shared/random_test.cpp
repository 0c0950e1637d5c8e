// Locks, permits and events under random schedules; see random_world.hpp.
#include "loop_set.hpp"
#include "random_world.hpp"

#include <lariat/sync/shared/event.hpp>
#include <lariat/sync/shared/mutex.hpp>
#include <lariat/sync/shared/semaphore.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;

struct semaphore_world : world {
    semaphore_world(loop_set& all, std::uint64_t seed)
        : world(all, seed), permits(random.below(3)), subject(permits) {}

    task<> acquire(request& one) {
        if (one.begins()) {
            one.expected = fate::served;
            if (permits > 0) {
                --permits;
            } else {
                line.add(one);
            }
        }
        const bool got = co_await one.scope.run(subject.acquire());
        end(one, !got);
    }
    void release(std::size_t count) {
        for (std::size_t left = count; left > 0; --left) {
            if (line.waiting.empty()) {
                ++permits;
            } else {
                line.serve();
            }
        }
        // From a loop, or from a thread.
        if (random.coin()) {
            subject.release(count);
        } else {
            loops.on(random.below(loops.size()), [&] { subject.release(count); });
        }
    }
    void step() {
        const std::size_t what = random.below(100);
        if (what < 30) {
            request& one = add();
            loops.spawn_on(one.loop, acquire(one));
        } else if (what < 45) {
            release(random.below(4));
        } else if (what < 52) {
            expect(subject.acquire_blocking(0ns) == (permits > 0),
                   "a thread gets a permit that is free, and no other");
            if (permits > 0) --permits;
        } else if (what < 65) {
            cancel_one([this](request& one) { line.leave(one); });
        } else {
            turn_one();
        }
        expect(subject.available() == permits, "the permits add up");
    }
    void run() {
        for (std::size_t left = 10 + random.below(40); left > 0; --left) step();
        loops.settle();
        release(line.waiting.size());
        finish();
        expect(subject.available() == permits, "the permits add up at the end");
    }

    std::size_t permits;
    shared::semaphore subject;
    model_line line;
};

struct mutex_world : world {
    mutex_world(loop_set& all, std::uint64_t seed) : world(all, seed), thread(0) {}

    task<> lock(request& one, std::size_t legs) {
        if (one.begins()) {
            one.expected = fate::served;
            if (holder == nullptr) {
                holder = &one;
            } else {
                line.add(one);
            }
        }
        std::optional<shared::mutex::guard> guard = co_await one.scope.run(subject.lock());
        end(one, !guard.has_value());
        if (!guard) co_return;
        expect(holder == &one, "the first in line has it, and alone");
        for (; legs > 0; --legs) co_await yield_now();
        expect(holder == &one, "it stays with its holder");
        hand_on();
        guard->unlock();
    }
    void hand_on() { holder = line.waiting.empty() ? nullptr : &line.serve(); }
    void thread_locks() {
        auto guard = subject.lock_blocking(0ns);
        expect(static_cast<bool>(guard) == (holder == nullptr), "a thread has it when it is free");
        if (!guard) return;
        holder = &thread;
        kept = std::move(guard);
    }
    void thread_unlocks() {
        if (!kept) return;
        hand_on();
        kept.unlock();
    }
    void step() {
        const std::size_t what = random.below(100);
        if (what < 30) {
            request& one = add();
            loops.spawn_on(one.loop, lock(one, random.below(3)));
        } else if (what < 40) {
            thread_locks();
        } else if (what < 50) {
            thread_unlocks();
        } else if (what < 62) {
            cancel_one([this](request& one) { line.leave(one); });
        } else {
            turn_one();
        }
        expect(subject.locked() == (holder != nullptr), "it is locked when somebody has it");
    }
    void run() {
        for (std::size_t left = 10 + random.below(40); left > 0; --left) step();
        thread_unlocks();
        finish();
        expect(!subject.locked(), "it is free at the end");
    }

    request thread;
    shared::mutex subject;
    shared::mutex::guard kept;
    model_line line;
    request* holder = nullptr;
};

struct event_world : world {
    event_world(loop_set& all, std::uint64_t seed) : world(all, seed) {}

    task<> wait(request& one) {
        if (one.begins()) {
            one.expected = fate::served;
            if (!is_set) line.add(one);
        }
        const bool passed = co_await one.scope.run(subject.wait());
        end(one, !passed);
    }
    void set() {
        is_set = true;
        while (!line.waiting.empty()) line.serve();
        if (random.coin()) {
            subject.set();
        } else {
            loops.on(random.below(loops.size()), [this] { subject.set(); });
        }
    }
    void step() {
        const std::size_t what = random.below(100);
        if (what < 30) {
            request& one = add();
            loops.spawn_on(one.loop, wait(one));
        } else if (what < 38) {
            set();
        } else if (what < 46) {
            is_set = false;
            subject.clear();
        } else if (what < 50) {
            expect(subject.wait_blocking(0ns) == is_set, "a thread passes while it is set");
        } else if (what < 62) {
            cancel_one([this](request& one) { line.leave(one); });
        } else {
            turn_one();
        }
        expect(subject.is_set() == is_set, "it is set after set, until clear");
    }
    void run() {
        for (std::size_t left = 10 + random.below(40); left > 0; --left) step();
        set();
        finish();
    }

    shared::event subject;
    model_line line;
    bool is_set = false;
};

TEST_CASE("shared, random: semaphores") {
    play([](loop_set& loops, std::uint64_t seed) {
        return std::make_unique<semaphore_world>(loops, seed);
    });
}

TEST_CASE("shared, random: mutexes") {
    play([](loop_set& loops, std::uint64_t seed) {
        return std::make_unique<mutex_world>(loops, seed);
    });
}

TEST_CASE("shared, random: events") {
    play([](loop_set& loops, std::uint64_t seed) {
        return std::make_unique<event_world>(loops, seed);
    });
}

}  // namespace

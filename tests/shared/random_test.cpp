// Random schedules of three loops and a thread, played on one thread, against models that do one
// step after the other: nothing lost, nothing doubled, first come, first served.
#include "leak_check.hpp"
#include "loop_set.hpp"

#include <lariat/sync/shared/channel.hpp>
#include <lariat/sync/shared/event.hpp>
#include <lariat/sync/shared/mutex.hpp>
#include <lariat/sync/shared/queue.hpp>
#include <lariat/sync/shared/semaphore.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::loop_set;

enum class fate : std::uint8_t { fresh, in_line, served, cut };
constexpr int closed_mark = -1;

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

/// What a queue or channel is.
struct exchange_model {
    enum class outcome : std::uint8_t { done, closed, waits };

    outcome give(int value) {
        if (closed) return outcome::closed;
        if (!takers.waiting.empty()) {
            takers.serve().value = value;
        } else if (items.size() < room) {
            items.push_back(value);
        } else {
            return outcome::waits;
        }
        return outcome::done;
    }
    outcome take(int& value) {
        if (!items.empty()) {
            value = items.front();
            items.pop_front();
            if (!givers.waiting.empty()) items.push_back(givers.serve().value);
            return outcome::done;
        }
        if (!givers.waiting.empty()) {
            value = givers.serve().value;
            return outcome::done;
        }
        return closed ? outcome::closed : outcome::waits;
    }
    void close() {
        closed = true;
        while (!takers.waiting.empty()) takers.serve().value = closed_mark;
        while (!givers.waiting.empty()) givers.serve().value = closed_mark;
    }

    std::size_t room = 0;
    std::deque<int> items;
    model_line takers;
    model_line givers;
    bool closed = false;
};

auto give_verb(shared::queue<int>& to, int value) { return to.put(value); }
auto give_verb(shared::channel<int>& to, int value) { return to.send(value); }
auto take_verb(shared::queue<int>& from) { return from.get(); }
auto take_verb(shared::channel<int>& from) { return from.receive(); }
bool give_now(shared::queue<int>& to, int value) { return to.put_blocking(value, 0ns); }
bool give_now(shared::channel<int>& to, int value) { return to.send_blocking(value, 0ns); }
result<int> take_now(shared::queue<int>& from) { return from.get_blocking(0ns); }
result<int> take_now(shared::channel<int>& from) { return from.receive_blocking(0ns); }

template <class Exchange>
struct exchange_world : world {
    using outcome = exchange_model::outcome;

    exchange_world(loop_set& all, std::uint64_t seed, std::size_t capacity, std::size_t room)
        : world(all, seed), subject(capacity) {
        model.room = room;
    }

    task<> give(request& one) {
        if (one.begins()) {
            const outcome now = model.give(one.value);
            one.expected = fate::served;
            if (now == outcome::closed) one.value = closed_mark;
            if (now == outcome::waits) model.givers.add(one);
        }
        auto verb = give_verb(subject, one.value == closed_mark ? 0 : one.value);
        const auto ended = co_await nothrow(one.scope.run(verb));
        const bool refused = !ended.has_value();
        end(one, !refused && !*ended);
        if (one.expected == fate::served)
            expect(refused == (one.value == closed_mark), "who is refused came after the close");
    }
    task<> take(request& one) {
        if (one.begins()) {
            const outcome now = model.take(one.value);
            one.expected = fate::served;
            if (now == outcome::closed) one.value = closed_mark;
            if (now == outcome::waits) model.takers.add(one);
        }
        const std::optional<std::optional<int>> got = co_await one.scope.run(take_verb(subject));
        end(one, !got.has_value());
        if (got) expect(got->value_or(closed_mark) == one.value, "each gets its own item");
    }
    void thread_gives() {
        const int value = ++last;
        const outcome now = model.give(value);
        bool given = false;
        bool refused = false;
        try {
            given = give_now(subject, value);
        } catch (const closed_error&) {
            refused = true;
        }
        expect(given == (now == outcome::done), "a thread gives when there is room");
        expect(refused == (now == outcome::closed), "a thread is refused after the close");
    }
    void thread_takes() {
        int value = closed_mark;
        const outcome now = model.take(value);
        const result<int> got = take_now(subject);
        expect(got.has_value() == (now == outcome::done), "a thread takes when there is an item");
        if (got) expect(*got == value, "a thread takes the oldest");
    }
    void step() {
        const std::size_t what = random.below(100);
        if (what < 20) {
            request& one = add();
            one.value = ++last;
            loops.spawn_on(one.loop, give(one));
        } else if (what < 40) {
            request& one = add();
            loops.spawn_on(one.loop, take(one));
        } else if (what < 47) {
            thread_gives();
        } else if (what < 54) {
            thread_takes();
        } else if (what < 64) {
            cancel_one([this](request& one) {
                model.takers.leave(one);
                model.givers.leave(one);
            });
        } else if (what < 65) {
            model.close();
            subject.close();
        } else {
            turn_one();
        }
    }
    void run() {
        for (std::size_t left = 10 + random.below(40); left > 0; --left) step();
        loops.settle();
        model.close();
        subject.close();
        finish();
        expect(subject.size() == model.items.size(), "no more and no less is left");
        while (!model.items.empty()) thread_takes();
    }

    Exchange subject;
    exchange_model model;
    int last = 0;
};

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

/// Plays many worlds, each of its own seed; the first that breaks a rule fails the test.
template <class Make>
void play(Make make) {
    loop_set loops(3);
    const std::uint64_t runs = lariat::test::long_tests() ? 30'000 : 10'000;
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

TEST_CASE("shared, random: queues") {
    play([](loop_set& loops, std::uint64_t seed) {
        const std::size_t max = seed % 4;
        const std::size_t room = max == 0 ? std::numeric_limits<std::size_t>::max() : max;
        return std::make_unique<exchange_world<shared::queue<int>>>(loops, seed, max, room);
    });
}

TEST_CASE("shared, random: channels, with and without capacity") {
    play([](loop_set& loops, std::uint64_t seed) {
        const std::size_t room = seed % 3;
        return std::make_unique<exchange_world<shared::channel<int>>>(loops, seed, room, room);
    });
}

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

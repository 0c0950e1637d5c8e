// Queues and channels under random schedules; see random_world.hpp.
#include "loop_set.hpp"
#include "random_world.hpp"

#include <lariat/base/error.hpp>
#include <lariat/sync/shared/channel.hpp>
#include <lariat/sync/shared/lifo_queue.hpp>
#include <lariat/sync/shared/priority_queue.hpp>
#include <lariat/sync/shared/queue.hpp>
#include <lariat/task/nothrow.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

namespace {

using namespace lariat;
using namespace lariat::test;
using namespace std::chrono_literals;

/// Puts what lies there in an order, the oldest of equal ones first; it is none of the order of the
/// puts, and has many equal ones.
struct by_rank {
    static int rank(int value) noexcept { return value * 5 % 7; }
    bool operator()(int a, int b) const noexcept { return rank(a) < rank(b); }
};
using ranked_queue = shared::priority_queue<int, by_rank>;

// Of what lies in it, oldest first, the one that is next.
using next_of = std::deque<int>::iterator (*)(std::deque<int>&);
std::deque<int>::iterator oldest(std::deque<int>& items) { return items.begin(); }
std::deque<int>::iterator newest(std::deque<int>& items) { return std::prev(items.end()); }
std::deque<int>::iterator smallest(std::deque<int>& items) {
    return std::min_element(items.begin(), items.end(), by_rank());
}

/// What a queue or channel is.
struct exchange_model {
    exchange_model(std::size_t capacity, next_of order) noexcept : room(capacity), next(order) {}

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
            const auto first = next(items);
            value = *first;
            items.erase(first);
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

    std::size_t room;
    next_of next;
    std::deque<int> items;
    model_line takers;
    model_line givers;
    bool closed = false;
};

template <class Store>
auto give_verb(shared::basic_queue<int, Store>& to, int value) {
    return to.put(value);
}
auto give_verb(shared::channel<int>& to, int value) { return to.send(value); }
template <class Store>
auto take_verb(shared::basic_queue<int, Store>& from) {
    return from.get();
}
auto take_verb(shared::channel<int>& from) { return from.receive(); }
template <class Store>
bool give_now(shared::basic_queue<int, Store>& to, int value) {
    return to.put_blocking(value, 0ns);
}
bool give_now(shared::channel<int>& to, int value) { return to.send_blocking(value, 0ns); }
template <class Store>
result<int> take_now(shared::basic_queue<int, Store>& from) {
    return from.get_blocking(0ns);
}
result<int> take_now(shared::channel<int>& from) { return from.receive_blocking(0ns); }

template <class Exchange>
struct exchange_world : world {
    using outcome = exchange_model::outcome;

    exchange_world(loop_set& all, std::uint64_t seed, std::size_t capacity, std::size_t room,
                   next_of order)
        : world(all, seed), subject(capacity), model(room, order) {}

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
        if (got) expect(*got == value, "a thread takes the one that is next");
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

template <class Queue>
void play_queue(next_of order) {
    play([order](loop_set& loops, std::uint64_t seed) {
        const std::size_t max = seed % 4;
        const std::size_t room = max == 0 ? std::numeric_limits<std::size_t>::max() : max;
        return std::make_unique<exchange_world<Queue>>(loops, seed, max, room, order);
    });
}

TEST_CASE("shared, random: queues") { play_queue<shared::queue<int>>(&oldest); }

TEST_CASE("shared, random: queues that give the newest first") {
    play_queue<shared::lifo_queue<int>>(&newest);
}

TEST_CASE("shared, random: queues that give the smallest first") {
    play_queue<ranked_queue>(&smallest);
}

TEST_CASE("shared, random: channels, with and without capacity") {
    play([](loop_set& loops, std::uint64_t seed) {
        const std::size_t room = seed % 3;
        return std::make_unique<exchange_world<shared::channel<int>>>(loops, seed, room, room,
                                                                      &oldest);
    });
}

}  // namespace

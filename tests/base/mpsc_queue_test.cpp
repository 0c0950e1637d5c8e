#include <lariat/base/mpsc_queue.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace {

using lariat::mpsc_node;
using lariat::mpsc_queue;
using lariat::push_outcome;

struct item : mpsc_node {
    int producer = 0;
    int number = 0;
};

std::vector<int> numbers(mpsc_queue<item>::batch batch) {
    std::vector<int> all;
    while (!batch.empty()) all.push_back(batch.pop_front().number);
    return all;
}

TEST_CASE("mpsc_queue: first in, first out, and only the first push says so") {
    mpsc_queue<item> queue;
    item items[4];
    for (int i = 0; i < 4; ++i) items[i].number = i;
    CHECK(queue.empty());
    CHECK(queue.take_all().empty());
    CHECK(queue.push(items[0]) == push_outcome::first);
    CHECK_FALSE(queue.empty());
    CHECK(queue.push(items[1]) == push_outcome::queued);
    CHECK(queue.push(items[2]) == push_outcome::queued);
    CHECK(numbers(queue.take_all()) == std::vector{0, 1, 2});
    CHECK(queue.empty());
    CHECK(queue.push(items[3]) == push_outcome::first);
    CHECK(numbers(queue.take_all()) == std::vector{3});
}

TEST_CASE("mpsc_queue: a popped item may be pushed again or destroyed while its batch is walked") {
    mpsc_queue<item> queue;
    item again;
    auto gone = std::make_unique<item>();
    item last;
    queue.push(again);
    queue.push(*gone);
    queue.push(last);
    auto batch = queue.take_all();
    CHECK(&batch.pop_front() == &again);
    CHECK(queue.push(again) == push_outcome::first);
    CHECK(&batch.pop_front() == gone.get());
    gone.reset();
    CHECK(&batch.pop_front() == &last);
    CHECK(batch.empty());
    batch = queue.take_all();
    CHECK(&batch.pop_front() == &again);
    CHECK(batch.empty());
}

TEST_CASE("mpsc_queue: closing gives what had come, and refuses what comes later") {
    mpsc_queue<item> queue;
    item before, after;
    before.number = 7;
    queue.push(before);
    CHECK(numbers(queue.close()) == std::vector{7});
    CHECK(queue.push(after) == push_outcome::refused);
    CHECK(queue.empty());
    CHECK(queue.take_all().empty());
    CHECK(queue.close().empty());
    CHECK(queue.push(after) == push_outcome::refused);
}

TEST_CASE("mpsc_queue: of many producers nothing is lost, doubled or out of its producer's order") {
    constexpr int producers = 4;
    constexpr int each = 20'000;
    mpsc_queue<item> queue;
    std::vector<std::vector<item>> items(producers);
    std::vector<std::thread> threads;
    for (int p = 0; p < producers; ++p) {
        items[static_cast<std::size_t>(p)] = std::vector<item>(each);
        threads.emplace_back([&queue, &mine = items[static_cast<std::size_t>(p)], p] {
            for (int i = 0; i < each; ++i) {
                item& next = mine[static_cast<std::size_t>(i)];
                next.producer = p;
                next.number = i;
                queue.push(next);
            }
        });
    }
    std::vector<int> expected(producers, 0);
    bool in_order = true;
    for (int taken = 0; taken < producers * each;) {
        auto batch = queue.take_all();
        if (batch.empty()) std::this_thread::yield();
        for (; !batch.empty(); ++taken) {
            const item& got = batch.pop_front();
            in_order = in_order && got.number == expected[static_cast<std::size_t>(got.producer)]++;
        }
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(in_order);
    CHECK(queue.empty());
}

TEST_CASE("mpsc_queue: a consumer that says it sleeps, then looks, misses no push") {
    constexpr int rounds = 20'000;
    mpsc_queue<item> queue;
    std::atomic<bool> sleeping{false};
    std::atomic<bool> woken{false};
    std::vector<item> items(rounds);
    std::thread producer([&] {
        for (item& next : items) {
            queue.push(next);
            if (sleeping.exchange(false)) {
                woken.store(true);
                woken.notify_one();
            }
        }
    });
    // A push missed here leaves the consumer asleep for ever: the run's own time limit says so.
    for (int taken = 0; taken < rounds;) {
        for (auto batch = queue.take_all(); !batch.empty(); ++taken) batch.pop_front();
        if (taken == rounds) break;
        sleeping.store(true);
        if (!queue.empty() && sleeping.exchange(false)) continue;
        woken.wait(false);
        woken.store(false);
    }
    producer.join();
    CHECK(queue.empty());
}

TEST_CASE("mpsc_queue: when closing races with pushing, each item is taken or refused") {
    for (int round = 0; round < 200; ++round) {
        mpsc_queue<item> queue;
        std::vector<item> items(200);
        std::atomic<bool> go{false};
        int accepted = 0;
        std::thread producer([&] {
            go.wait(false);
            for (item& next : items) accepted += queue.push(next) != push_outcome::refused ? 1 : 0;
        });
        go.store(true);
        go.notify_one();
        std::size_t taken = numbers(queue.take_all()).size();
        taken += numbers(queue.close()).size();
        producer.join();
        CHECK(taken == static_cast<std::size_t>(accepted));
        CHECK(queue.take_all().empty());
    }
}

}  // namespace

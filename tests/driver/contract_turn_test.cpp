// The contract's words on submit, poll, wake, now and stats; see runtime/src/driver/contract.hpp.
#include "world.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <memory>
#include <thread>

#include <poll.h>

using namespace driver_test;

LARIAT_CONTRACT_TEST("a nop completes with 0, at once or by the next turn") {
    recorded nothing(op_code::nop, -1);
    w.start(nothing);
    CHECK(w.finish(nothing));
    CHECK(nothing.seen.size() == 1);
    CHECK(nothing.result() == 0);
}

LARIAT_CONTRACT_TEST("an op that finished at once is never completed again") {
    std::deque<recorded> many;
    for (int i = 0; i < 64; ++i) w.start(many.emplace_back(op_code::nop, -1));
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    w.settle();
    for (const recorded& each : many) CHECK(each.seen.size() == 1);
}

LARIAT_CONTRACT_TEST("an op may be used again after its last completion") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    for (int round = 0; round < 10; ++round) {
        receiving.seen.clear();
        w.start(receiving);
        w.put(far, "again");
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == 5);
    }
}

LARIAT_CONTRACT_TEST("a deadline before the clock began does not wait") {
    for (const lariat::time_point long_ago : {lariat::no_wait, lariat::no_wait + 1ns,
                                              lariat::time_point() - 1ns, lariat::time_point()}) {
        const auto before = w.drive().now();
        w.drive().poll(long_ago);
        CHECK(w.drive().now() - before < 1h);
    }
}

LARIAT_CONTRACT_TEST("poll(no_wait) returns though nothing completed") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    CHECK(receiving.seen.empty());
    CHECK(w.drive().stats().in_flight == 1);
    w.put(far, "x");
    CHECK(w.finish(receiving));
}

LARIAT_CONTRACT_TEST("a deadline is never early, with and without ops in flight") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.settle();
    for (int round = 0; round < 20; ++round) {
        if (round == 10) w.start(receiving);
        const auto until = w.drive().now() + 37us * round;
        w.drive().poll(until);
        CHECK(w.drive().now() >= until);
    }
    w.put(far, "x");
    CHECK(w.finish(receiving));
}

LARIAT_CONTRACT_TEST("a deadline that has passed does not wait") {
    const auto before = w.drive().now();
    w.drive().poll(before - 1h);
    w.drive().poll(before);
    CHECK(w.drive().now() - before < 10s);
}

LARIAT_CONTRACT_TEST("a wake before the turn ends it at once, and a thousand are one") {
    for (int i = 0; i < 1000; ++i) w.drive().wake();
    const auto before = w.drive().now();
    w.drive().poll(before + 1h);
    CHECK(w.drive().now() - before < 1min);
    const auto until = w.drive().now() + 2ms;
    w.drive().poll(until);
    CHECK(w.drive().now() >= until);
}

LARIAT_CONTRACT_TEST("a wake from another thread ends a wait without end, each time") {
    if (w.simulated()) w.drive().sim()->expect_wakes(true);
    std::atomic<int> asked{0};
    std::atomic<int> answered{0};
    constexpr int rounds = 2000;
    std::jthread waker([&] {
        for (int i = 1; i <= rounds; ++i) {
            asked.store(i, std::memory_order_relaxed);  // published by wake(), seen after poll()
            w.drive().wake();
            while (answered.load(std::memory_order_acquire) < i) std::this_thread::yield();
        }
    });
    for (int seen = 0; seen < rounds;) {
        w.drive().poll(lariat::forever);
        const int now = asked.load(std::memory_order_relaxed);
        CHECK(now >= seen);
        seen = now;
        answered.store(seen, std::memory_order_release);
    }
}

namespace {
driver* woken_by_signal = nullptr;
void wake_it(int) { woken_by_signal->wake(); }
}  // namespace

LARIAT_CONTRACT_TEST("a wake from a signal handler ends the wait") {
    if (w.simulated()) w.drive().sim()->expect_wakes(true);
    woken_by_signal = &w.drive();
    struct sigaction before{};
    struct sigaction waking{};
    waking.sa_handler = wake_it;
    ::sigaction(SIGUSR1, &waking, &before);
    ::raise(SIGUSR1);
    w.drive().poll(lariat::forever);
    const auto self = ::pthread_self();
    std::jthread other([self] { ::pthread_kill(self, SIGUSR1); });
    w.drive().poll(lariat::forever);
    other.join();
    w.settle();
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(w.drive().stats().in_flight == 0);
}

LARIAT_CONTRACT_TEST("a signal that says nothing does not end the wait") {
    if (w.simulated()) return;  // its wait is no system call
    struct sigaction before{};
    struct sigaction silent{};
    silent.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &silent, &before);
    std::atomic<bool> over{false};
    const auto self = ::pthread_self();
    std::jthread other([&] {
        for (int i = 0; i < 200 && !over.load(); ++i) {
            ::pthread_kill(self, SIGUSR1);
            std::this_thread::yield();
        }
    });
    const auto until = w.drive().now() + 20ms;
    w.drive().poll(until);
    CHECK(w.drive().now() >= until);
    over.store(true);
    other.join();
    ::sigaction(SIGUSR1, &before, nullptr);
}

LARIAT_CONTRACT_TEST("a turn with a completion queued already does not wait") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.cancel(receiving);
    w.drive().poll(lariat::forever);
    CHECK(receiving.ended());
    CHECK(receiving.result() == -ECANCELED);
}

LARIAT_CONTRACT_TEST("in_flight counts what is submitted and not ended") {
    std::deque<recorded> waiting;
    std::string buffer(8, '\0');
    std::vector<int> far;
    for (std::size_t i = 0; i < 10; ++i) {
        const auto both = w.pair();
        far.push_back(both.second);
        w.start(waiting.emplace_back(receive(both.first, buffer)));
        CHECK(w.drive().stats().in_flight == i + 1);
    }
    for (std::size_t i = 0; i < 10; ++i) {
        w.put(far[i], "x");
        REQUIRE(w.finish(waiting[i]));
        CHECK(w.drive().stats().in_flight == 9 - i);
    }
}

LARIAT_CONTRACT_TEST("what nobody waits for does not end a wait") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.put(far, "x");
    REQUIRE(w.finish(receiving));
    w.settle();
    w.put(far, "nobody reads this");
    const auto until = w.drive().now() + 5ms;
    w.drive().poll(until);
    CHECK(w.drive().now() >= until);
}

LARIAT_CONTRACT_TEST("a completion may submit, also on the same descriptor") {
    const auto [near, far] = w.pair();
    struct chain : recorded {
        world& in;
        std::string buffer = std::string(1, '\0');
        std::string bytes;
        chain(world& where, int from) : recorded(op_code::recv, from), in(where) {
            address = buffer.data();
            length = 1;
            then = [](recorded& self) { static_cast<chain&>(self).go_on(); };
        }
        void go_on() {
            bytes += buffer;
            if (bytes.size() < 100 && in.drive().submit(*this)) note();
        }
    };
    chain reading(w, near);
    w.start(reading);
    w.put(far, std::string(100, 'c'));
    CHECK(w.run_until([&] { return reading.bytes.size() == 100; }));
    CHECK(reading.bytes == std::string(100, 'c'));
}

LARIAT_CONTRACT_TEST("a completion may cancel another op") {
    const auto [near, far] = w.pair();
    const auto [near2, far2] = w.pair();
    struct killer : recorded {
        world& in;
        recorded& victim;
        killer(world& where, recorded& other, recorded self)
            : recorded(std::move(self)), in(where), victim(other) {
            then = [](recorded& me) {
                auto& self_again = static_cast<killer&>(me);
                self_again.in.cancel(self_again.victim);
            };
        }
    };
    std::string buffer(8, '\0');
    std::string buffer2(8, '\0');
    recorded victim = receive(near2, buffer2);
    killer first(w, victim, receive(near, buffer));
    w.start(victim);
    w.start(first);
    w.put(far, "x");
    REQUIRE(w.finish(victim));
    CHECK(victim.result() == -ECANCELED);
    CHECK(first.result() == 1);
    CHECK(w.put(far2, "y") == 1);
    CHECK(w.take(near2) == "y");
}

LARIAT_CONTRACT_TEST("an op may be freed inside its last completion") {
    const auto [near, far] = w.pair();
    struct own : op {
        std::string buffer = std::string(4, '\0');
        int* freed;
        own(int from, int* count) : freed(count) {
            code = op_code::recv;
            fd = from;
            address = buffer.data();
            length = 4;
            complete = [](op& done) noexcept {
                auto* self = static_cast<own*>(&done);
                ++*self->freed;
                delete self;
            };
        }
    };
    int freed = 0;
    for (int i = 0; i < 50; ++i) {
        auto* fresh = new own(near, &freed);
        const bool cancels = i % 2 == 1;
        if (w.drive().submit(*fresh)) fresh->complete(*fresh);
        if (cancels && freed == i) w.drive().cancel(*fresh);
        if (!cancels && freed == i) w.put(far, "x");
        REQUIRE(w.run_until([&] { return freed == i + 1; }));
        w.take(near);
    }
}

LARIAT_CONTRACT_TEST("a thousand ops at once all complete, once") {
    std::deque<recorded> all;
    std::deque<std::string> buffers;
    std::vector<std::pair<int, int>> pairs;
    for (int i = 0; i < 100; ++i) pairs.push_back(w.pair());
    for (int i = 0; i < 1000; ++i) {
        buffers.emplace_back(1, '\0');
        w.start(all.emplace_back(
            receive(pairs[static_cast<std::size_t>(i % 100)].first, buffers.back())));
    }
    w.settle();
    const std::string ten = "0123456789";
    for (const auto& each : pairs) CHECK(w.put(each.second, ten) == 10);
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    std::vector<std::string> got(100);
    for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(all[i].seen.size() == 1);
        got[i % 100] += buffers[i];
    }
    for (std::string& each : got) {
        std::sort(each.begin(), each.end());
        CHECK(each == ten);
    }
}

LARIAT_CONTRACT_TEST("a turn enters the kernel about once") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.settle();
    const auto before = w.drive().stats().kernel_entries;
    for (int i = 0; i < 100; ++i) {
        receiving.seen.clear();
        w.start(receiving);
        w.put(far, "x");
        REQUIRE(w.finish(receiving));
    }
    // One that waits for readiness itself (an old kernel, or the first edge) needs one more.
    CHECK(w.drive().stats().kernel_entries - before <= 210);
}

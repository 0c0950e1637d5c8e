#include <lariat/task/timer_queue.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using lariat::duration;
using lariat::forever;
using lariat::time_point;
using lariat::timer_entry;
using lariat::timer_queue;

constexpr std::size_t no_limit = static_cast<std::size_t>(-1);
constexpr time_point start{1'000'000s};

/// A timer that writes its name into a list.
struct named_timer : timer_entry {
    named_timer(int own_name, std::vector<int>& own_log)
        : timer_entry(&named_timer::fired), name(own_name), log(&own_log) {}
    static void fired(timer_entry& self) noexcept {
        auto& mine = static_cast<named_timer&>(self);
        mine.was_armed = self.armed();
        mine.log->push_back(mine.name);
    }
    int name;
    std::vector<int>* log;
    bool was_armed = true;
};

/// A timer whose action may do anything.
template <class Action>
struct acting_timer : timer_entry {
    explicit acting_timer(Action wanted) : timer_entry(&acting_timer::fired), action(wanted) {}
    static void fired(timer_entry& self) noexcept { static_cast<acting_timer&>(self).action(); }
    Action action;
};

TEST_CASE("timer_queue: an empty queue waits for ever and fires nothing") {
    timer_queue queue;
    CHECK(queue.next() == forever);
    CHECK(queue.fire_due(start, no_limit) == 0);
    CHECK(queue.empty());
}

TEST_CASE("timer_queue: a timer fires at its deadline and not a nanosecond before") {
    std::vector<int> log;
    named_timer item(1, log);
    timer_queue queue(start);
    for (const duration delay : {0ns, 1ns, 127ns, 128ns, 65'537ns, 3'600'000'000'001ns}) {
        const time_point deadline = start + 10s + delay;
        queue.arm(item, deadline);
        CHECK(item.armed());
        CHECK(queue.size() == 1);
        CHECK(queue.next() == deadline);
        CHECK(queue.fire_due(deadline - 1ns, no_limit) == 0);
        CHECK(queue.next() == deadline);
        CHECK(queue.fire_due(deadline, no_limit) == 1);
        CHECK_FALSE(item.was_armed);
        CHECK_FALSE(item.armed());
        CHECK(queue.empty());
        CHECK(queue.next() == forever);
    }
}

TEST_CASE("timer_queue: by deadline, and equal deadlines in the order of arming") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log), c(3, log), d(4, log);
    timer_queue queue(start);
    queue.arm(a, start + 5ms);
    queue.arm(b, start + 3ms);
    queue.arm(c, start + 5ms);
    queue.fire_due(start + 4'900us, no_limit);  // `d` is armed from nearer by than `a` and `c`
    queue.arm(d, start + 5ms);
    queue.fire_due(start + 1s, no_limit);
    CHECK(log == std::vector{2, 1, 3, 4});
}

TEST_CASE("timer_queue: many equal deadlines keep the order of arming through every dealing") {
    std::vector<int> log;
    std::vector<std::unique_ptr<named_timer>> items;
    std::vector<int> expected;
    timer_queue queue;
    for (int i = 0; i < 1000; ++i) {
        items.push_back(std::make_unique<named_timer>(i, log));
        queue.arm(*items.back(), start + 100h + std::chrono::nanoseconds(i % 3));
    }
    for (int rest = 0; rest < 3; ++rest)
        for (int i = rest; i < 1000; i += 3) expected.push_back(i);
    for (auto now = start; now < start + 101h; now += 77min) queue.fire_due(now, no_limit);
    CHECK(log == expected);
}

TEST_CASE("timer_queue: a deadline in the past fires at once, in its place among the others") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log), c(3, log), d(4, log), e(5, log);
    timer_queue queue(start);
    queue.fire_due(start, no_limit);
    queue.arm(a, start + 1us);
    queue.arm(b, start - 1us);
    queue.arm(c, start - 1h);
    queue.arm(d, start - 1us);
    queue.arm(e, time_point::min());
    CHECK(queue.next() == time_point::min());
    CHECK(queue.fire_due(start, no_limit) == 4);
    CHECK(log == std::vector{5, 3, 2, 4});
    CHECK(queue.next() == start + 1us);
    queue.disarm(a);
}

TEST_CASE("timer_queue: overdue timers can be disarmed wherever they stand") {
    std::mt19937 random(7);
    std::vector<int> log;
    std::vector<std::unique_ptr<named_timer>> items;
    std::vector<std::pair<time_point, int>> expected;
    timer_queue queue(start);
    for (int i = 0; i < 500; ++i) {
        items.push_back(std::make_unique<named_timer>(i, log));
        queue.arm(*items.back(), start - std::chrono::seconds(1 + random() % 50));
    }
    queue.fire_due(start - 40s, 20);  // so the heap is no longer flat
    for (int i = 0; i < 500; ++i) {
        timer_entry& item = *items[static_cast<std::size_t>(i)];
        if (!item.armed()) continue;
        if (random() % 3 == 0)
            queue.disarm(item);
        else
            expected.emplace_back(item.deadline, i);
    }
    std::sort(expected.begin(), expected.end());
    log.clear();
    CHECK(queue.fire_due(start, no_limit) == expected.size());
    REQUIRE(log.size() == expected.size());
    for (std::size_t i = 0; i < log.size(); ++i) CHECK(log[i] == expected[i].second);
}

TEST_CASE("timer_queue: for ever is armed and never fires") {
    std::vector<int> log;
    named_timer never(1, log), last(2, log);
    timer_queue queue(start);
    queue.arm(never, forever);
    CHECK(never.armed());
    CHECK(queue.next() == forever);
    queue.arm(last, forever - 1ns);
    CHECK(queue.fire_due(forever, no_limit) == 1);
    CHECK(log == std::vector{2});
    CHECK(never.armed());
    queue.disarm(never);
    CHECK(queue.empty());
}

TEST_CASE("timer_queue: disarming twice, or what was never armed, does nothing") {
    std::vector<int> log;
    named_timer item(1, log);
    timer_queue queue(start);
    queue.disarm(item);
    queue.arm(item, start + 1s);
    queue.disarm(item);
    queue.disarm(item);
    CHECK(queue.size() == 0);
    CHECK(queue.fire_due(start + 2s, no_limit) == 0);
    CHECK(log.empty());
}

TEST_CASE("timer_queue: arming an armed timer moves it, behind its equals") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log);
    timer_queue queue(start);
    queue.arm(a, start + 1s);
    queue.arm(b, start + 1s);
    queue.arm(a, start + 1s);
    CHECK(queue.size() == 2);
    queue.fire_due(start + 1s, no_limit);
    CHECK(log == std::vector{2, 1});
}

TEST_CASE("timer_queue: the limit leaves the rest for the next call") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log), c(3, log);
    timer_queue queue(start);
    queue.arm(c, start + 3ms);
    queue.arm(a, start + 1ms);
    queue.arm(b, start + 2ms);
    CHECK(queue.fire_due(start + 1s, 2) == 2);
    CHECK(log == std::vector{1, 2});
    CHECK(queue.next() == start + 3ms);
    CHECK(queue.fire_due(start + 1s, 2) == 1);
    CHECK(queue.fire_due(start + 1s, 0) == 0);
}

TEST_CASE("timer_queue: a firing timer may arm itself, disarm and destroy others due with it") {
    std::vector<int> log;
    timer_queue queue(start);
    named_timer disarmed(1, log), moved(2, log), kept(3, log);
    auto destroyed = std::make_unique<named_timer>(4, log);
    int rounds = 0;
    std::optional<acting_timer<std::function<void()>>> actor;
    actor.emplace([&] {
        if (++rounds < 3) {
            queue.arm(*actor, start + 1ms);  // due in the same call
            return;
        }
        queue.disarm(disarmed);
        queue.arm(moved, start + 1h);
        queue.disarm(*destroyed);
        destroyed.reset();
    });
    queue.arm(*actor, start + 1ms);
    queue.arm(disarmed, start + 2ms);
    queue.arm(moved, start + 2ms);
    queue.arm(*destroyed, start + 2ms);
    queue.arm(kept, start + 2ms);
    CHECK(queue.fire_due(start + 1s, no_limit) == 4);
    CHECK(rounds == 3);
    CHECK(log == std::vector{3});
    CHECK(queue.next() == start + 1h);
    queue.disarm(moved);
}

TEST_CASE("timer_queue: time that goes back fires what is due then and nothing else") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log);
    timer_queue queue(start);
    queue.fire_due(start + 1h, no_limit);
    queue.arm(a, start + 1s);
    queue.arm(b, start + 2h);
    CHECK(queue.fire_due(start, no_limit) == 0);
    CHECK(queue.fire_due(start + 1s, no_limit) == 1);
    CHECK(queue.fire_due(start + 2h - 1ns, no_limit) == 0);
    CHECK(queue.fire_due(start + 2h, no_limit) == 1);
}

TEST_CASE("timer_queue: a queue that goes disarms what is left") {
    std::vector<int> log;
    named_timer a(1, log), b(2, log);
    {
        timer_queue queue(start);
        queue.arm(a, start + 1s);
        queue.arm(b, start - 1s);
    }
    CHECK_FALSE(a.armed());
    CHECK_FALSE(b.armed());
    CHECK(log.empty());
}

/// Does at random what users do, and the same to a multimap.
class model_run {
 public:
    explicit model_run(unsigned seed) : random_(seed), queue_(start) {
        for (std::size_t i = 0; i < items_.size(); ++i) {
            items_[i].emplace(static_cast<int>(i), log_);
            where_[i] = model_.end();
        }
    }

    void step() {
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
            case 3: arm(random_() % items_.size(), now_ + some_delay()); break;
            case 4: disarm(random_() % items_.size()); break;
            case 5: now_ += some_delay() / 2; break;
            case 6: now_ = std::max(now_, std::min(queue_.next(), now_ + 24h)); break;
            default: fire(random_() % 3 == 0 ? random_() % 20 : no_limit); break;
        }
        const time_point earliest = model_.empty() ? forever : model_.begin()->first;
        REQUIRE(queue_.size() == model_.size());
        REQUIRE(queue_.next() <= earliest);
        if (!disarmed_) REQUIRE(queue_.next() == earliest);
    }

    void finish() {
        for (std::size_t i = 0; i < items_.size(); ++i) disarm(i);
        CHECK(queue_.empty());
        CHECK(queue_.next() == forever);
    }

 private:
    using model = std::multimap<time_point, std::size_t>;  // equal keys keep their order

    duration some_delay() {
        // Every order of magnitude is as likely as the others; a few lie in the past.
        const auto bits = random_() % 45;
        const duration delay{static_cast<duration::rep>(wide_(random_) >> (63 - bits))};
        return random_() % 10 == 0 ? -delay : delay;
    }
    void forget(std::size_t i) {
        if (where_[i] != model_.end()) model_.erase(std::exchange(where_[i], model_.end()));
    }
    void arm(std::size_t i, time_point deadline) {
        if (where_[i] != model_.end()) disarmed_ = true;
        forget(i);
        where_[i] = model_.emplace(deadline, i);
        queue_.arm(*items_[i], deadline);
    }
    void disarm(std::size_t i) {
        if (where_[i] != model_.end()) disarmed_ = true;
        forget(i);
        queue_.disarm(*items_[i]);
    }
    void fire(std::size_t limit) {
        std::vector<int> expected;
        while (expected.size() < limit && !model_.empty() && model_.begin()->first <= now_) {
            const std::size_t i = model_.begin()->second;
            expected.push_back(static_cast<int>(i));
            forget(i);
        }
        log_.clear();
        REQUIRE(queue_.fire_due(now_, limit) == expected.size());
        REQUIRE(log_ == expected);
        if (queue_.empty()) disarmed_ = false;
    }

    std::mt19937_64 random_;
    std::uniform_int_distribution<std::uint64_t> wide_{0, ~std::uint64_t{0} >> 1};
    std::vector<int> log_;
    std::array<std::optional<named_timer>, 300> items_;
    timer_queue queue_;
    time_point now_ = start;
    model model_;
    std::array<model::iterator, 300> where_;
    bool disarmed_ = false;  // since the queue was last empty
};

TEST_CASE("timer_queue: does what a multimap would, whatever is armed, disarmed and fired") {
    const unsigned seeds = std::getenv("LARIAT_TEST_LONG") != nullptr ? 200 : 10;
    for (unsigned seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        model_run run(seed);
        for (int i = 0; i < 5000; ++i) run.step();
        run.finish();
    }
}

TEST_CASE("timer_queue: after a disarming, each wake-up too early brings the true time nearer") {
    std::vector<int> log;
    named_timer early(1, log), late(2, log);
    timer_queue queue(start);
    queue.arm(early, start + 10s);
    queue.arm(late, start + 10s + 900ms);
    queue.disarm(early);
    int wakeups = 0;
    while (!queue.empty()) {
        const time_point now = queue.next();
        REQUIRE(now <= late.deadline);
        queue.fire_due(now, no_limit);
        ++wakeups;
    }
    CHECK(wakeups <= 2);
}

struct counted_timer : timer_entry {
    counted_timer() : timer_entry(&counted_timer::fired) {}
    static void fired(timer_entry& self) noexcept {
        const bool after = last == nullptr || self.deadline > last->deadline ||
                           (self.deadline == last->deadline && &self > last);
        in_order = in_order && after && self.deadline <= now;
        last = &self;
    }
    static inline bool in_order = true;
    static inline const timer_entry* last =
        nullptr;  // of the same array, armed from its front to its end
    static inline time_point now = time_point::min();
};

TEST_CASE("timer_queue: a million timers fire in order, none early, and as many can be disarmed") {
    constexpr std::size_t count = 1'000'000;
    std::mt19937_64 random(11);
    const auto items = std::make_unique<counted_timer[]>(count);
    timer_queue queue(start);
    for (std::size_t i = 0; i < count; ++i)
        queue.arm(items[i], start + std::chrono::microseconds(random() % 100'000));
    CHECK(queue.size() == count);
    for (std::size_t i = 0; i < count; i += 2) queue.disarm(items[i]);
    CHECK(queue.size() == count / 2);
    std::size_t fired = 0;
    for (time_point now = start; !queue.empty(); now += 333us) {
        counted_timer::now = now;
        fired += queue.fire_due(now, no_limit);
        REQUIRE(queue.next() > now);
    }
    CHECK(fired == count / 2);
    CHECK(counted_timer::in_order);
}

}  // namespace

#include "loop/brief_spin.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using lariat::duration;
using lariat::time_point;
using lariat::detail::brief_spin;

/// Plays waits on a clock of its own: the loop looks every microsecond, until it is told to sleep.
class waits {
 public:
    /// How long it looked for news before it slept, if those came after `length`.
    duration looked(duration length) {
        const time_point begun = now_;
        const time_point news = begun + length;
        bool progressed = true;
        while (now_ < news) {
            if (!spin_.looks_again(now_, progressed)) {
                const duration awake = now_ - begun;
                now_ = news;
                spin_.woke(now_);
                now_ += 5us;  // what it then does
                return awake;
            }
            progressed = false;
            now_ += 1us;
        }
        now_ += 5us;
        return length;
    }

 private:
    brief_spin spin_;
    time_point now_{1h};
};

TEST_CASE("brief_spin: what comes soon finds the loop awake") {
    waits loop;
    for (int i = 0; i < 1000; ++i) CHECK(loop.looked(20us) == 20us);
}

TEST_CASE("brief_spin: it looks no longer than it says") {
    waits loop;
    CHECK(loop.looked(1s) == brief_spin::longest);
}

TEST_CASE("brief_spin: after three long waits it sleeps at once, however many follow") {
    waits loop;
    for (int i = 0; i < 1000; ++i) (void)loop.looked(20us);
    for (int i = 0; i < 3; ++i) CHECK(loop.looked(10ms) == brief_spin::longest);
    for (int i = 0; i < 1000; ++i) CHECK(loop.looked(10ms) == 0us);
}

TEST_CASE("brief_spin: one long wait among short ones changes nothing") {
    waits loop;
    for (int i = 0; i < 100; ++i) {
        for (int each = 0; each < 8; ++each) CHECK(loop.looked(50us) == 50us);
        CHECK(loop.looked(1h) == brief_spin::longest);
    }
}

TEST_CASE("brief_spin: a wait that is old already keeps nobody awake") {
    brief_spin spin;
    const time_point begun{1h};
    CHECK(spin.looks_again(begun, true));
    CHECK(spin.looks_again(begun + 199us, false));
    CHECK_FALSE(spin.looks_again(begun + 200us, false));
    for (int other_work = 0; other_work < 100; ++other_work)
        CHECK_FALSE(spin.looks_again(begun + 1s + other_work * 10us, false));
}

TEST_CASE("brief_spin: when its sleeps have become short it stays awake again") {
    waits loop;
    for (int i = 0; i < 10; ++i) (void)loop.looked(10ms);
    int slept = 0;
    while (loop.looked(150us) == 0us) ++slept;
    CHECK(slept > 0);
    CHECK(slept < 20);
    for (int i = 0; i < 100; ++i) CHECK(loop.looked(150us) == 150us);
}

}  // namespace

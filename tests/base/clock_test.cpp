#include <lariat/base/clock.hpp>

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using lariat::clock;
using lariat::duration;
using lariat::forever;
using lariat::no_wait;
using lariat::saturating_add;
using lariat::time_point;

TEST_CASE("clock: it is steady and counts nanoseconds") {
    CHECK(clock::is_steady);
    CHECK(std::chrono::duration_cast<std::chrono::nanoseconds>(duration(1)) == 1ns);
    const time_point before = clock::now();
    CHECK(clock::now() >= before);
}

TEST_CASE("clock: a sum within reach is the sum") {
    constexpr time_point start{100s};
    static_assert(saturating_add(start, 5s) == start + 5s);
    CHECK(saturating_add(start, -200s) == start - 200s);
    CHECK(saturating_add(start, 0s) == start);
}

TEST_CASE("clock: a sum out of reach is for ever, or no wait at all") {
    constexpr time_point start{100s};
    CHECK(saturating_add(start, duration::max()) == forever);
    CHECK(saturating_add(forever, 1ns) == forever);
    CHECK(saturating_add(forever - 1ns, 1ns) == forever);
    CHECK(saturating_add(forever - 1ns, 2ns) == forever);
    CHECK(saturating_add(forever, -1ns) == forever - 1ns);
    CHECK(saturating_add(time_point(-100s), duration::min()) == no_wait);
    CHECK(saturating_add(no_wait, -1ns) == no_wait);
    CHECK(saturating_add(no_wait, 1ns) == no_wait + 1ns);
    CHECK(saturating_add(no_wait, duration::max()) == time_point(-1ns));
}

}  // namespace

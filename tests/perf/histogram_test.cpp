#include "histogram.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using echo_load::latency_histogram;

TEST_CASE("latency_histogram: empty, every answer is zero") {
    const latency_histogram none;
    CHECK(none.count() == 0);
    CHECK(none.max() == 0);
    CHECK(none.quantile(0.5) == 0);
    CHECK(none.quantile(1.0) == 0);
}

TEST_CASE("latency_histogram: small values are exact") {
    latency_histogram seen;
    for (int value = 1; value <= 100; ++value) seen.record(value);
    CHECK(seen.quantile(0.0) == 1);
    CHECK(seen.quantile(0.5) == 50);
    CHECK(seen.quantile(0.99) == 99);
    CHECK(seen.quantile(1.0) == 100);
    CHECK(seen.count() == 100);
}

TEST_CASE("latency_histogram: every quantile is at most 1/64 above the sorted truth") {
    std::mt19937_64 random(7);
    std::vector<std::uint64_t> values;
    latency_histogram seen;
    for (int i = 0; i < 20'000; ++i) {
        values.push_back(random() >> (24 + random() % 40));
        seen.record(static_cast<std::int64_t>(values.back()));
    }
    std::sort(values.begin(), values.end());
    for (const double fraction : {0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
        const auto rank = static_cast<std::size_t>(fraction * double(values.size()) + 0.999999);
        const std::uint64_t truth = values[std::max<std::size_t>(rank, 1) - 1];
        const std::uint64_t answer = seen.quantile(fraction);
        CAPTURE(fraction);
        CHECK(answer >= truth);
        CHECK(answer <= truth + truth / 64);
    }
    CHECK(seen.max() == values.back());
}

TEST_CASE("latency_histogram: bucket borders count upwards without a gap") {
    for (int power = 1; power < 40; ++power) {
        const std::int64_t border = std::int64_t(1) << power;
        for (const std::int64_t value : {border - 1, border, border + 1}) {
            latency_histogram seen;
            seen.record(value);
            seen.record(std::int64_t(1) << 40);
            CAPTURE(value);
            CHECK(seen.quantile(0.5) >= std::uint64_t(value));
            CHECK(seen.quantile(0.5) <= std::uint64_t(value + value / 64));
        }
    }
}

TEST_CASE("latency_histogram: values out of range are counted at its ends") {
    latency_histogram seen;
    seen.record(-5);
    CHECK(seen.quantile(1.0) == 0);
    seen.record(std::int64_t(1) << 62);
    CHECK(seen.max() == std::uint64_t(1) << 40);
    CHECK(seen.quantile(1.0) == std::uint64_t(1) << 40);
    seen.reset();
    CHECK(seen.count() == 0);
    CHECK(seen.quantile(1.0) == 0);
}

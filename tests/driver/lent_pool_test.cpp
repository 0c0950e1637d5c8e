#include "driver/lent_pool.hpp"

#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

using lariat::detail::lent_pool;

namespace {

lariat::driver_options limits(std::uint32_t bytes, std::uint32_t count) {
    lariat::driver_options options;
    options.lent_buffer_bytes = bytes;
    options.lent_buffer_count = count;
    return options;
}

lent_pool make(std::uint32_t bytes, std::uint32_t count) { return lent_pool(limits(bytes, count)); }

}  // namespace

TEST_CASE("lent pool: receives share a buffer, one behind the other") {
    lent_pool pool = make(1024, 2);
    const lent_pool::space first = pool.room();
    CHECK(first.bytes == 1024);
    pool.lend(100);
    const lent_pool::space second = pool.room();
    CHECK(second.at == first.at + 100);
    CHECK(second.bytes == 924);
    CHECK(second.name == first.name);
    pool.lend(1);
    CHECK(pool.leases() == 2);
    pool.give_back(first.name);
    pool.give_back(second.name);
    CHECK(pool.leases() == 0);
}

TEST_CASE("lent pool: a buffer starts again when its last lease is back, not before") {
    lent_pool pool = make(1024, 1);
    const lent_pool::space first = pool.room();
    pool.lend(100);
    pool.lend(200);
    CHECK(!pool.give_back(first.name));
    CHECK(pool.room().at == first.at + 300);
    CHECK(pool.give_back(first.name));
    CHECK(pool.room().at == first.at);
    CHECK(pool.room().bytes == 1024);
}

TEST_CASE(
    "lent pool: a nearly full buffer is left for a fresh one, and used up when there is none") {
    lent_pool pool = make(1024, 2);
    const lent_pool::space first = pool.room();
    pool.lend(1000);
    const lent_pool::space second = pool.room();
    CHECK(second.name != first.name);
    CHECK(second.bytes == 1024);
    pool.lend(1000);
    CHECK(pool.room().name == second.name);
    CHECK(pool.room().bytes == 24);
    pool.lend(24);
    CHECK(pool.room().bytes == 0);
    CHECK(pool.give_back(first.name));
    CHECK(pool.room().at == first.at);
    CHECK(!pool.give_back(second.name));
    CHECK(pool.give_back(second.name));
}

TEST_CASE("lent pool: names and memory of all leases are distinct, sizes are powers of two") {
    lent_pool pool = make(1000, 3);  // 1024 and 4
    std::vector<lent_pool::space> out;
    for (int i = 0; i < 4; ++i) {
        out.push_back(pool.room());
        REQUIRE(out.back().bytes == 1024);
        std::memset(out.back().at, 'a' + i, 1024);
        pool.lend(1024);
    }
    CHECK(pool.room().bytes == 0);
    for (std::size_t i = 0; i < out.size(); ++i) {
        CHECK(out[i].at[1023] == static_cast<std::byte>('a' + i));
        CHECK(pool.give_back(out[i].name));
    }
}

TEST_CASE("lent pool: sizes beyond reason are the nearest within it") {
    constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    const lariat::detail::lent_sizes large(limits(most, most));
    CHECK(large.bytes == 1U << 30);
    CHECK(large.count == 1U << 15);
    const lariat::detail::lent_sizes small(limits(0, 0));
    CHECK(small.bytes == 64);
    CHECK(small.count == 1);
    lent_pool pool = make(0, 0);
    CHECK(pool.room().bytes == 64);
}

#include "driver/spare_blocks.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using lariat::detail::lent_piece;
using lariat::detail::spare_blocks;

namespace {

spare_blocks make(std::uint64_t limit) {
    lariat::driver_options options;
    options.lent_spare_bytes = limit;
    return spare_blocks(options);
}

lent_piece receive(spare_blocks& blocks, const std::string& bytes) {
    const auto room = blocks.room();
    REQUIRE(room.bytes >= bytes.size());
    std::memcpy(room.at, bytes.data(), bytes.size());
    return blocks.lend(static_cast<std::uint32_t>(bytes.size()));
}

}  // namespace

TEST_CASE("spare blocks: each holds what came, until it is given back, in any order") {
    spare_blocks blocks = make(~std::uint64_t{0});
    std::vector<lent_piece> out;
    std::vector<std::string> sent;
    for (std::size_t i = 0; i < 200; ++i) {
        const std::size_t size = i % 5 == 4 ? spare_blocks::scratch_bytes : 1 + i * 37;
        sent.emplace_back(size, static_cast<char>(i));
        out.push_back(receive(blocks, sent.back()));
        CHECK(spare_blocks::names(out.back().name));
    }
    CHECK(blocks.lent() == 200);
    for (std::size_t n = 0; n < 200; ++n) {
        const std::size_t i = n * 77 % 200;
        CHECK(std::memcmp(out[i].address, sent[i].data(), sent[i].size()) == 0);
        blocks.give_back(out[i].name);
    }
    CHECK(blocks.lent() == 0);
}

TEST_CASE("spare blocks: a small message does not hold a large block: the limit counts its bytes") {
    spare_blocks blocks = make(100);
    CHECK(blocks.room().bytes == 100);
    const lent_piece first = receive(blocks, std::string(60, 'a'));
    CHECK(blocks.room().bytes == 40);
    const lent_piece second = receive(blocks, std::string(40, 'b'));
    CHECK(blocks.room().bytes == 0);
    blocks.give_back(first.name);
    CHECK(blocks.room().bytes == 60);
    blocks.give_back(second.name);
    CHECK(blocks.room().bytes == 100);
}

TEST_CASE("spare blocks: none are lent where none are wanted") {
    spare_blocks blocks = make(0);
    CHECK(blocks.room().bytes == 0);
    CHECK(blocks.lent() == 0);
}

TEST_CASE("spare blocks: names are used again") {
    spare_blocks blocks = make(~std::uint64_t{0});
    const lent_piece first = receive(blocks, "one");
    blocks.give_back(first.name);
    const lent_piece second = receive(blocks, "two");
    CHECK(second.name == first.name);
    blocks.give_back(second.name);
}

// What a pool and a worker share, step by step.
#include "process/pool_board.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>

namespace {

using namespace lariat::detail;

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
answer_header head_of(std::uint64_t id, const std::string& text) {
    answer_header head;
    head.id = id;
    head.slot = 3;
    head.bytes = text.size();
    return head;
}

struct board_of_a_test {
    std::unique_ptr<pool_board> board{new pool_board()};
    answer_header head;
    std::span<const std::byte> body;
    bool damaged = false;

    bool look() { return board->look(head, body, damaged); }
    std::string text() const { return {reinterpret_cast<const char*>(body.data()), body.size()}; }
};

TEST_CASE_FIXTURE(board_of_a_test, "pool board: a call is begun or withdrawn, never both") {
    board->place(1, 10);
    CHECK(!board->has_begun(1, 10));
    CHECK(board->begin(1, 10));
    CHECK(board->has_begun(1, 10));
    CHECK(!board->withdraw(1, 10));
    board->clear(1);
    board->place(1, 11);
    CHECK(board->withdraw(1, 11));
    CHECK(!board->begin(1, 11));
    board->place(1, 12);
    CHECK(!board->begin(1, 11));
    CHECK(board->begin(1, 12));
    CHECK(!board->begin(1, 12));
}

TEST_CASE_FIXTURE(board_of_a_test, "pool board: answers come in order, round and round the ring") {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    const auto body_of = [](std::uint64_t n) {
        return std::string(n * 37 % 4000, char('a' + n % 26));
    };
    while (read < 2000) {
        while (written < 2000) {
            const std::string text = body_of(written);
            if (!board->publish(head_of(written + 1, text), bytes_of(text))) break;
            ++written;
        }
        CHECK(written > read);
        for (int i = 0; i < 7 && read < written; ++i, ++read) {
            REQUIRE(look());
            CHECK(head.id == read + 1);
            CHECK(text() == body_of(read));
            board->drop();
        }
    }
    CHECK(!look());
    CHECK(!damaged);
}

TEST_CASE_FIXTURE(board_of_a_test, "pool board: what is too long does not go in") {
    const std::string fits(pool_board::most_bytes, 'x');
    CHECK(board->publish(head_of(1, fits), bytes_of(fits)));
    const std::string longer(pool_board::most_bytes + 1, 'x');
    CHECK(!board->publish(head_of(2, longer), bytes_of(longer)));
    REQUIRE(look());
    CHECK(text() == fits);
}

TEST_CASE_FIXTURE(board_of_a_test, "pool board: the bell is heard once") {
    CHECK(!board->take_ring());
    CHECK(board->ring());
    CHECK(!board->ring());
    CHECK(board->take_ring());
    CHECK(!board->take_ring());
    CHECK(board->ring());
}

TEST_CASE_FIXTURE(board_of_a_test, "pool board: a senseless answer is told from a right one") {
    answer_header wrong = head_of(1, "");
    wrong.bytes = 3000;  // none of which was written
    CHECK(board->publish(wrong, {}));
    CHECK(!look());
    CHECK(damaged);
}

}  // namespace

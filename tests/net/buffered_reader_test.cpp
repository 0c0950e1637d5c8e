#include <lariat/net/buffered_reader.hpp>

#include "death.hpp"
#include "heap_fault.hpp"
#include "net_support.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace net_test;

namespace {

/// A stream of set pieces: what a reader makes of any split is then seen one by one.
class pieces {
 public:
    explicit pieces(std::vector<std::string> parts, std::error_code last = {})
        : parts_(std::move(parts)), last_(last) {}

    [[nodiscard]] verb<std::size_t> read_some(mutable_bytes room) {
        ++reads;
        largest_room = std::max(largest_room, room.size());
        return {next(room), "reading"};
    }

    std::size_t reads = 0;
    std::size_t largest_room = 0;

 private:
    task<result<std::size_t>> next(mutable_bytes room) {
        co_await yield_now();
        if (at_ == parts_.size()) {
            if (last_) co_return last_;
            co_return std::size_t{0};
        }
        std::string& part = parts_[at_];
        const std::size_t count = std::min(part.size(), room.size());
        std::memcpy(room.data(), part.data(), count);
        part.erase(0, count);
        if (part.empty()) ++at_;
        co_return count;
    }

    std::vector<std::string> parts_;
    std::error_code last_;
    std::size_t at_ = 0;
};

std::vector<std::string> split(const std::string& text, std::uint64_t seed, std::size_t largest) {
    std::mt19937_64 random(seed);
    std::vector<std::string> parts;
    for (std::size_t at = 0; at < text.size();) {
        parts.push_back(text.substr(at, random() % largest + 1));
        at += parts.back().size();
    }
    return parts;
}

template <class Stream>
task<std::vector<std::string>> all_lines(buffered_reader<Stream>& reader) {
    std::vector<std::string> lines;
    for (;;) {
        std::optional<std::string> line = co_await reader.read_line();
        if (!line) co_return lines;
        lines.push_back(std::move(*line));
    }
}

}  // namespace

TEST_CASE("buffered_reader: lines, with and without their last line end, in any pieces") {
    on_loop([]() -> task<> {
        const std::string text =
            "one\r\ntwo\n\n\r\nwith\rinside\n" + std::string(9000, 'x') + "\nlast";
        const std::vector<std::string> expected{
            "one", "two", "", "", "with\rinside", std::string(9000, 'x'), "last"};
        for (const std::size_t largest : {1UL, 2UL, 5UL, 700UL, 20'000UL}) {
            pieces stream(split(text, largest, largest));
            buffered_reader reader(stream);
            const auto lines = co_await all_lines(reader);
            CHECK(lines == expected);
            const auto none = co_await reader.read_line();
            CHECK_FALSE(none.has_value());
        }
    });
}

TEST_CASE("buffered_reader: a delimiter is found across pieces") {
    on_loop([]() -> task<> {
        const std::string text = "aabaab--ab-aa----b--rest";
        for (std::uint64_t seed = 0; seed < 40; ++seed) {
            pieces stream(split(text, seed, 3));
            buffered_reader reader(stream);
            const std::string first = co_await reader.read_until("--");
            CHECK(first == "aabaab--");
            const std::string second = co_await reader.read_until("aa--");
            CHECK(second == "ab-aa--");
            const std::string third = co_await reader.read_until("b--");
            CHECK(third == "--b--");
            const auto end = co_await nothrow(reader.read_until("--"));
            CHECK(end.error() == errc::incomplete);
            CHECK(reader.buffered() == "rest");  // nothing is lost
        }
    });
}

TEST_CASE("buffered_reader: exact counts, small and beyond the limit") {
    on_loop([]() -> task<> {
        const std::string text = pattern(0, 300'000);
        pieces stream(split(text, 3, 9000));
        buffered_reader reader(stream, 1000);
        const std::string head = co_await reader.read_exactly(std::size_t{10});
        CHECK(head == text.substr(0, 10));
        const std::string large = co_await reader.read_exactly(std::size_t{200'000});
        CHECK(large == text.substr(10, 200'000));
        std::string room(50, '\0');
        const mutable_bytes view(room);
        co_await reader.read_exactly(view);
        CHECK(room == text.substr(200'010, 50));
        const std::string none = co_await reader.read_exactly(std::size_t{0});
        CHECK(none.empty());
        const auto beyond = co_await nothrow(reader.read_exactly(std::size_t{100'000}));
        CHECK(beyond.error() == errc::incomplete);
        const std::size_t left = text.size() - 200'060;
        const std::string rest = co_await reader.read_exactly(left);
        CHECK(rest == text.substr(200'060));
    });
}

TEST_CASE("buffered_reader: an exception for a stream that ends too early says how much had come") {
    on_loop([]() -> task<> {
        pieces stream({"ab", "cde"});
        buffered_reader reader(stream);
        std::string room(8, '\0');
        const auto complaint = [](auto verb) -> task<std::string> {
            try {
                (void)co_await std::move(verb);
            } catch (const incomplete_read& error) {
                CHECK(error.received() == 5);
                co_return error.what();
            }
            co_return "nothing";
        };
        const std::string counted = co_await complaint(reader.read_exactly(std::size_t{7}));
        CHECK(counted.rfind("reading exactly 7 bytes (5 bytes had come)", 0) == 0);
        const auto view = co_await nothrow(reader.read_exactly(mutable_bytes(room)));
        CHECK(view.error() == errc::incomplete);
        const std::string delimited = co_await complaint(reader.read_until("\n"));
        CHECK(delimited.rfind("reading up to a delimiter (5 bytes had come)", 0) == 0);
        CHECK(reader.buffered() == "abcde");
        auto filling = reader.read_exactly(mutable_bytes(room));
        bool thrown = false;
        try {
            co_await timeout(5s, std::move(filling));
        } catch (const incomplete_read& error) {
            thrown = error.received() == 5;
        }
        CHECK(thrown);
    });
}

TEST_CASE("buffered_reader: a line or stretch over the limit is limit_error, however it comes") {
    on_loop([]() -> task<> {
        const std::string text = "short\n" + std::string(50, 'x') + "\nafter\n";
        for (const std::size_t largest : {1UL, 7UL, 100UL}) {
            pieces stream(split(text, largest, largest));
            buffered_reader reader(stream, 20);
            const auto first = co_await reader.read_line();
            CHECK(first == "short");
            for (int i = 0; i < 2; ++i) {  // and it stays so
                const auto line = co_await nothrow(reader.read_line());
                CHECK(line.error() == errc::limit);
                const auto stretch = co_await nothrow(reader.read_until("\n"));
                CHECK(stretch.error() == errc::limit);
            }
            const std::string over = co_await reader.read_exactly(std::size_t{51});
            CHECK(over == std::string(50, 'x') + "\n");
            const auto after = co_await reader.read_line();
            CHECK(after == "after");
        }
    });
}

TEST_CASE("buffered_reader: a line of exactly the limit, its end counted, is within it") {
    on_loop([]() -> task<> {
        for (const std::size_t largest : {1UL, 3UL, 100UL}) {
            pieces stream(split("123456789\n123456789\r\n", largest, largest));
            buffered_reader reader(stream, 10);
            const auto line = co_await reader.read_line();
            CHECK(line == "123456789");
            const auto over = co_await nothrow(reader.read_line());
            CHECK(over.error() == errc::limit);
        }
    });
}

TEST_CASE("buffered_reader: peek leaves what it shows, and read_some takes what is there first") {
    on_loop([]() -> task<> {
        pieces stream({"ab", "cd", "ef"});
        buffered_reader reader(stream);
        const std::string_view one = co_await reader.peek();
        CHECK(one == "ab");
        const std::string_view three = co_await reader.peek(3);
        CHECK(three == "abcd");
        std::string room(3, '\0');
        const std::size_t got = co_await reader.read_some(room);
        CHECK(room.substr(0, got) == "abc");
        const std::size_t rest = co_await reader.read_some(room);
        CHECK(room.substr(0, rest) == "d");
        const std::string_view end = co_await reader.peek(10);
        CHECK(end == "ef");
        const std::string last = co_await reader.read_exactly(std::size_t{2});
        CHECK(last == "ef");
        const std::string_view none = co_await reader.peek();
        CHECK(none.empty());
        const std::size_t nothing = co_await reader.read_some(room);
        CHECK(nothing == 0);
    });
}

TEST_CASE("buffered_reader: the stream's error comes after the bytes before it") {
    on_loop([]() -> task<> {
        pieces stream({"one\ntw"}, std::make_error_code(std::errc::connection_reset));
        buffered_reader reader(stream);
        const auto line = co_await reader.read_line();
        CHECK(line == "one");
        const auto failed = co_await nothrow(reader.read_line());
        CHECK(failed.error() == std::errc::connection_reset);
        CHECK(reader.buffered() == "tw");
    });
}

TEST_CASE("buffered_reader: verbs that are cut at any moment lose nothing") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto sending = spawn(
            [](tcp_stream& to) -> task<> {
                std::mt19937_64 random(21);
                for (int i = 0; i < 3000; ++i) {
                    std::string line(random() % 60, static_cast<char>('a' + i % 26));
                    line += "\n";
                    const std::size_t half = random() % line.size();
                    co_await to.write_all(line.substr(0, half));
                    co_await turns(static_cast<int>(random() % 3));
                    co_await to.write_all(line.substr(half));
                }
                to.shutdown();
            },
            std::ref(both.near));
        buffered_reader reader(both.far);
        std::mt19937_64 expected(21);
        std::mt19937_64 random(22);
        int count = 0;
        for (;;) {
            const auto limit = std::chrono::microseconds(random() % 30);
            auto reading = reader.read_line();
            auto line = co_await nothrow(timeout(limit, std::move(reading)));
            if (!line) continue;
            if (!line->has_value()) break;
            const std::string wanted(expected() % 60, static_cast<char>('a' + count % 26));
            CHECK(**line == wanted);
            (void)expected();
            (void)expected();
            ++count;
        }
        CHECK(count == 3000);
        co_await sending;
    });
}

TEST_CASE("buffered_reader: a count that a peer has chosen costs no memory before the bytes come") {
    on_loop([]() -> task<> {
        const std::string text = pattern(0, 10'000);
        pieces stream(split(text, 1, 5000));
        buffered_reader reader(stream, 6000);
        const auto huge = co_await nothrow(reader.read_exactly(std::size_t{1} << 45));
        CHECK(huge.error() == errc::incomplete);
        CHECK(stream.largest_room <= 6000);
        CHECK(reader.buffered() == text);
        const std::string got = co_await reader.read_exactly(text.size());
        CHECK(got == text);
    });
}

TEST_CASE("buffered_reader: exact counts around the limit, into a string and into room") {
    on_loop([]() -> task<> {
        const std::string text = pattern(0, 60'000);
        for (const std::size_t largest : {1000UL, 5000UL, 50'000UL}) {
            pieces stream(split(text, largest, largest));
            buffered_reader reader(stream, 8000);
            std::size_t at = 0;
            for (const std::size_t count : {1UL, 7999UL, 8000UL, 8001UL, 0UL, 20'000UL}) {
                const std::string got = co_await reader.read_exactly(count);
                CHECK(matching(at, got.data(), count) == got.size());
                at += count;
                std::string room(count / 10 * 3, '\0');
                co_await reader.read_exactly(mutable_bytes(room));
                CHECK(matching(at, room.data(), room.size()) == room.size());
                at += room.size();
            }
            const std::string rest = co_await reader.read_exactly(text.size() - at);
            CHECK(matching(at, rest.data(), rest.size()) == text.size() - at);
        }
    });
}

task<> cut_after_turns(cancel_scope& scope) {
    co_await turns(20);
    scope.cancel();
}

TEST_CASE(
    "buffered_reader: what an exact read is cut in, or breaks off in, is there for the next") {
    const std::string text = pattern(0, 50'000);
    for (const bool into_room : {false, true}) {
        on_loop([into_room, &text]() -> task<> {
            ends both = co_await connected();
            buffered_reader reader(both.far, 4096);
            std::string room(text.size() + 1, '\0');
            const auto read = [&]() -> task<std::error_code> {
                if (into_room) {
                    auto filling = reader.read_exactly(mutable_bytes(room));
                    const auto got = co_await nothrow(std::move(filling));
                    co_return got.error();
                }
                auto reading = reader.read_exactly(room.size());
                const auto got = co_await nothrow(std::move(reading));
                co_return got.error();
            };
            for (const std::size_t half : {0UL, 25'000UL}) {
                const std::string part = text.substr(half, 25'000);
                co_await both.near.write_all(part);
                // Again, if it was cut before all of that was there.
                for (int cuts = 0; cuts < 1000 && reader.buffered().size() < half + 25'000;
                     ++cuts) {
                    cancel_scope scope;
                    auto cutter = spawn(cut_after_turns(scope));
                    auto reading = scope.run(read());
                    const auto ended = co_await std::move(reading);
                    CHECK(!ended);
                    co_await cutter;
                    CHECK(reader.buffered() == text.substr(0, reader.buffered().size()));
                }
                CHECK(reader.buffered() == text.substr(0, half + 25'000));
            }
            both.near.shutdown();
            auto broken_off = read();
            const std::error_code second = co_await std::move(broken_off);
            CHECK(second == errc::incomplete);
            CHECK(reader.buffered() == text);
            const std::string all = co_await reader.read_exactly(text.size());
            CHECK(all == text);
        });
    }
}

TEST_CASE("buffered_reader: a buffer that had to grow over the limit is within it again") {
    on_loop([]() -> task<> {
        pieces stream(split(std::string(20'000, 'x') + "\n", 1, 3000));
        buffered_reader reader(stream, 5000);
        std::string room(30'000, '\0');
        const auto none = co_await nothrow(reader.read_exactly(mutable_bytes(room)));
        CHECK(none.error() == errc::incomplete);
        const auto line = co_await nothrow(reader.read_line());
        CHECK(line.error() == errc::limit);
        const std::string all = co_await reader.read_exactly(std::size_t{20'001});
        CHECK(all.back() == '\n');
        stream.largest_room = 0;
        const auto end = co_await reader.read_line();
        CHECK_FALSE(end.has_value());
        CHECK(stream.largest_room <= 5000);
    });
}

TEST_CASE("buffered_reader: without memory to keep what a room was cut in, it says so" *
          doctest::skip(!lariat::test::heap_fault::strikes)) {
    on_loop([]() -> task<> {
        pieces stream({std::string(20'000, 'x')});
        buffered_reader reader(stream, 5000);
        std::string room(30'000, '\0');
        const lariat::test::heap_fault no_room(20'001);
        auto filling = reader.read_exactly(mutable_bytes(room));
        CHECK_THROWS_AS(co_await std::move(filling), std::bad_alloc);
    });
}

TEST_CASE("buffered_reader: what was read ahead goes along when it is moved") {
    on_loop([]() -> task<> {
        pieces stream({"one\ntwo\n"});
        buffered_reader first(stream);
        const auto one = co_await first.read_line();
        CHECK(one == "one");
        buffered_reader second(std::move(first));
        CHECK(first.buffered().empty());
        const auto two = co_await second.read_line();
        CHECK(two == "two");
    });
}

TEST_CASE("buffered_reader: misuse stops with the rule") {
    CHECK(lariat::test::stops_with("a delimiter of at least one byte", [] {
        lariat::run([]() -> task<> {
            pieces stream({"x"});
            buffered_reader reader(stream);
            (void)co_await reader.read_until("");
        }());
    }));
    CHECK(lariat::test::stops_with("further than the reader's limit", [] {
        lariat::run([]() -> task<> {
            pieces stream({"x"});
            buffered_reader reader(stream, 10);
            (void)co_await reader.peek(11);
        }());
    }));
}

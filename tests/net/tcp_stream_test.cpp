#include <lariat/net/tcp_stream.hpp>

#include "death.hpp"
#include "net_support.hpp"

#include <lariat/task/gather.hpp>
#include <lariat/task/timeout.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

using namespace net_test;
using lariat::test::stops_with;

namespace {

static_assert(!std::is_copy_constructible_v<tcp_stream>);
static_assert(std::is_nothrow_move_constructible_v<tcp_stream>);
static_assert(std::is_nothrow_move_assignable_v<tcp_stream>);

/// Sends so many bytes of the pattern in pieces of random sizes, then shuts down.
task<> send_pattern(tcp_stream& to, std::uint64_t count, std::uint64_t seed, std::size_t largest) {
    std::mt19937_64 random(seed);
    std::uint64_t sent = 0;
    while (sent < count) {
        const std::uint64_t left = count - sent;
        const auto size = static_cast<std::size_t>(std::min(left, random() % largest + 1));
        const std::string piece = pattern(sent, size);
        co_await to.write_all(piece);
        sent += size;
    }
    to.shutdown();
}

/// Reads to the end; returns how many bytes came that were right.
task<std::uint64_t> check_pattern(tcp_stream& from, std::size_t room_bytes) {
    std::string room(room_bytes, '\0');
    std::uint64_t right = 0;
    for (;;) {
        const std::size_t got = co_await from.read_some(room);
        if (got == 0) co_return right;
        const std::size_t good = matching(right, room.data(), got);
        right += good;
        if (good != got) co_return right;
    }
}

template <class Verb>
task<std::error_code> code_of(Verb verb) {
    const auto ended = co_await nothrow(std::move(verb));
    co_return ended.error();
}

}  // namespace

TEST_CASE("tcp_stream: bytes come in order, whatever the sizes of writes and reads") {
    on_loop([]() -> task<> {
        for (const std::size_t room : {1UL, 7UL, 4096UL, 100'000UL}) {
            ends both = co_await connected();
            const std::uint64_t count = room == 1 ? 20'000 : 1'000'000;
            auto sending = spawn(send_pattern(both.near, count, room, 30'000));
            const std::uint64_t right = co_await check_pattern(both.far, room);
            CHECK(right == count);
            co_await sending;
        }
    });
}

TEST_CASE("tcp_stream: 64 MiB in both directions at once, each byte checked") {
    on_loop([]() -> task<> {
        constexpr std::uint64_t count = 64 * 1024 * 1024;
        ends both = co_await connected();
        auto one = spawn(send_pattern(both.near, count, 1, 1'000'000));
        auto other = spawn(send_pattern(both.far, count, 2, 300'000));
        auto back = spawn(check_pattern(both.near, 200'000));
        const std::uint64_t there = co_await check_pattern(both.far, 100'000);
        CHECK(there == count);
        const std::uint64_t here = co_await back;
        CHECK(here == count);
        co_await one;
        co_await other;
    });
}

TEST_CASE("tcp_stream: the end is a value, and stays") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        co_await both.near.write_all("last");
        co_await both.near.close();
        const std::string all = co_await read_all(both.far);
        CHECK(all == "last");
        std::array<char, 8> room{};
        for (int i = 0; i < 3; ++i) {
            const std::size_t got = co_await both.far.read_some(room);
            CHECK(got == 0);
            const lent_bytes none = co_await both.far.receive();
            CHECK(none.empty());
            CHECK_FALSE(static_cast<bool>(none));
        }
    });
}

TEST_CASE("tcp_stream: each direction ends by itself") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        co_await both.near.write_all("question");
        both.near.shutdown();
        const std::string asked = co_await read_all(both.far);
        CHECK(asked == "question");
        co_await both.far.write_all("answer");
        const std::string first = co_await read_count(both.near, 6);
        CHECK(first == "answer");
        const auto refused = co_await code_of(both.near.write_all("more"));
        CHECK(refused == std::errc::broken_pipe);
        both.far.shutdown();
        const std::string rest = co_await read_all(both.near);
        CHECK(rest.empty());
    });
}

TEST_CASE("tcp_stream: bytes that came before a reset are delivered before its error") {
    on_loop([]() -> task<> {
        raw_ends both = connected_raw();
        co_await both.stream.write_all("never read");
        REQUIRE(::send(both.peer.get(), "four", 4, 0) == 4);
        reset_connection(both.peer);
        const std::string first = co_await read_count(both.stream, 4);
        CHECK(first == "four");
        std::array<char, 8> room{};
        for (int i = 0; i < 2; ++i) {  // and it stays
            const auto then = co_await code_of(both.stream.read_some(room));
            CHECK(then == std::errc::connection_reset);
        }
    });
}

TEST_CASE("tcp_stream: writing to a peer that is gone is an error and no signal") {
    on_loop([]() -> task<> {
        raw_ends both = connected_raw();
        reset_connection(both.peer);
        std::error_code failed;
        for (int i = 0; i < 100 && !failed; ++i) {
            failed = co_await code_of(both.stream.write_all("into the void"));
            co_await yield_now();
        }
        const bool named =
            failed == std::errc::broken_pipe || failed == std::errc::connection_reset;
        CHECK(named);
    });
}

TEST_CASE("tcp_stream: gathered parts are sent in order as if they were one") {
    on_loop([]() -> task<> {
        std::mt19937_64 random(7);
        for (const std::size_t count : {0UL, 1UL, 8UL, 9UL, 1024UL, 1025UL, 3000UL}) {
            for (const std::size_t largest : {3UL, 5000UL}) {
                ends both = co_await connected();
                std::vector<std::string> texts;
                std::vector<lariat::bytes> parts;
                std::string whole;
                for (std::size_t i = 0; i < count; ++i) {
                    const std::size_t size = random() % largest;  // some are empty
                    texts.push_back(pattern(whole.size(), size));
                    whole += texts.back();
                }
                for (const std::string& text : texts) parts.emplace_back(text);
                auto reading = spawn(read_all(both.far));
                const std::span<const lariat::bytes> all(parts);
                co_await both.near.write_all(all);
                both.near.shutdown();
                const std::string got = co_await reading;
                CHECK(got.size() == whole.size());
                CHECK(got == whole);
            }
        }
    });
}

TEST_CASE("tcp_stream: large parts of a gathered write go on in the middle of a part") {
    on_loop([]() -> task<> {
        constexpr std::size_t size = 3'000'001;
        std::vector<std::string> texts;
        std::vector<lariat::bytes> parts;
        for (std::size_t i = 0; i < 10; ++i) texts.push_back(pattern(i * size, size));
        for (const std::string& text : texts) parts.emplace_back(text);
        ends both = co_await connected();
        auto checking = spawn(check_pattern(both.far, 64 * 1024));
        const std::span<const lariat::bytes> all(parts);
        co_await both.near.write_all(all);
        both.near.shutdown();
        const std::uint64_t right = co_await checking;
        CHECK(right == 10 * size);
    });
}

TEST_CASE("tcp_stream: an empty write is no write, but not on a closed stream") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        co_await both.near.write_all("");
        const std::size_t none = co_await both.near.write_some("");
        CHECK(none == 0);
        both.near.close();
        const auto failed = co_await code_of(both.near.write_all(""));
        CHECK(failed == errc::closed);
    });
}

TEST_CASE("tcp_stream: a writer waits for a peer that does not read") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        const std::string piece(1'000'000, 'x');
        std::size_t taken = 0;
        std::error_code ended;
        while (!ended && taken < 64'000'000) {
            auto writing = both.near.write_some(piece);
            const auto sent = co_await nothrow(timeout(50ms, std::move(writing)));
            ended = sent.error();
            if (sent) taken += *sent;
        }
        CHECK(ended == errc::timed_out);
        CHECK(taken < 32'000'000);  // what the kernel holds, and a few segments of ours
        both.near.shutdown();       // a cut write_some took nothing: the stream is whole
        const std::string all = co_await read_all(both.far);
        CHECK(all.size() == taken);
    });
}

TEST_CASE("tcp_stream: a stream that nobody reads takes in a bounded amount") {
    on_loop([]() -> task<> {
        raw_ends both = connected_raw();
        ::fcntl(both.peer.get(), F_SETFL, O_NONBLOCK);
        std::array<char, 4> room{};
        REQUIRE(::send(both.peer.get(), "arms", 4, 0) == 4);
        const std::size_t first = co_await both.stream.read_some(room);
        REQUIRE(first == 4);
        const std::string piece(1'000'000, 'x');
        std::uint64_t sent = 0;
        int refused = 0;
        while (refused < 50 && sent < 128'000'000) {
            const ssize_t took = ::send(both.peer.get(), piece.data(), piece.size(), 0);
            if (took > 0) {
                sent += static_cast<std::uint64_t>(took);
                refused = 0;
            } else {
                ++refused;
            }
            co_await sleep(1ms);
        }
        CHECK(sent < 32'000'000);
        both.peer.reset();
        const std::string all = co_await read_all(both.stream);
        CHECK(all.size() == sent);
    });
}

TEST_CASE("tcp_stream: one that is empty, moved from or closed reports closed_error") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        tcp_stream moved(std::move(both.near));
        tcp_stream closed(std::move(both.far));
        closed.close();
        tcp_stream empty;
        const std::array<lariat::bytes, 1> parts{lariat::bytes("x")};
        const std::span<const lariat::bytes> all(parts);
        std::array<char, 4> room{};
        for (tcp_stream* each : {&both.near, &closed, &empty}) {
            std::vector<std::error_code> codes;
            codes.push_back(co_await code_of(each->read_some(room)));
            codes.push_back(co_await code_of(each->receive()));
            codes.push_back(co_await code_of(each->write_some("x")));
            codes.push_back(co_await code_of(each->write_all("x")));
            codes.push_back(co_await code_of(each->write_all(all)));
            for (const std::error_code& code : codes) CHECK(code == errc::closed);
            CHECK_THROWS_AS(each->shutdown(), closed_error);
            CHECK_THROWS_AS((void)each->local_endpoint(), closed_error);
            CHECK_THROWS_AS((void)each->remote_endpoint(), closed_error);
            CHECK_THROWS_AS((void)each->options(), closed_error);
            CHECK_THROWS_AS(each->set_options(tcp_options()), closed_error);
            co_await each->close();
            co_await each->abort();
        }
        bool thrown = false;
        try {
            co_await empty.write_all("x");
        } catch (const closed_error&) {
            thrown = true;
        }
        CHECK(thrown);
    });
}

TEST_CASE("tcp_stream: assigning over a connection closes it") {
    on_loop([]() -> task<> {
        ends first = co_await connected();
        ends second = co_await connected();
        first.near = std::move(second.near);
        const std::string none = co_await read_all(first.far);
        CHECK(none.empty());
        co_await first.near.write_all("of the second");
        const std::string got = co_await read_count(second.far, 13);
        CHECK(got == "of the second");
        tcp_stream& self = first.near;
        first.near = std::move(self);
        co_await first.near.write_all("!");
    });
}

TEST_CASE("tcp_stream: both ends know both endpoints") {
    on_loop([]() -> task<> {
        raw_ends raw = connected_raw();
        CHECK(raw.stream.local_endpoint().to_string().rfind("127.0.0.1:", 0) == 0);
        ends both = co_await connected();
        CHECK(both.near.local_endpoint() == both.far.remote_endpoint());
        CHECK(both.near.remote_endpoint() == both.far.local_endpoint());
        co_await both.near.write_all("and work");
        const std::string got = co_await read_count(both.far, 8);
        CHECK(got == "and work");
    });
}

TEST_CASE("tcp_stream: what is no connected socket gives errors, each time") {
    on_loop([]() -> task<> {
        std::array<int, 2> pipe{};
        REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
        const unique_fd other(pipe[1]);
        const int free_number = ::dup(pipe[0]);
        ::close(free_number);
        std::array<char, 4> room{};
        std::vector<tcp_stream> wrong;
        wrong.emplace_back(pipe[0]);
        wrong.emplace_back(-1);
        wrong.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const std::array<std::errc, 3> expected{
            std::errc::not_a_socket, std::errc::bad_file_descriptor, std::errc::not_connected};
        for (std::size_t i = 0; i < wrong.size(); ++i) {
            const auto read = co_await code_of(wrong[i].read_some(room));
            CHECK(read == expected[i]);
            const auto written = co_await code_of(wrong[i].write_all("x"));
            const bool refused = written == expected[i] || written == std::errc::broken_pipe;
            CHECK(refused);
            CHECK_THROWS_AS((void)wrong[i].remote_endpoint(), std::system_error);
            CHECK_THROWS_AS(wrong[i].shutdown(), std::system_error);
        }
    });
}

TEST_CASE("tcp_stream: a stream socket of another family may be adopted") {
    on_loop([]() -> task<> {
        std::array<int, 2> pair{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
        tcp_stream one(pair[0]);
        tcp_stream other(pair[1]);
        auto sending = spawn(send_pattern(one, 500'000, 3, 70'000));
        const std::uint64_t right = co_await check_pattern(other, 10'000);
        CHECK(right == 500'000);
        co_await sending;
    });
}

TEST_CASE("tcp_stream: a refused connection names the address") {
    on_loop([]() -> task<> {
        auto gone = tcp_listener::bind(loopback());
        const endpoint where = gone.local_endpoint();
        gone.close();
        co_await turns(3);
        const auto refused = co_await code_of(tcp_stream::connect(where));
        CHECK(refused == std::errc::connection_refused);
        std::string text;
        try {
            const tcp_stream never = co_await tcp_stream::connect(where);
        } catch (const std::system_error& error) {
            text = error.what();
        }
        CHECK(text.find("connecting to " + where.to_string()) != std::string::npos);
    });
}

TEST_CASE("tcp_stream: two tasks that read, or write, one stream break a rule") {
    CHECK(stops_with("one task at a time reads from a stream", [] {
        lariat::run([]() -> task<> {
            ends both = co_await connected();
            std::array<char, 4> room{};
            auto first = spawn(
                [](tcp_stream& stream) -> task<> {
                    const lent_bytes got = co_await stream.receive();
                },
                std::ref(both.near));
            co_await turns(2);
            (void)co_await both.near.read_some(room);
        }());
    }));
    CHECK(stops_with("one task at a time writes to a stream", [] {
        lariat::run([]() -> task<> {
            ends both = co_await connected();
            const std::string much(30'000'000, 'x');
            auto first =
                spawn([](tcp_stream& stream,
                         const std::string& data) -> task<> { co_await stream.write_all(data); },
                      std::ref(both.near), std::cref(much));
            co_await turns(2);
            co_await both.near.write_all("between");
        }());
    }));
    CHECK(stops_with("room for at least one byte", [] {
        tcp_stream stream;
        (void)stream.read_some(mutable_bytes());
    }));
}

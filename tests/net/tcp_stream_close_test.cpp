// How a connection ends for those who use it: close, cancellation, and handles that go first.
#include <lariat/net/tcp_stream.hpp>

#include "net_support.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/timeout.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

using namespace net_test;

namespace {

constexpr std::size_t much =
    30'000'000;  // more than the kernel takes for a peer that does not read

task<std::error_code> read_code(tcp_stream& from) {
    std::array<char, 64> room{};
    const auto got = co_await nothrow(from.read_some(room));
    co_return got.error();
}

task<std::error_code> write_code(tcp_stream& to) {
    const std::string data(much, 'x');
    const auto sent = co_await nothrow(to.write_all(data));
    co_return sent.error();
}

task<> idle() { co_await yield_now(); }

/// Keeps the loop busy for several turns, so that what was woken last runs long after.
task<> crowd() {
    std::vector<join_handle<>> many;
    for (int i = 0; i < 1000; ++i) many.push_back(spawn(idle()));
    for (auto& each : many) co_await each;
}

/// Cuts `work` after some turns. Returns false if it was over before.
template <class Work>
task<bool> cut_after(int delay, Work work) {
    cancel_scope scope;
    auto cutting = spawn(
        [](cancel_scope& which, int count) -> task<> {
            co_await turns(count);
            which.cancel();
        },
        std::ref(scope), delay);
    auto running = scope.run(std::move(work));
    const auto ended = co_await std::move(running);
    co_await cutting;
    co_return !static_cast<bool>(ended);
}

}  // namespace

TEST_CASE("close: tasks that read and write get closed_error") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto reader = spawn(read_code(both.near));
        auto writer = spawn(write_code(both.near));
        co_await turns(5);
        co_await both.near.close();
        const auto read = co_await reader;
        const auto written = co_await writer;
        CHECK(read == errc::closed);
        CHECK(written == errc::closed);
    });
}

TEST_CASE("close: twice, and by two tasks, is once; each waits until it is gone") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto reader = spawn(read_code(both.near));
        co_await turns(3);
        const std::size_t open = lariat::test::open_descriptors().size();
        auto close_it = [](tcp_stream& stream, std::size_t before) -> task<> {
            co_await stream.close();
            CHECK(lariat::test::open_descriptors().size() == before - 1);
        };
        auto one = spawn(close_it, std::ref(both.near), open);
        auto other = spawn(close_it, std::ref(both.near), open);
        co_await one;
        co_await other;
        co_await both.near.close();
        const auto read = co_await reader;
        CHECK(read == errc::closed);
    });
}

TEST_CASE("close: one that is cancelled while it waits has closed all the same") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto reader = spawn(read_code(both.near));
        co_await turns(3);
        cancel_scope scope;
        auto closing = spawn(
            [](cancel_scope& in, tcp_stream& stream) -> task<> {
                auto going = stream.close();
                (void)co_await in.run(std::move(going));
            },
            std::ref(scope), std::ref(both.near));
        co_await yield_now();
        scope.cancel();
        co_await closing;
        const std::string none = co_await read_all(both.far);
        CHECK(none.empty());
        (void)co_await reader;
    });
}

TEST_CASE("close: a handle that goes while others read and write through it") {
    on_loop([]() -> task<> {
        for (const bool reads : {true, false}) {
            for (const bool writes : {true, false}) {
                ends both = co_await connected();
                auto stream = std::make_unique<tcp_stream>(std::move(both.near));
                std::optional<join_handle<std::error_code>> reader;
                std::optional<join_handle<std::error_code>> writer;
                if (reads) reader = spawn(read_code(*stream));
                if (writes) writer = spawn(write_code(*stream));
                co_await turns(5);
                auto busy = spawn(crowd());
                co_await turns(2);
                stream.reset();
                const auto read = reader ? co_await *reader : make_error_code(errc::closed);
                const auto written = writer ? co_await *writer : make_error_code(errc::closed);
                CHECK(read == errc::closed);
                CHECK(written == errc::closed);
                co_await busy;
            }
        }
    });
}

TEST_CASE("close: a handle that goes between the wake of its reader and its run") {
    on_loop([]() -> task<> {
        for (int delay = 0; delay < 6; ++delay) {
            ends both = co_await connected();
            auto stream = std::make_unique<tcp_stream>(std::move(both.near));
            auto reader = spawn(read_code(*stream));
            co_await turns(3);
            co_await both.far.write_all("wakes it");
            auto busy = spawn(crowd());
            co_await turns(delay);
            stream.reset();
            const auto read = co_await reader;
            const bool either = !read || read == errc::closed;
            CHECK(either);
            co_await busy;
        }
    });
}

TEST_CASE("close: a verb made before its stream went reports closed_error") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        std::array<char, 4> room{};
        auto stream = std::make_unique<tcp_stream>(std::move(both.near));
        auto reading = stream->read_some(room);
        auto writing = stream->write_all("x");
        stream.reset();
        const auto read = co_await nothrow(std::move(reading));
        CHECK(read.error() == errc::closed);
        const auto written = co_await nothrow(std::move(writing));
        CHECK(written.error() == errc::closed);
    });
}

TEST_CASE("close: the number that comes next is another connection's alone") {
    on_loop([]() -> task<> {
        for (int round = 0; round < 16; ++round) {
            ends old = co_await connected();
            auto reader = spawn(read_code(old.near));
            auto writer = spawn(write_code(old.far));
            co_await turns(round % 4);
            auto closing = old.near.close();
            old.far.close();
            if (round % 2 == 0) co_await std::move(closing);
            ends fresh = co_await connected();  // its numbers may be the old ones
            co_await fresh.far.write_all("for the new");
            fresh.far.shutdown();
            const std::string got = co_await read_all(fresh.near);
            CHECK(got == "for the new");
            (void)co_await reader;
            (void)co_await writer;
        }
    });
}

TEST_CASE("abort: resets, and the peer learns that nothing more comes, by an error") {
    on_loop([]() -> task<> {
        for (const bool used : {false, true}) {
            raw_ends both = connected_raw();
            if (used) {
                co_await both.stream.write_all("some");
                both.stream.shutdown();
                std::array<char, 4> room{};
                REQUIRE(::recv(both.peer.get(), room.data(), 4, MSG_WAITALL) == 4);
            }
            co_await both.stream.abort();
            char byte = 0;
            const ssize_t got = ::recv(both.peer.get(), &byte, 1, 0);
            const int why = errno;
            CHECK(got == (used ? 0 : -1));  // its own end had come before the reset
            if (!used) CHECK(why == ECONNRESET);
            CHECK(::send(both.peer.get(), "x", 1, MSG_NOSIGNAL) == -1);
            const auto after = co_await nothrow(both.stream.write_all("x"));
            CHECK(after.error() == errc::closed);
            both.stream.abort();
        }
    });
}

TEST_CASE("abort: drops what was not sent, and ends who reads and writes") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto reading = spawn(read_code(both.near));
        auto writing = spawn(write_code(both.near));
        co_await turns(5);
        co_await both.near.abort();
        const auto read = co_await reading;
        const auto written = co_await writing;
        CHECK(read == errc::closed);
        CHECK(written == errc::closed);
        std::error_code ended;
        std::string block(1 << 20, '\0');
        while (!ended) {
            const auto got = co_await nothrow(both.far.read_some(block));
            ended = got.error();
            REQUIRE((!got || *got != 0));
        }
        CHECK(ended == std::errc::connection_reset);
    });
}

TEST_CASE("cancel: a connect that is cut leaves no connection, and its number works for the next") {
    on_loop([]() -> task<> {
        for (int round = 0; round < 20; ++round) {
            listen_options small;
            small.backlog = 0;
            auto full = tcp_listener::bind(loopback(), small);
            const endpoint where = full.local_endpoint();
            std::vector<tcp_stream> fill;
            bool waits = false;
            while (!waits && fill.size() < 8) {
                auto connecting = tcp_stream::connect(where);
                auto made = co_await nothrow(timeout(2ms, std::move(connecting)));
                waits = made.error() == errc::timed_out;
                if (made) fill.push_back(std::move(*made));
            }
            CHECK(waits);
            // The lowest free number, which the cut connect had, now names something else.
            std::array<int, 2> pair{};
            REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
            tcp_stream one(pair[0]);
            const unique_fd other(pair[1]);
            auto reading = spawn(read_count(one, 5));
            co_await turns(3);
            REQUIRE(::send(other.get(), "hello", 5, 0) == 5);
            const std::string got = co_await timeout(5s, reading);
            CHECK(got == "hello");
        }
    });
}

TEST_CASE("cancel: reads that are cut at any moment lose no byte") {
    on_loop([]() -> task<> {
        const std::uint64_t rounds = lariat::test::long_tests() ? 300'000 : 6'000;
        ends both = co_await connected();
        auto sending = spawn(
            [](tcp_stream& to, std::uint64_t count) -> task<std::uint64_t> {
                std::mt19937_64 random(11);
                std::uint64_t sent = 0;
                for (std::uint64_t i = 0; i < count; ++i) {
                    const std::string piece = pattern(sent, random() % 200 + 1);
                    co_await to.write_all(piece);
                    sent += piece.size();
                    co_await turns(static_cast<int>(random() % 3));
                }
                to.shutdown();
                co_return sent;
            },
            std::ref(both.near), rounds);
        std::mt19937_64 random(12);
        std::string room(333, '\0');
        std::uint64_t received = 0;
        std::uint64_t wrong = 0;
        std::uint64_t cut = 0;
        for (bool more = true; more;) {
            const auto limit = std::chrono::microseconds(random() % 30);
            const char* from = room.data();
            std::size_t count = 0;
            std::error_code failed;
            lent_bytes lease;
            if (random() % 2 == 0) {
                auto reading = both.far.read_some(room);
                const auto got = co_await nothrow(timeout(limit, std::move(reading)));
                failed = got.error();
                if (got) count = *got;
            } else {
                auto reading = both.far.receive();
                auto got = co_await nothrow(timeout(limit, std::move(reading)));
                failed = got.error();
                if (got) lease = std::move(*got);
                from = reinterpret_cast<const char*>(lease.data());
                count = lease.size();
            }
            if (failed) {
                CHECK(failed == errc::timed_out);
                ++cut;
            }
            wrong += count - matching(received, from, count);
            received += count;
            more = failed || count != 0;
        }
        const std::uint64_t sent = co_await sending;
        CHECK(received == sent);
        CHECK(wrong == 0);
        CHECK(cut > rounds / 100);
    });
}

TEST_CASE("cancel: a write_all that is cut in the middle leaves the stream broken") {
    on_loop([]() -> task<> {
        for (const bool gathered : {false, true}) {
            ends both = co_await connected();
            const std::string data = pattern(0, much);
            const std::array<lariat::bytes, 2> halves{lariat::bytes(data.data(), much / 2),
                                                      lariat::bytes(data).after(much / 2)};
            const std::span<const lariat::bytes> parts(halves);
            std::error_code ended;
            if (gathered) {
                auto writing = both.near.write_all(parts);
                const auto sent = co_await nothrow(timeout(30ms, std::move(writing)));
                ended = sent.error();
            } else {
                auto writing = both.near.write_all(data);
                const auto sent = co_await nothrow(timeout(30ms, std::move(writing)));
                ended = sent.error();
            }
            CHECK(ended == errc::timed_out);
            const auto then = co_await nothrow(both.near.write_all("in doubt"));
            CHECK(then.error() == errc::broken);
            const auto some = co_await nothrow(both.near.write_some("in doubt"));
            CHECK(some.error() == errc::broken);
            both.near.close();
            const std::string got = co_await read_all(both.far);
            CHECK(got.size() < much);
            CHECK(matching(0, got.data(), got.size()) == got.size());
        }
    });
}

/// Writes until the kernel takes no more. Returns how much it took.
task<std::size_t> fill_up(tcp_stream& stream, const std::string& piece) {
    std::size_t taken = 0;
    for (bool full = false; !full;) {
        auto writing = stream.write_some(piece);
        const auto sent = co_await nothrow(timeout(30ms, std::move(writing)));
        full = !sent;
        if (sent) taken += *sent;
    }
    co_return taken;
}

TEST_CASE("cancel: a write that is cut before any of it went leaves the stream whole") {
    on_loop([]() -> task<> {
        bool seen = false;
        // A kernel that was late to move bytes may make room again: then some of it did go.
        for (int tries = 0; !seen && tries < 20; ++tries) {
            ends both = co_await connected();
            const std::string piece(100'000, 'x');
            const std::size_t taken = co_await fill_up(both.near, piece);
            auto writing = both.near.write_all(piece);
            const auto none = co_await nothrow(timeout(5ms, std::move(writing)));
            CHECK(none.error() == errc::timed_out);
            auto reading = spawn(read_all(both.far));
            const auto more = co_await nothrow(both.near.write_all("the end"));
            both.near.shutdown();
            const std::string all = co_await reading;
            seen = more.has_value();
            if (seen) {
                CHECK(all.size() == taken + 7);
                CHECK(all.substr(taken) == "the end");
            } else {
                CHECK(more.error() == errc::broken);
                CHECK(all.size() > taken);
            }
        }
        CHECK(seen);
    });
}

TEST_CASE("cancel: a task that reads is ended, and the next reader gets what comes") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        for (int delay = 0; delay < 8; ++delay) {
            const bool cut = co_await cut_after(delay, read_count(both.near, 100));
            CHECK(cut);
        }
        co_await both.far.write_all("after all");
        const std::string got = co_await read_count(both.near, 9);
        CHECK(got == "after all");
    });
}

TEST_CASE("lifetime: a stream may outlive its loop, used or not") {
    const lariat::test::leak_check leaks;
    ends used;
    ends fresh;
    {
        lariat::loop own;
        own.run([](ends& to_use, ends& to_leave) -> task<> {
            to_use = co_await connected();
            to_leave = co_await connected();
            co_await to_use.near.write_all("unread");
            std::array<char, 2> room{};
            const std::size_t got = co_await to_use.far.read_some(room);
            CHECK(got == 2);
        }(used, fresh));
    }
    CHECK_THROWS_AS((void)used.near.local_endpoint(), closed_error);
    CHECK_THROWS_AS(used.far.shutdown(), closed_error);
    lariat::run([](ends& gone) -> task<> {
        const auto read = co_await read_code(gone.far);
        CHECK(read == errc::closed);
        const auto written = co_await nothrow(gone.near.write_all("x"));
        CHECK(written.error() == errc::closed);
    }(used));
}

TEST_CASE("lifetime: a stream goes on in the next run of its loop") {
    const lariat::test::leak_check leaks;
    lariat::loop own;
    ends both;
    own.run([](ends& made) -> task<> {
        made = co_await connected();
        (void)co_await cut_after(2, read_count(made.far, 1));  // its receive stays armed
    }(both));
    own.run([](ends& kept) -> task<> {
        co_await kept.near.write_all("again");
        const std::string got = co_await read_count(kept.far, 5);
        CHECK(got == "again");
    }(both));
    both = ends();  // between two runs
    own.run([]() -> task<> { co_await turns(2); }());
}

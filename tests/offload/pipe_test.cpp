#include <lariat/offload/pipe.hpp>

#include "death.hpp"
#include "leak_check.hpp"
#include "pipe_support.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/buffered_reader.hpp>
#include <lariat/net/buffered_writer.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::no_pipe_signal;
using lariat::test::raw_pipe;
using lariat::test::read_all;
using lariat::test::stops_with;
using lariat::test::write_and_close;

TEST_CASE_FIXTURE(leak_check, "pipe: what is written comes out, then the end") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        co_await ends.writer.write_all("one ");
        const std::size_t taken = co_await ends.writer.write_some("two");
        CHECK(taken == 3);
        ends.writer.close();
        const std::string text = co_await read_all(ends.reader);
        CHECK(text == "one two");
        std::array<char, 1> room{};
        const std::size_t at_the_end = co_await ends.reader.read_some(room);
        CHECK(at_the_end == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: more than it holds waits for its reader") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        std::string sent(5'000'000, 'x');
        for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 % 251);
        auto both = co_await gather(read_all(ends.reader), write_and_close(ends.writer, sent));
        CHECK(std::get<0>(both) == sent);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: lines can be read, and small writes collected") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        buffered_reader lines(ends.reader);
        buffered_writer words(ends.writer, 16);
        co_await words.write("first ");
        co_await words.write("line\nsecond line that is long\n");
        co_await words.write("last");
        co_await words.flush();
        ends.writer.close();
        std::vector<std::string> got;
        while (auto line = co_await lines.read_line()) got.push_back(*line);
        CHECK(got == std::vector<std::string>{"first line", "second line that is long", "last"});
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: several stretches go out in order, empty ones too") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        const std::string large(200'000, 'l');
        const std::array<bytes, 5> parts{bytes("a"), bytes(), bytes(large), bytes("z"), bytes()};
        auto writes = [&]() -> task<> {
            const std::span<const bytes> all(parts);
            co_await ends.writer.write_all(all);
            const std::span<const bytes> none;
            co_await ends.writer.write_all(none);
            co_await ends.writer.write_all("");
            ends.writer.close();
        };
        auto both = co_await gather(read_all(ends.reader), writes());
        CHECK(std::get<0>(both) == "a" + large + "z");
    }());
}

TEST_CASE_FIXTURE(no_pipe_signal, "pipe: writing to nobody is an error and no signal") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        ends.reader.close();
        const result<void> ours = co_await nothrow(ends.writer.write_all("x"));
        CHECK(ours.error() == std::errc::broken_pipe);

        raw_pipe given;
        given.reading.reset();
        pipe_writer taken(given.writing.release());
        const result<std::size_t> foreign = co_await nothrow(taken.write_some("x"));
        CHECK(foreign.error() == std::errc::broken_pipe);

        std::array<int, 2> sockets{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) == 0);
        pipe_writer socket(sockets[0]);
        ::close(sockets[1]);
        const result<void> to_socket = co_await nothrow(socket.write_all("x"));
        CHECK(to_socket.error() == std::errc::broken_pipe);
        CHECK_THROWS_AS(co_await ends.writer.write_all("x"), std::system_error);
    }());
}

TEST_CASE_FIXTURE(no_pipe_signal, "pipe: a writer that waits is told when its reader goes") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        const std::string large(1'000'000, 'x');
        auto closes = [&]() -> task<> {
            co_await yield_now();
            ends.reader.close();
        };
        auto writes = [&]() -> task<> {
            const result<void> cut = co_await nothrow(ends.writer.write_all(large));
            CHECK(cut.error() == std::errc::broken_pipe);
            const result<void> again = co_await nothrow(ends.writer.write_all("x"));
            CHECK(again.error() == errc::broken);
        };
        co_await gather(writes(), closes());
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: a read that is cut takes nothing, and the next one goes on") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        std::array<char, 10> room{};
        for (int i = 0; i < 20; ++i)
            CHECK_THROWS_AS(co_await timeout(50us, ends.reader.read_some(room)), timeout_error);
        co_await ends.writer.write_all("kept");
        const std::size_t got = co_await ends.reader.read_some(room);
        CHECK(std::string(room.data(), got) == "kept");
        const result<std::size_t> none =
            co_await nothrow(timeout(100us, ends.reader.read_some(room)));
        CHECK(none.error() == errc::timed_out);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: reads cut at random moments lose no byte") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        const std::string sent(40'000, 'x');
        std::size_t got = 0;
        auto reads = [&]() -> task<> {
            std::array<char, 7> room{};
            for (unsigned i = 0; got < sent.size(); ++i) {
                const auto patience = std::chrono::microseconds(i * 7919 % 5);
                auto reading = timeout(patience, ends.reader.read_some(room));
                const result<std::size_t> some = co_await nothrow(std::move(reading));
                if (some) got += *some;
            }
        };
        auto writes = [&]() -> task<> {
            for (std::size_t i = 0; i < sent.size(); i += 10) {
                co_await ends.writer.write_all(sent.substr(i, 10));
                if (i % 100 == 0) co_await yield_now();
            }
        };
        co_await gather(reads(), writes());
        CHECK(got == sent.size());
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: a write that is cut after a part had gone breaks the stream") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        const std::string large(1'000'000, 'x');
        CHECK_THROWS_AS(co_await timeout(100us, ends.writer.write_all(large)), timeout_error);
        CHECK_THROWS_AS(co_await ends.writer.write_all("x"), broken_error);

        pipe_ends full = make_pipe();
        std::size_t filled = 0;
        for (bool room = true; room;) {
            const result<std::size_t> some =
                co_await nothrow(timeout(100us, full.writer.write_some(large)));
            room = some.has_value();
            if (room) filled += *some;
        }
        CHECK_THROWS_AS(co_await timeout(100us, full.writer.write_all("none of it")),
                        timeout_error);
        auto both = co_await gather(read_all(full.reader), write_and_close(full.writer, "end"));
        CHECK(std::get<0>(both).size() == filled + 3);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: closing it ends the read and the write that wait in it") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        pipe_ends full = make_pipe();
        const std::string large(1'000'000, 'x');
        auto reads = [&]() -> task<> {
            std::array<char, 1> room{};
            const result<std::size_t> got = co_await nothrow(ends.reader.read_some(room));
            CHECK(got.error() == errc::closed);
        };
        auto writes = [&]() -> task<> {
            const result<void> sent = co_await nothrow(full.writer.write_all(large));
            CHECK(sent.error() == errc::closed);
        };
        auto closes = [&]() -> task<> {
            co_await yield_now();
            ends.reader.close();
            full.writer.close();
            ends.reader.close();
            CHECK(!ends.reader);
        };
        co_await gather(reads(), writes(), closes());
        std::array<char, 1> room{};
        CHECK_THROWS_AS(co_await ends.reader.read_some(room), closed_error);
        CHECK_THROWS_AS(co_await full.writer.write_all("x"), closed_error);
        pipe_reader empty;
        CHECK_THROWS_AS(co_await empty.read_some(room), closed_error);
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "pipe: a handle may go while a task waits, and move while none does") {
    run([]() -> task<> {
        pipe_ends ends = make_pipe();
        std::optional<pipe_reader> reader(std::move(ends.reader));
        auto reads = [&]() -> task<> {
            std::array<char, 1> room{};
            const result<std::size_t> got = co_await nothrow(reader->read_some(room));
            CHECK(got.error() == errc::closed);
        };
        auto drops = [&]() -> task<> {
            co_await yield_now();
            reader.reset();
        };
        co_await gather(reads(), drops());

        pipe_ends other = make_pipe();
        pipe_reader moved(std::move(other.reader));
        co_await other.writer.write_all("here");
        other = make_pipe();
        const std::string text = co_await read_all(moved);
        CHECK(text == "here");
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "pipe: a run that ends cancels who waits, a loop that closes closes") {
    pipe_ends kept;
    {
        loop own;
        own.run([](pipe_ends& ends) -> task<> {
            ends = make_pipe();
            spawn([](pipe_reader& from) -> task<> {
                std::array<char, 1> room{};
                (void)co_await from.read_some(room);
            }(ends.reader));
            co_await yield_now();
        }(kept));
        CHECK(static_cast<bool>(kept.reader));
    }
    CHECK(!kept.reader);
    CHECK(static_cast<bool>(kept.writer));  // it had never waited: no loop knew it
}

TEST_CASE_FIXTURE(leak_check, "pipe: two readers at once, or no room, stop the program") {
    CHECK(stops_with("one task at a time reads from a pipe", [] {
        run([]() -> task<> {
            pipe_ends ends = make_pipe();
            co_await gather(read_all(ends.reader), read_all(ends.reader));
        }());
    }));
    CHECK(stops_with("read_some needs room", [] {
        run([]() -> task<> {
            pipe_ends ends = make_pipe();
            (void)co_await ends.reader.read_some(mutable_bytes());
        }());
    }));
}

TEST_CASE_FIXTURE(leak_check, "pipe: reading and writing for ever starves nobody") {
    run([]() -> task<> {
        pipe_reader zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
        bool seen = false;
        std::size_t got = 0;
        auto reads = [&]() -> task<> {
            std::array<char, 8> room{};
            while (!seen) got += co_await zeros.read_some(room);
        };
        auto looks = [&]() -> task<> {
            for (int i = 0; i < 3; ++i) co_await sleep(1ns);
            seen = true;
        };
        co_await gather(reads(), looks());
        CHECK(got > 8 * scheduler::leg_budget);
    }());
}

}  // namespace

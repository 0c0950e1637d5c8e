#include <lariat/process/message_stream.hpp>

#include "leak_check.hpp"
#include "message_support.hpp"
#include "timed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <sys/socket.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;
using detail::message_stream;
using detail::parcel;

/// Bytes that lie in the socket and were not received.
int arrived(const message_stream& at) {
    int bytes = 0;
    REQUIRE(::ioctl(at.descriptor(), FIONREAD, &bytes) == 0);
    return bytes;
}

/// Sends until the socket is full; returns how many messages are in it.
task<std::size_t> fill(const message_stream& to) {
    std::size_t sent = 0;
    for (;;) {
        const result<void> ended =
            co_await nothrow(timeout(2ms, to.send(text(std::string(1000, 'f')))));
        if (ended.error() == errc::timed_out) co_return sent;
        ++sent;
    }
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: messages come in order, empty ones too, then the end") {
    run([]() -> task<> {
        both_ends ends;
        co_await ends.left.send(text("one"));
        co_await ends.left.send(text(""));
        co_await ends.left.send_bytes("three");
        ends.left.close();
        for (const char* expected : {"one", "", "three", "the end", "the end"}) {
            const std::string got = co_await next(ends.right);
            CHECK(got == expected);
        }
        CHECK_THROWS_AS(co_await ends.left.receive(), closed_error);
        CHECK_THROWS_AS(co_await ends.left.send(text("x")), closed_error);
        CHECK_THROWS_AS(co_await ends.right.send(text("x")), closed_error);
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: sizes around those of the buffer arrive whole") {
    run([]() -> task<> {
        both_ends ends;
        std::vector<std::string> sent;
        for (const std::size_t size :
             {65519U, 65520U, 65521U, 65536U, 1U, 131072U, 300000U, 0U, 10000000U, 7U})
            sent.emplace_back(size, static_cast<char>('a' + size % 26));
        auto sends = [&]() -> task<> {
            for (const std::string& each : sent) co_await ends.left.send_bytes(each);
            ends.left.close();
        };
        auto receives = [&]() -> task<std::vector<std::string>> {
            std::vector<std::string> got;
            for (;;) {
                std::optional<parcel> each = co_await ends.right.receive();
                if (!each) co_return got;
                got.push_back(words_of(*each));
            }
        };
        auto all = co_await gather(receives(), sends());
        CHECK((std::get<0>(all) == sent));
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: a cancelled receive has taken nothing") {
    run([]() -> task<> {
        both_ends ends;
        auto cut = co_await cut_after(1ms, [&]() -> task<> { co_await ends.right.receive(); });
        CHECK(cut.is_cancelled());
        // In the middle of a message that comes in pieces, too.
        const std::string large(3'000'000, 'x');
        auto sends = spawn([&]() -> task<> { co_await ends.left.send_bytes(large); });
        for (int i = 0; i < 5; ++i) {
            const auto got = co_await nothrow(timeout(duration::zero(), ends.right.receive()));
            CHECK(got.error() == errc::timed_out);
        }
        const std::string got = co_await next(ends.right);
        CHECK((got == large));
        co_await std::move(sends);
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: a cancelled send was not begun, or arrives whole") {
    run([]() -> task<> {
        both_ends ends;
        const std::size_t before = co_await fill(ends.left);
        auto waits = co_await cut_after(
            1ms, [&]() -> task<> { co_await ends.left.send(text("never begun")); });
        CHECK(waits.is_cancelled());
        for (std::size_t i = 0; i < before; ++i) {
            const std::string got = co_await next(ends.right);
            REQUIRE(got.size() == 1000);
        }
        // Larger than the socket: it has begun. The bytes are the caller's, and go.
        bool sent = false;
        auto begun = co_await cut_after(1ms, [&]() -> task<> {
            const std::string large(2'000'000, 'l');
            co_await ends.left.send_bytes(large);
            sent = true;
        });
        CHECK(sent);
        CHECK(!begun.is_cancelled());
        auto after = spawn([&]() -> task<> { co_await ends.left.send(text("after")); });
        const std::string large = co_await next(ends.right);
        CHECK((large == std::string(2'000'000, 'l')));
        const std::string last = co_await next(ends.right);
        CHECK(last == "after");
        co_await std::move(after);
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: what was pushed in one turn goes out together, in order") {
    run([]() -> task<> {
        both_ends ends;
        for (int i = 0; i < 500; ++i) CHECK(ends.left.push(text(std::to_string(i))));
        CHECK(arrived(ends.right) == 0);
        co_await ends.left.room();
        CHECK(arrived(ends.right) == 500 * 16 + 10 + 90 * 2 + 400 * 3);
        for (int i = 0; i < 500; ++i) {
            const std::string got = co_await next(ends.right);
            CHECK(got == std::to_string(i));
            if (i == 0) CHECK(arrived(ends.right) == 0);  // one call took them all
        }
        ends.left.close();
        CHECK(!ends.left.push(text("closed")));
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: many senders wait their turn, and none overtakes") {
    run([]() -> task<> {
        both_ends ends;
        constexpr int senders = 50;
        constexpr int each = 40;
        auto receives = [&]() -> task<> {
            std::array<int, senders> seen{};
            for (int i = 0; i < senders * each; ++i) {
                std::optional<parcel> got = co_await ends.right.receive();
                REQUIRE(got);
                const auto [who, which, rest] =
                    detail::unpack<int, int, std::string>(std::move(*got));
                CHECK(which == seen[static_cast<std::size_t>(who)]++);
            }
        };
        auto main = spawn(receives());
        co_await with_group([&](task_group& group) -> task<> {
            for (int who = 0; who < senders; ++who) {
                group.spawn([](const message_stream& to, int self) -> task<> {
                    for (int i = 0; i < each; ++i)
                        co_await to.send(detail::pack(self, i, std::string(800, 'p')));
                }(ends.left, who));
            }
            co_return;
        });
        co_await std::move(main);
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: room comes when the socket takes more") {
    run([]() -> task<> {
        both_ends ends;
        (void)co_await fill(ends.left);
        for (int i = 0; i < 100; ++i) (void)ends.left.push(text(std::string(1000, 'q')));
        co_await ends.left.room(200'000);
        auto cut = co_await cut_after(1ms, [&]() -> task<> { co_await ends.left.room(10'000); });
        CHECK(cut.is_cancelled());
        auto waits = spawn([&]() -> task<> { co_await ends.left.room(); });
        auto drains = spawn([&]() -> task<> {
            for (;;) {
                const std::string got = co_await next(ends.right);
                if (got == "the end") co_return;
            }
        });
        co_await std::move(waits);
        ends.left.close();
        co_await std::move(drains);
    }());
}

TEST_CASE_FIXTURE(
    leak_check,
    "message stream: the end inside of a message is an error that says how far it came") {
    run([]() -> task<> {
        for (const std::size_t cut : {1U, 15U, 16U, 20U, 100'000U}) {
            std::array<int, 2> made{};
            REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()) == 0);
            message_stream right{unique_fd(made[1])};
            unique_fd raw(made[0]);
            const std::uint64_t size = 200'000;
            std::string frame(16 + size, '\0');
            std::memcpy(frame.data(), &size, sizeof size);
            REQUIRE(::send(raw.get(), frame.data(), cut, 0) == static_cast<ssize_t>(cut));
            raw.reset();
            try {
                co_await right.receive();
                FAIL("half a message was received");
            } catch (const incomplete_read& failed) {
                CHECK(failed.received() <= cut);
                CHECK(failed.received() + 16 >= cut);
            }
        }
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: what is no message is an error") {
    run([]() -> task<> {
        std::array<int, 2> made{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()) == 0);
        message_stream right{unique_fd(made[1])};
        unique_fd raw(made[0]);
        const std::string noise(64, '\xff');
        REQUIRE(::send(raw.get(), noise.data(), noise.size(), 0) == 64);
        for (int i = 0; i < 2; ++i) {
            const auto got = co_await nothrow(right.receive());
            CHECK(got.error() == std::errc::bad_message);
        }
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: a message that is too long stays until there is room") {
    run([]() -> task<> {
        both_ends ends;
        const std::string large(1'000'000, 'L');
        auto sends = spawn([&]() -> task<> {
            co_await ends.left.send(text("twelve bytes"));
            co_await ends.left.send_bytes(large);
            co_await ends.left.send(text("after"));
        });
        for (int i = 0; i < 2; ++i) {
            try {
                co_await ends.right.receive(11);
                FAIL("it was received");
            } catch (const message_too_long& refused) {
                CHECK(refused.size() == 12);
            }
        }
        std::optional<parcel> fits = co_await ends.right.receive(12);
        REQUIRE(fits);
        CHECK(words_of(*fits) == "twelve bytes");
        const auto refused = co_await nothrow(ends.right.receive(999'999));
        CHECK(refused.error() == errc::limit);
        const std::string got = co_await next(ends.right);
        CHECK((got == large));
        const std::string after = co_await next(ends.right);
        CHECK(after == "after");
        co_await std::move(sends);
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: closing ends the verbs of others") {
    run([]() -> task<> {
        both_ends ends;
        (void)co_await fill(ends.left);
        std::vector<join_handle<std::error_code>> waiting;
        waiting.push_back(spawn([&]() -> task<std::error_code> {
            const auto ended = co_await nothrow(ends.left.receive());
            co_return ended.error();
        }));
        waiting.push_back(spawn([&]() -> task<std::error_code> {
            const auto ended = co_await nothrow(ends.left.send(text("not begun")));
            co_return ended.error();
        }));
        waiting.push_back(spawn([&]() -> task<std::error_code> {
            const auto ended = co_await nothrow(ends.left.room());
            co_return ended.error();
        }));
        co_await sleep(1ms);
        message_stream gone = std::move(ends.left);
        gone = message_stream();
        for (auto& each : waiting) {
            const std::error_code why = co_await std::move(each);
            CHECK(why == errc::closed);
        }
    }());
}

TEST_CASE_FIXTURE(leak_check, "message stream: what had begun goes out though its end was closed") {
    run([]() -> task<> {
        both_ends ends;
        const std::string large(1'000'000, 'b');
        auto sends = spawn([&]() -> task<std::error_code> {
            const result<void> ended = co_await nothrow(ends.left.send(text(large)));
            co_return ended.error();
        });
        auto second = spawn([&]() -> task<std::error_code> {
            const result<void> ended = co_await nothrow(ends.left.send(text("second")));
            co_return ended.error();
        });
        co_await sleep(1ms);
        ends.left.close();
        const std::error_code not_begun = co_await std::move(second);
        CHECK(not_begun == errc::closed);
        const std::string got = co_await next(ends.right);
        CHECK((got == large));
        const std::string end = co_await next(ends.right);
        CHECK(end == "the end");
        const std::error_code begun = co_await std::move(sends);
        CHECK(!begun);
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: a loop that ends in the middle leaves the rest to the next") {
    both_ends ends;
    run([&]() -> task<> {
        auto cut = co_await cut_after(
            1ms, [&]() -> task<> { co_await ends.left.send(text(std::string(500'000, 'm'))); });
        CHECK(!cut.is_cancelled());
    }());
    run([&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await ends.left.room(); });
        const std::string got = co_await next(ends.right);
        CHECK((got == std::string(500'000, 'm')));
        co_await std::move(waits);
    }());
    // One that only receives brings it on its way, too.
    run([&]() -> task<> {
        (void)co_await cut_after(
            1ms, [&]() -> task<> { co_await ends.left.send(text(std::string(500'000, 'n'))); });
    }());
    run([&]() -> task<> {
        auto waits = spawn([&]() -> task<std::string> {
            std::string got = co_await next(ends.left);
            co_return got;
        });
        const std::string got = co_await next(ends.right);
        CHECK((got == std::string(500'000, 'n')));
        co_await ends.right.send(text("answer"));
        const std::string answer = co_await std::move(waits);
        CHECK(answer == "answer");
    }());
    // And one whose handle goes with it is given up, which the other end is told.
    run([&]() -> task<> {
        (void)co_await cut_after(
            1ms, [&]() -> task<> { co_await ends.left.send(text(std::string(500'000, 'm'))); });
        ends.left = message_stream();
    }());
    run([&]() -> task<> {
        const auto got = co_await nothrow(ends.right.receive());
        CHECK(got.error() == errc::incomplete);
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: when the other end has gone, those who send are told") {
    run([]() -> task<> {
        both_ends ends;
        (void)co_await fill(ends.left);
        auto waits = spawn([&]() -> task<std::error_code> {
            const auto ended = co_await nothrow(ends.left.send(text("late")));
            co_return ended.error();
        });
        co_await sleep(1ms);
        ends.right.close();
        const std::error_code why = co_await std::move(waits);
        CHECK(why == errc::closed);
        CHECK(!ends.left.push(text("later")));
        const std::string end = co_await next(ends.left);
        CHECK(end == "the end");
    }());
}

}  // namespace

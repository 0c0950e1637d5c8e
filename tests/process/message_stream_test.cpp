#include <lariat/process/message_stream.hpp>

#include "leak_check.hpp"
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

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using detail::message_stream;
using detail::parcel;
using lariat::test::cut_after;
using lariat::test::leak_check;

/// Both ends here, without a carrier.
struct both_ends {
    both_ends() {
        std::array<int, 2> made{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()) == 0);
        left = message_stream(unique_fd(made[0]));
        right = message_stream(unique_fd(made[1]));
    }
    message_stream left;
    message_stream right;
};

parcel text(std::string words) {
    parcel made;
    made.bytes.resize(words.size());
    if (!words.empty()) std::memcpy(made.bytes.data(), words.data(), words.size());
    return made;
}
std::string words_of(const parcel& from) {
    return {reinterpret_cast<const char*>(from.bytes.data()), from.bytes.size()};
}

/// What a parcel says; "the end" at the end.
task<std::string> next(const message_stream& from) {
    std::optional<parcel> got = co_await from.receive();
    co_return got ? words_of(*got) : std::string("the end");
}

/// A descriptor that tells its own: a file of that length.
unique_fd marked(std::size_t mark) {
    unique_fd made(::memfd_create("marked", MFD_CLOEXEC));
    REQUIRE(made);
    REQUIRE(::ftruncate(made.get(), static_cast<off_t>(mark)) == 0);
    return made;
}
std::size_t mark_of(const unique_fd& file) {
    struct stat about{};
    REQUIRE(::fstat(file.get(), &about) == 0);
    CHECK((::fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);
    return static_cast<std::size_t>(about.st_size);
}

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

TEST_CASE_FIXTURE(leak_check,
                  "message stream: descriptors come with the message they were sent with") {
    run([]() -> task<> {
        both_ends ends;
        for (std::size_t i = 0; i < 120; ++i) {
            parcel one = text(std::to_string(i));
            for (std::size_t d = 0; d < i % 3; ++d) one.descriptors.push_back(marked(10 * i + d));
            CHECK(ends.left.push(std::move(one)));
        }
        for (std::size_t i = 0; i < 120; ++i) {
            std::optional<parcel> got = co_await ends.right.receive();
            REQUIRE(got);
            CHECK(words_of(*got) == std::to_string(i));
            REQUIRE(got->descriptors.size() == i % 3);
            for (std::size_t d = 0; d < i % 3; ++d)
                CHECK(mark_of(got->descriptors[d]) == 10 * i + d);
        }
        // Nobody reads these: they go with the socket, or with the end that had received them.
        for (int i = 0; i < 3; ++i) {
            parcel unread = text("unread");
            unread.descriptors.push_back(marked(1));
            co_await ends.left.send(std::move(unread));
        }
        const std::string first = co_await next(ends.right);
        CHECK(first == "unread");
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "message stream: 253 descriptors go, more are refused and the next goes") {
    run([]() -> task<> {
        both_ends ends;
        for (const std::size_t count : {253U, 254U}) {
            parcel many = text("many");
            for (std::size_t i = 0; i < count; ++i) many.descriptors.push_back(marked(i));
            const result<void> sent = co_await nothrow(ends.left.send(std::move(many)));
            CHECK(sent.error() ==
                  (count == 253 ? std::error_code() : make_error_code(errc::limit)));
        }
        co_await ends.left.send(text("next"));
        std::optional<parcel> got = co_await ends.right.receive();
        REQUIRE(got);
        CHECK(got->descriptors.size() == 253);
        CHECK(mark_of(got->descriptors[252]) == 252);
        const std::string after = co_await next(ends.right);
        CHECK(after == "next");
    }());
}

/// This process has no room for more than so many descriptors.
class few_descriptors {
 public:
    explicit few_descriptors(rlim_t most) {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit now = before_;
        now.rlim_cur = most;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    few_descriptors(const few_descriptors&) = delete;
    few_descriptors& operator=(const few_descriptors&) = delete;
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
    rlimit before_{};
};

TEST_CASE_FIXTURE(leak_check,
                  "message stream: without room for descriptors one message fails, not the next") {
    run([]() -> task<> {
        both_ends ends;
        for (std::size_t i = 1; i <= 3; ++i) {
            parcel one = text(std::to_string(i));
            one.descriptors.push_back(marked(i));
            one.descriptors.push_back(marked(i + 10));
            co_await ends.left.send(std::move(one));
        }
        std::optional<parcel> first = co_await ends.right.receive();
        REQUIRE(first);
        CHECK(mark_of(first->descriptors[1]) == 11);
        {
            const int lowest = ::dup(0);
            ::close(lowest);
            const few_descriptors full(static_cast<rlim_t>(lowest) + 1);
            const auto second = co_await nothrow(ends.right.receive());
            CHECK(second.error() == std::errc::too_many_files_open);
        }
        std::optional<parcel> third = co_await ends.right.receive();
        REQUIRE(third);
        CHECK(words_of(*third) == "3");
        CHECK(mark_of(third->descriptors[0]) == 3);
        CHECK(mark_of(third->descriptors[1]) == 13);
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
        auto sends = spawn([&]() -> task<> { co_await ends.left.send(text("next")); });
        const std::string got = co_await next(ends.right);
        CHECK((got == std::string(500'000, 'm')));
        const std::string after = co_await next(ends.right);
        CHECK(after == "next");
        co_await std::move(sends);
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

TEST_CASE_FIXTURE(leak_check,
                  "message stream: an end moves with what it has received and not given out") {
    run([]() -> task<> {
        both_ends ends;
        const std::string large(300'000, 'M');
        for (int i = 0; i < 10; ++i) {
            parcel one = text(std::to_string(i));
            if (i % 2 == 1) one.descriptors.push_back(marked(static_cast<std::size_t>(i)));
            co_await ends.left.send(std::move(one));
        }
        auto sends = spawn([&]() -> task<> {
            co_await ends.left.send(text(large));
            co_await ends.left.send(text("last"));
        });
        co_await sleep(1ms);
        CHECK_THROWS_AS((void)detail::pack(std::move(ends.left)), std::system_error);
        for (int i = 0; i < 11; ++i) {
            // One message, then it moves: in the end in the middle of the large one.
            if (i == 10) {
                const auto got = co_await nothrow(timeout(duration::zero(), ends.right.receive()));
                CHECK(got.error() == errc::timed_out);
            } else {
                std::optional<parcel> got = co_await ends.right.receive();
                REQUIRE(got);
                CHECK(words_of(*got) == std::to_string(i));
                if (i % 2 == 1)
                    CHECK(mark_of(got->descriptors.at(0)) == static_cast<std::size_t>(i));
            }
            parcel moved = detail::pack(std::move(ends.right));
            CHECK(!ends.right);
            ends.right = std::get<0>(detail::unpack<message_stream>(std::move(moved)));
        }
        const std::string got = co_await next(ends.right);
        CHECK((got == large));
        const std::string last = co_await next(ends.right);
        CHECK(last == "last");
        co_await std::move(sends);
    }());
}

/// One direction of random traffic: sizes, descriptors, verbs and cancelled attempts.
task<> send_at_random(const message_stream& to, std::uint32_t seed, int count) {
    std::mt19937 dice(seed);
    for (int i = 0; i < count; ++i) {
        const std::size_t size = dice() % 8 == 0 ? dice() % 200'000 : dice() % 3'000;
        parcel one = text(std::string(size, static_cast<char>(i)));
        const std::size_t attached = dice() % 5 == 0 ? dice() % 4 : 0;
        for (std::size_t d = 0; d < attached; ++d) one.descriptors.push_back(marked(size + d));
        if (dice() % 3 == 0) {
            CHECK(to.push(std::move(one)));
            co_await to.room(100'000);
        } else {
            co_await to.send(std::move(one));
        }
    }
    co_await to.room();
}
task<> receive_at_random(const message_stream& from, std::uint32_t seed, int count) {
    std::mt19937 dice(seed);
    std::mt19937 own(seed + 1);
    for (int i = 0; i < count; ++i) {
        const std::size_t size = dice() % 8 == 0 ? dice() % 200'000 : dice() % 3'000;
        const std::size_t attached = dice() % 5 == 0 ? dice() % 4 : 0;
        (void)(dice() % 3);
        std::optional<parcel> got;
        while (!got) {
            if (own() % 2 == 0) {
                auto tried = co_await nothrow(timeout(duration::zero(), from.receive()));
                if (tried) got = std::move(*tried);
            } else {
                got = co_await from.receive();
            }
        }
        REQUIRE(got->bytes.size() == size);
        if (size != 0) CHECK(got->bytes[size / 2] == static_cast<std::byte>(i));
        REQUIRE(got->descriptors.size() == attached);
        for (std::size_t d = 0; d < attached; ++d) CHECK(mark_of(got->descriptors[d]) == size + d);
    }
}

TEST_CASE_FIXTURE(leak_check, "message stream: random traffic both ways at once") {
    const std::uint32_t rounds = lariat::test::long_tests() ? 100 : 4;
    for (std::uint32_t seed = 1; seed <= rounds; ++seed) {
        CAPTURE(seed);
        run([&]() -> task<> {
            both_ends ends;
            co_await gather(send_at_random(ends.left, seed, 400),
                            receive_at_random(ends.right, seed, 400),
                            send_at_random(ends.right, seed + 1000, 400),
                            receive_at_random(ends.left, seed + 1000, 400));
        }());
    }
}

struct shared_body {
    std::uint64_t value = 0;
};
constexpr detail::cell_kind body_kind{"test's object"};

TEST_CASE_FIXTURE(
    leak_check,
    "message stream: shared objects travel, and come back from a message nobody reads") {
    const arena_stats before = shared_memory_stats();
    run([&]() -> task<> {
        detail::message_streams ends = detail::make_message_streams("a test");
        detail::cell_ref object = detail::make_cell<shared_body>(body_kind);
        object.body<shared_body>().value = 41;
        for (int i = 0; i < 3; ++i) {
            parcel one = text("an object");
            one.references.push_back(object.share());
            co_await ends.one.send(std::move(one));
        }
        object = detail::cell_ref();
        CHECK(shared_memory_stats().references == before.references + 1 + 3);
        std::optional<parcel> got = co_await ends.other.receive();
        REQUIRE(got);
        CHECK(words_of(*got) == "an object");
        REQUIRE(got->references.size() == 1);
        object = detail::cell_ref::take(std::move(got->references[0]), body_kind);
        CHECK(object.body<shared_body>().value == 41);
    }());
    const arena_stats after = shared_memory_stats();
    CHECK(after.cells == before.cells);
    CHECK(after.references == before.references);
}

}  // namespace

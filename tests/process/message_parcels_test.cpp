// What messages carry beside their bytes, and where they go.
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
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;
using detail::message_stream;
using detail::parcel;

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
            const few_descriptors full(1);
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

TEST_CASE_FIXTURE(leak_check,
                  "message stream: a refused message is its sender's error; of nobody, the end") {
    run([]() -> task<> {
        both_ends ends;
        // A descriptor that is not open, which sendmsg(2) refuses.
        const auto refused = [] {
            parcel made = text("refused");
            made.descriptors.push_back(marked(1));
            ::close(made.descriptors[0].get());
            return made;
        };
        parcel told = refused();
        const auto sent = co_await nothrow(ends.left.send(std::move(told)));
        CHECK(sent.error() == std::errc::bad_file_descriptor);
        CHECK(ends.left.push(text("before")));
        CHECK(ends.left.push(refused()));
        CHECK(ends.left.push(text("behind")));
        const std::string before = co_await next(ends.right);
        CHECK(before == "before");
        const std::string end = co_await next(ends.right);
        CHECK(end == "the end");
        CHECK(!ends.left.push(text("later")));
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

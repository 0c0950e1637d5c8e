#include <lariat/process/pipe.hpp>

#include "leak_check.hpp"
#include "program.hpp"
#include "timed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::leak_check;
using channel = lariat::pipe<std::string>;
using channel_end = pipe_end<std::string>;

static_assert(transferable<channel_end>);
static_assert(!std::is_copy_constructible_v<channel_end>);
static_assert(transferable<std::vector<pipe_end<unique_fd>>>);

struct order {
    std::string article;
    std::map<std::string, int> pieces;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(article, pieces);
    }
    bool operator==(const order&) const = default;
};

/// A file of these words, as a descriptor.
unique_fd file_of(std::string_view words) {
    unique_fd made(::memfd_create("words", MFD_CLOEXEC));
    REQUIRE(made);
    REQUIRE(::pwrite(made.get(), words.data(), words.size(), 0) ==
            static_cast<ssize_t>(words.size()));
    return made;
}
std::string words_in(const unique_fd& file) {
    std::array<char, 100> room{};
    const ssize_t count = ::pread(file.get(), room.data(), room.size(), 0);
    return {room.data(), count < 0 ? 0 : static_cast<std::size_t>(count)};
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: objects go both ways, then the end") {
    run([]() -> task<> {
        lariat::pipe<order> talk;
        const order asked{"chair", {{"leg", 4}, {"seat", 1}}};
        co_await talk.first.send(asked);
        const std::optional<order> got = co_await talk.second.recv();
        CHECK(got == asked);
        const order back{"table", {}};
        co_await talk.second.send(back);
        talk.second.close();
        const std::optional<order> answer = co_await talk.first.recv();
        CHECK(answer == back);
        const std::optional<order> end = co_await talk.first.recv();
        CHECK(!end);
        CHECK_THROWS_AS(co_await talk.first.send(asked), closed_error);
        CHECK_THROWS_AS((void)co_await talk.second.recv(), closed_error);
        CHECK(!talk.second);
        CHECK(talk.second.descriptor() == -1);
        const pipe_end<order> nobody;
        const auto refused = co_await nothrow(nobody.recv());
        CHECK(refused.error() == errc::closed);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a value is converted to its type") {
    run([]() -> task<> {
        channel talk;
        co_await talk.first.send("a literal");
        const auto got = co_await talk.second.recv();
        CHECK(got == "a literal");
        const std::string kept = "kept";
        co_await talk.first.send(kept);
        const auto copy = co_await talk.second.recv();
        CHECK(copy == kept);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a one-way pipe says which end is which") {
    run([]() -> task<> {
        channel talk(pipe_mode::one_way);
        co_await talk.second.send("this way");
        const auto got = co_await talk.first.recv();
        CHECK(got == "this way");
        CHECK_THROWS_WITH_AS((void)talk.first.send("x"), doctest::Contains("send through"),
                             std::logic_error);
        CHECK_THROWS_AS((void)talk.first.send_bytes("x"), std::logic_error);
        CHECK_THROWS_WITH_AS((void)talk.second.recv(), doctest::Contains("receive from"),
                             std::logic_error);
        CHECK_THROWS_AS((void)talk.second.poll(), std::logic_error);
        // Wherever it goes.
        auto moved = detail::pack(std::move(talk.second));
        auto again = std::get<0>(detail::unpack<channel_end>(std::move(moved)));
        CHECK_THROWS_AS((void)again.recv(), std::logic_error);
        co_await again.send("still");
        const auto still = co_await talk.first.recv();
        CHECK(still == "still");
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: bytes, and what is too long for its receiver") {
    run([]() -> task<> {
        channel talk;
        co_await talk.first.send_bytes("twelve bytes");
        co_await talk.first.send_bytes("");
        co_await talk.first.send_bytes("next");
        CHECK_THROWS_AS((void)co_await talk.second.recv_bytes(11), message_too_long);
        std::array<char, 12> room{};
        const std::array<char, 3> small{};
        std::array<char, 3> tight = small;
        const auto refused = co_await nothrow(talk.second.recv_into(tight));
        CHECK(refused.error() == errc::limit);
        CHECK(tight == small);
        const auto size = co_await talk.second.recv_into(room);
        CHECK(size == 12);
        CHECK(std::string_view(room.data(), 12) == "twelve bytes");
        const auto empty = co_await talk.second.recv_bytes(0);
        CHECK(empty == "");
        const auto next = co_await talk.second.recv_bytes();
        CHECK(next == "next");
        talk.first.close();
        const auto end = co_await talk.second.recv_bytes();
        CHECK(!end);
        const auto none = co_await talk.second.recv_into(room);
        CHECK(!none);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: bytes that are no T are an error, and the pipe goes on") {
    run([]() -> task<> {
        channel talk;
        co_await talk.first.send_bytes("abc");
        co_await talk.first.send("fine");
        CHECK_THROWS_AS((void)co_await talk.second.recv(), parcel_error);
        const auto got = co_await talk.second.recv();
        CHECK(got == "fine");
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: poll tells of a message, of the end, and of neither") {
    run([]() -> task<> {
        channel talk;
        const bool nothing = co_await talk.second.poll();
        CHECK(!nothing);
        const bool nothing_yet = co_await talk.second.poll(1ms);
        CHECK(!nothing_yet);
        auto sends = spawn([&]() -> task<> {
            co_await sleep(1ms);
            co_await talk.first.send("there");
        });
        const bool there = co_await talk.second.poll(1h);
        CHECK(there);
        const bool still = co_await talk.second.poll();
        CHECK(still);
        const auto got = co_await talk.second.recv();
        CHECK(got == "there");
        co_await std::move(sends);
        talk.first.close();
        const bool end = co_await talk.second.poll(1h);
        CHECK(end);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: its descriptor can be watched by others") {
    run([]() -> task<> {
        channel talk;
        pollfd watched{talk.second.descriptor(), POLLIN, 0};
        CHECK(::poll(&watched, 1, 0) == 0);
        co_await talk.first.send("there");
        CHECK(::poll(&watched, 1, 0) == 1);
        co_await wait_readable(talk.second.descriptor());
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: descriptors go through it") {
    run([]() -> task<> {
        lariat::pipe<unique_fd> files;
        co_await files.first.send(file_of("in the file"));
        std::optional<unique_fd> got = co_await files.second.recv();
        REQUIRE(got);
        CHECK(words_in(*got) == "in the file");
        co_await files.first.send(file_of("never read"));
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: the ends of pipes go through pipes") {
    const arena_stats before = shared_memory_stats();
    run([]() -> task<> {
        lariat::pipe<channel_end> post;
        channel talk;
        co_await talk.first.send("sent before it moved");
        co_await post.first.send(std::move(talk.second));
        CHECK(!talk.second);
        std::optional<channel_end> arrived = co_await post.second.recv();
        REQUIRE(arrived);
        const auto got = co_await arrived->recv();
        CHECK(got == "sent before it moved");
        co_await arrived->send("back");
        const auto back = co_await talk.first.recv();
        CHECK(back == "back");
        // Its end goes where nobody takes it out, and so both have gone.
        co_await post.first.send(std::move(*arrived));
        post.first.close();
        post.second.close();
        const auto end = co_await talk.first.recv();
        CHECK(!end);
    }());
    const arena_stats after = shared_memory_stats();
    CHECK(after.cells == before.cells);
    CHECK(after.references == before.references);
}

// Children

task<> echo(channel_end with) {
    for (;;) {
        std::optional<std::string> got = co_await with.recv();
        if (!got) co_return;
        co_await with.send(*got + "!");
    }
}

void echo_blocking(channel_end with) {
    while (std::optional<std::string> got = with.recv_blocking()) with.send_blocking(*got + "!");
}

task<> ask_many(const channel_end& with) {
    for (int i = 0; i < 200; ++i) {
        const std::string asked(static_cast<std::size_t>(i) * 37, 'a');
        co_await with.send(asked);
        const auto got = co_await with.recv();
        REQUIRE(got);
        CHECK((*got == asked + "!"));
    }
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a child answers, on a loop or as a plain function") {
    for (const bool has_loop : {true, false}) {
        CAPTURE(has_loop);
        run([&]() -> task<> {
            channel talk;
            process child = has_loop ? process::start(echo, std::move(talk.second))
                                     : process::start(echo_blocking, std::move(talk.second));
            co_await ask_many(talk.first);
            // Larger than the socket, both ways.
            const std::string large(10'000'000, 'L');
            co_await talk.first.send(large);
            const auto got = co_await talk.first.recv();
            REQUIRE(got);
            CHECK((*got == large + "!"));
            talk.first.close();
            const process_status ended = co_await child.join();
            CHECK(ended.exit_code() == 0);
        }());
    }
}

void send_and_return(channel_end to, int count) {
    for (int i = 0; i < count; ++i) to.send_blocking(std::to_string(i));
}
task<> send_and_end(channel_end to, int count) {
    for (int i = 0; i < count; ++i) co_await to.send(std::to_string(i));
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: what a child had sent is received after its end") {
    for (const bool has_loop : {true, false}) {
        run([&]() -> task<> {
            channel talk;
            process child = has_loop ? process::start(send_and_end, std::move(talk.second), 100)
                                     : process::start(send_and_return, std::move(talk.second), 100);
            (void)co_await child.join();
            for (int i = 0; i < 100; ++i) {
                const auto got = co_await talk.first.recv();
                CHECK(got == std::to_string(i));
            }
            const auto end = co_await talk.first.recv();
            CHECK(!end);
        }());
    }
}

task<> wait_for_ever(channel_end with) {
    co_await with.send("here");
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: the end of a killed child is seen at once") {
    run([]() -> task<> {
        channel talk;
        channel other;
        process child = process::start(wait_for_ever, std::move(talk.second));
        // Started while the first lives: it must not have a copy of the pipe's end.
        process bystander = process::start(wait_for_ever, std::move(other.second));
        (void)co_await talk.first.recv();
        (void)co_await other.first.recv();
        CHECK(child.kill());
        const auto end = co_await timeout(10s, talk.first.recv());
        CHECK(!end);
        CHECK_THROWS_AS(co_await talk.first.send("too late"), closed_error);
        CHECK(bystander.is_alive());
        (void)co_await child.join();
        CHECK(bystander.kill());
        (void)co_await bystander.join();
    }());
}

void send_large(channel_end to) { to.send_blocking(std::string(50'000'000, 'k')); }

task<> take_none(channel_end from) {
    (void)co_await from.poll(1h);
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a child killed inside of a message") {
    run([]() -> task<> {
        channel talk;
        process sender = process::start(send_large, std::move(talk.second));
        co_await wait_readable(talk.first.descriptor());
        CHECK(sender.kill());
        (void)co_await sender.join();
        const auto part = co_await nothrow(talk.first.recv());
        CHECK(part.error() == errc::incomplete);
        channel other;
        process receiver = process::start(take_none, std::move(other.second));
        auto sends = spawn([&]() -> task<std::error_code> {
            std::string large(50'000'000, 's');
            const result<void> sent = co_await nothrow(other.first.send(std::move(large)));
            co_return sent.error();
        });
        co_await sleep(1ms);
        CHECK(receiver.kill());
        const std::error_code why = co_await std::move(sends);
        CHECK(why == errc::closed);
        (void)co_await receiver.join();
    }());
}

task<> forward(pipe_end<channel_end> to, channel_end what) { co_await to.send(std::move(what)); }

TEST_CASE_FIXTURE(leak_check,
                  "pipe of T: an end goes to a child, back through a pipe, and is the same") {
    run([]() -> task<> {
        channel talk;
        lariat::pipe<channel_end> post;
        co_await talk.first.send("one");
        co_await talk.first.send("two");
        const auto one = co_await talk.second.recv();  // "two" is received with it
        CHECK(one == "one");
        process child = process::start(forward, std::move(post.second), std::move(talk.second));
        std::optional<channel_end> back = co_await post.first.recv();
        REQUIRE(back);
        const auto two = co_await back->recv();
        CHECK(two == "two");
        (void)co_await child.join();
        co_await back->send("three");
        const auto three = co_await talk.first.recv();
        CHECK(three == "three");
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a thread without a loop polls and receives bytes") {
    channel talk;
    CHECK(!talk.second.poll_blocking());
    CHECK(!talk.second.poll_blocking(1ms));
    CHECK(!talk.second.poll_blocking(lariat::duration::min()));
    talk.first.send_bytes_blocking("four");
    CHECK(talk.second.poll_blocking(1h));
    CHECK_THROWS_AS((void)talk.second.recv_bytes_blocking(3), message_too_long);
    CHECK(talk.second.recv_bytes_blocking() == "four");
    talk.first.send_bytes_blocking("and more");
    std::array<char, 8> room{};
    CHECK(talk.second.recv_into_blocking(room) == 8);
    talk.first.close();
    CHECK(!talk.second.recv_blocking());
    CHECK_THROWS_AS(talk.second.send_blocking("x"), closed_error);
}

const lariat::test::role polls_by_blocking("polls by blocking", [] {
    run([]() -> task<> {
        const channel talk;
        (void)talk.second.poll_blocking(1ms);
        co_return;
    }());
    return 0;
});

TEST_CASE("pipe of T: a blocking verb where a loop runs is refused by its name and place") {
    lariat::test::program it("polls by blocking");
    const std::string said = it.rest();
    CHECK(it.wait() == -SIGABRT);
    CHECK_MESSAGE(said.find("pipe_test.cpp") != std::string::npos, said);
    CHECK_MESSAGE(said.find("wrong: x.poll_blocking()\n") != std::string::npos, said);
}

TEST_CASE_FIXTURE(leak_check, "pipe of T: a full pipe's send is cut, and the pipe goes on") {
    run([]() -> task<> {
        channel talk;
        std::size_t sent = 0;
        for (;; ++sent) {
            const auto ended =
                co_await nothrow(timeout(2ms, talk.first.send(std::string(10'000, 'f'))));
            if (!ended) break;
        }
        auto cut = co_await cut_after(1ms, [&]() -> task<> { co_await talk.first.send("cut"); });
        CHECK(cut.is_cancelled());
        auto last = spawn([&]() -> task<> {
            co_await talk.first.send("last");
            talk.first.close();
        });
        std::vector<std::string> got;
        while (true) {
            std::optional<std::string> each = co_await talk.second.recv();
            if (!each) break;
            got.push_back(std::move(*each));
        }
        co_await std::move(last);
        // One that had begun when its time ran out counted as sent.
        REQUIRE(got.size() == sent + 1);
        CHECK(got.back() == "last");
        CHECK(got.front().size() == 10'000);
    }());
}

}  // namespace

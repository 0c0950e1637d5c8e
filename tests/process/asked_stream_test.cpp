// A stream that is waited for and that its loop asks by itself, awake, before its driver hears of
// it (loop/asked_polls.hpp). Where a wait must not outlast such looks, it is tried again: others
// may have had the core meanwhile.
#include "leak_check.hpp"
#include "loop/loop_state.hpp"
#include "message_support.hpp"
#include "timed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/pipe.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/settled.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <sys/eventfd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;
using detail::asked_polls;

detail::loop_state& here() { return detail::loop_state::current(); }
std::uint64_t submitted() { return here().driver_.stats().submitted; }

/// Runs `attempt` in loops of their own until it says that nothing came in between.
void until_undisturbed(const std::function<task<bool>()>& attempt) {
    for (int tries = 0; tries < 1000; ++tries) {
        if (run(attempt())) return;
    }
    FAIL("never, in 1,000 tries");
}

TEST_CASE_FIXTURE(leak_check, "asked stream: a message that comes soon costs the driver nothing") {
    until_undisturbed([]() -> task<bool> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        REQUIRE_FALSE(here().asked_.empty());
        const std::uint64_t before = submitted();
        co_await ends.right.send(text("soon"));
        const std::string got = co_await std::move(waiting);
        CHECK(got == "soon");
        CHECK(here().asked_.empty());
        co_return submitted() == before;
    });
}

TEST_CASE_FIXTURE(leak_check, "asked stream: the driver has it once the loop has other work") {
    until_undisturbed([]() -> task<bool> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        const bool was_asked = !here().asked_.empty();
        const std::uint64_t before = submitted();
        for (int turn = 0; turn < 1000; ++turn) co_await yield_now();
        CHECK(here().asked_.empty());
        const bool handed_over = was_asked && submitted() == before + 1;
        co_await ends.right.send(text("later"));
        const std::string got = co_await std::move(waiting);
        CHECK(got == "later");
        co_return handed_over;
    });
}

TEST_CASE_FIXTURE(leak_check, "asked stream: the driver has it when the loop sleeps") {
    run([]() -> task<> {
        both_ends ends;
        for (int i = 0; i < 5; ++i) {
            auto waiting = spawn(next(ends.left));
            // Longer where others had the core all that time, so that it looked but once.
            for (int tries = 0; tries == 0 || (tries < 100 && !here().asked_.empty()); ++tries)
                co_await sleep(2ms);
            CHECK(here().asked_.empty());
            co_await ends.right.send(text("late"));
            const std::string got = co_await std::move(waiting);
            CHECK(got == "late");
        }
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        CHECK(here().asked_.empty());  // by now it sleeps at once
        ends.right.close();
        const std::string got = co_await std::move(waiting);
        CHECK(got == "the end");
    }());
}

TEST_CASE_FIXTURE(leak_check, "asked stream: nor is one asked where a loop shall sleep") {
    run_options sleepy;
    sleepy.brief_spin = false;
    const bool asked = run(sleepy, []() -> task<bool> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        const bool is_asked = !here().asked_.empty();
        ends.right.close();
        (void)co_await std::move(waiting);
        co_return is_asked;
    }());
    CHECK_FALSE(asked);
}

TEST_CASE_FIXTURE(leak_check, "asked stream: cut, it has taken nothing") {
    run([]() -> task<> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        REQUIRE_FALSE(here().asked_.empty());
        co_await ends.right.send(text("kept"));
        waiting.cancel();
        CHECK(here().asked_.empty());
        const auto ended = co_await settled(std::move(waiting));
        CHECK(ended.is_cancelled());
        const std::string got = co_await next(ends.left);
        CHECK(got == "kept");
    }());
}

TEST_CASE_FIXTURE(leak_check, "asked stream: closed, it ends") {
    run([]() -> task<> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        REQUIRE_FALSE(here().asked_.empty());
        ends.left.close();
        CHECK(here().asked_.empty());
        CHECK_THROWS_AS((void)co_await std::move(waiting), closed_error);
        const std::string other = co_await next(ends.right);
        CHECK(other == "the end");
    }());
}

TEST_CASE_FIXTURE(leak_check, "asked stream: closed where no loop runs, it ends in its own") {
    run([]() -> task<> {
        both_ends ends;
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        REQUIRE_FALSE(here().asked_.empty());
        scheduler* const own = std::exchange(this_scheduler, nullptr);  // as in a plain function
        ends.left.close();
        this_scheduler = own;
        CHECK(here().asked_.empty());
        CHECK(here().expected_ == 0);
        CHECK_THROWS_AS((void)co_await std::move(waiting), closed_error);
    }());
}

TEST_CASE_FIXTURE(leak_check, "asked stream: of many, some are asked, and each gets its own") {
    run([]() -> task<> {
        std::vector<both_ends> ends(3 * asked_polls::most);
        std::vector<join_handle<std::string>> waiting;
        waiting.reserve(ends.size());
        for (const both_ends& each : ends) waiting.push_back(spawn(next(each.left)));
        co_await yield_now();
        CHECK(here().asked_.full());
        for (std::size_t i = ends.size(); i-- != 0;)
            co_await ends[i].right.send(text(std::to_string(i)));
        for (std::size_t i = 0; i < ends.size(); ++i) {
            const std::string got = co_await std::move(waiting[i]);
            CHECK(got == std::to_string(i));
        }
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "asked stream: none keeps a message waiting that the driver is to see") {
    run([]() -> task<> {
        both_ends first;
        both_ends second;
        for (int round = 0; round < 100; ++round) {
            auto waiting = spawn(next(first.left));
            for (int turn = 0; turn < 300; ++turn) co_await yield_now();
            REQUIRE(here().asked_.empty());
            auto other = spawn(next(second.left));
            co_await yield_now();
            co_await first.right.send(text("now"));
            const std::uint64_t before = here().turns_;
            const std::string got = co_await std::move(waiting);
            CHECK(got == "now");
            CHECK(here().turns_ - before <= 10);
            co_await second.right.send(text("then"));
            (void)co_await std::move(other);
        }
    }());
}

TEST_CASE_FIXTURE(leak_check, "asked stream: a message that comes in pieces is waited for whole") {
    run([]() -> task<> {
        both_ends ends;
        const std::string large(1'000'000, 'l');  // more than the socket takes
        auto waiting = spawn(next(ends.left));
        co_await yield_now();
        co_await ends.right.send(text(large));
        const std::string got = co_await std::move(waiting);
        CHECK((got == large));
    }());
}

using channel = lariat::pipe<int>;

task<> echo(pipe_end<int> with) {
    while (const std::optional<int> got = co_await with.recv()) co_await with.send(*got);
}

task<> hear(int descriptor, bool& heard) {
    co_await wait_readable(descriptor);
    heard = true;
}

TEST_CASE_FIXTURE(leak_check, "asked stream: however soon its answers come, others are heard") {
    run([]() -> task<> {
        channel talk;
        process child = process::start(echo, std::move(talk.second));
        const unique_fd other(::eventfd(0, EFD_CLOEXEC));
        bool heard = false;
        auto hearing = spawn(hear(other.get(), heard));
        int trips_since = 0;  // it could be heard: each is a few looks
        for (int trip = 0; trips_since < 2'000 && !heard; ++trip) {
            co_await talk.first.send(trip);
            const std::optional<int> got = co_await talk.first.recv();
            REQUIRE(got == trip);
            if (trip == 1'000) REQUIRE(::eventfd_write(other.get(), 1) == 0);
            if (trip >= 1'000) ++trips_since;
        }
        CHECK(heard);
        co_await std::move(hearing);
        talk.first.close();
        const auto status = co_await child.join();
        CHECK(status.exit_code() == 0);
    }());
}

}  // namespace

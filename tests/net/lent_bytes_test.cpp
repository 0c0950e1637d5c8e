#include <lariat/net/lent_bytes.hpp>

#include "heap_fault.hpp"
#include "net_support.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace net_test;

TEST_CASE("lent_bytes: no bytes are none to begin with, and after a move") {
    lent_bytes none;
    CHECK(none.empty());
    CHECK_FALSE(static_cast<bool>(none));
    lent_bytes moved(std::move(none));
    moved = lent_bytes();
    CHECK(moved.text().empty());
}

TEST_CASE("lent_bytes: gives the bytes where they lie, as often as one looks") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto sending = spawn(
            [](tcp_stream& to) -> task<> {
                co_await turns(3);
                co_await to.write_all("lent");
            },
            std::ref(both.near));
        const lent_bytes chunk = co_await both.far.receive();
        CHECK(static_cast<bool>(chunk));
        CHECK(chunk.text() == "lent");
        CHECK(chunk.size() == 4);
        co_await both.far.write_all(chunk);  // sent from where it lies
        const std::string back = co_await read_count(both.near, 4);
        CHECK(back == "lent");
        co_await sending;
    });
}

TEST_CASE(
    "lent_bytes: a lease keeps its bytes while others receive, and gives them back in any order") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        std::vector<lent_bytes> held;
        std::uint64_t received = 0;
        const std::string data = pattern(0, 400'000);
        auto sending = spawn(
            [](tcp_stream& to, const std::string& what) -> task<> {
                co_await to.write_all(what);
                to.shutdown();
            },
            std::ref(both.near), std::cref(data));
        for (bool more = true; more;) {
            lent_bytes chunk = co_await both.far.receive();
            more = !chunk.empty();
            received += chunk.size();
            if (more) held.push_back(std::move(chunk));
        }
        co_await sending;
        CHECK(received == data.size());
        std::uint64_t at = 0;
        for (const lent_bytes& each : held) {
            const auto* text = reinterpret_cast<const char*>(each.data());
            CHECK(matching(at, text, each.size()) == each.size());
            at += each.size();
        }
        for (std::size_t i = 0; i < held.size(); i += 2) held[i] = lent_bytes();
        while (!held.empty()) held.pop_back();
        CHECK(lariat::loop::current().stats().driver.lent == 0);
    });
}

TEST_CASE("lent_bytes: a lease outlives its stream") {
    on_loop([]() -> task<> {
        std::optional<ends> both;
        both.emplace(co_await connected());
        auto reading = spawn(
            [](tcp_stream& from) -> task<lent_bytes> {
                lent_bytes got = co_await from.receive();
                co_return got;
            },
            std::ref(both->far));
        co_await turns(3);
        co_await both->near.write_all("stays");
        const lent_bytes kept = co_await reading;
        co_await both->far.close();
        both.reset();
        ends other = co_await connected();
        co_await other.near.write_all("something else");
        const lent_bytes next = co_await other.far.receive();
        CHECK(next.text() == "something else");
        CHECK(kept.text() == "stays");
    });
}

TEST_CASE("lent_bytes: a lease outlives its loop, and moves where none runs") {
    const lariat::test::leak_check leaks;
    lent_bytes kept;
    lent_bytes moved;
    {
        lariat::loop own;
        own.run([](lent_bytes& to) -> task<> {
            ends both = co_await connected();
            auto reading = spawn(
                [](tcp_stream& from) -> task<lent_bytes> {
                    lent_bytes got = co_await from.receive();
                    co_return got;
                },
                std::ref(both.far));
            co_await turns(3);
            co_await both.near.write_all("for ever");
            to = co_await reading;
        }(kept));
        CHECK(kept.text() == "for ever");
        moved = std::move(kept);  // no loop runs here
        CHECK(own.stats().driver.lent == 1);
    }
    CHECK(kept.empty());
    CHECK(moved.text() == "for ever");
    const lent_bytes again(std::move(moved));
    CHECK(again.text() == "for ever");
}

TEST_CASE("lent_bytes: a loop that closes without memory for a copy leaves no bytes" *
          doctest::skip(!lariat::test::heap_fault::strikes)) {
    const lariat::test::leak_check leaks;
    const std::string text(3001, 'x');
    lent_bytes kept;
    std::optional<lariat::loop> own(std::in_place);
    own->run([](lent_bytes& to, const std::string& what) -> task<> {
        ends both = co_await connected();
        auto reading = spawn(
            [](tcp_stream& from) -> task<lent_bytes> {
                lent_bytes got = co_await from.receive();
                co_return got;
            },
            std::ref(both.far));
        co_await turns(3);
        co_await both.near.write_all(what);
        to = co_await reading;
    }(kept, text));
    CHECK(kept.text() == text);
    {
        const lariat::test::heap_fault no_room_for_a_copy(text.size());
        own.reset();
        CHECK(no_room_for_a_copy.struck() == 1);
    }
    CHECK(kept.empty());
    CHECK(kept.text().empty());
}

TEST_CASE("lent_bytes: more leases than there are buffers make others wait, and nothing is lost") {
    run_options options;
    options.driver.lent_buffer_bytes = 16 * 1024;
    options.driver.lent_buffer_count = 2;
    on_loop(
        []() -> task<> {
            ends greedy = co_await connected();
            ends modest = co_await connected();
            const std::string data = pattern(0, 300'000);
            auto sending = spawn(
                [](tcp_stream& to, const std::string& what) -> task<> {
                    co_await to.write_all(what);
                    to.shutdown();
                },
                std::ref(greedy.near), std::cref(data));
            std::vector<lent_bytes> held;
            held.push_back(co_await greedy.far.receive());
            co_await modest.near.write_all("me too");
            auto reading = spawn(read_count(modest.far, 6));
            co_await turns(20);
            held.clear();
            const std::string got = co_await reading;
            CHECK(got == "me too");
            (void)co_await read_all(greedy.far);
            co_await sending;
        },
        options);
}

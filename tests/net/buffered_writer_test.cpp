#include <lariat/net/buffered_writer.hpp>

#include "net_support.hpp"

#include <lariat/task/timeout.hpp>

#include <random>
#include <string>
#include <utility>

using namespace net_test;

TEST_CASE("buffered_writer: keeps small writes, and sends them together") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        buffered_writer writer(both.near, 10);
        co_await writer.write("abc");
        co_await writer.write("defg");
        CHECK(writer.buffered() == 7);
        co_await writer.write("hij");  // the last that fits
        CHECK(writer.buffered() == 10);
        co_await writer.write("k");
        CHECK(writer.buffered() == 0);
        const std::string first = co_await read_count(both.far, 11);
        CHECK(first == "abcdefghijk");
        co_await writer.write("lm");
        co_await writer.flush();
        CHECK(writer.buffered() == 0);
        co_await writer.flush();  // of nothing
        both.near.shutdown();
        const std::string rest = co_await read_all(both.far);
        CHECK(rest == "lm");
    });
}

TEST_CASE("buffered_writer: all sizes of writes arrive in order") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        auto reading = spawn(read_all(both.far));
        buffered_writer writer(both.near, 1000);
        std::mt19937_64 random(4);
        std::uint64_t written = 0;
        for (int i = 0; i < 2000; ++i) {
            const std::size_t largest = i % 10 == 0 ? 3000 : 80;
            const std::string piece = pattern(written, random() % largest);
            co_await writer.write(piece);
            written += piece.size();
        }
        co_await writer.flush();
        both.near.shutdown();
        const std::string all = co_await reading;
        CHECK(all.size() == written);
        CHECK(matching(0, all.data(), all.size()) == all.size());
    });
}

TEST_CASE("buffered_writer: dropped with bytes unsent, it sends none of them") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        {
            buffered_writer writer(both.near);
            co_await writer.write("never sent");
        }
        both.near.close();
        const std::string none = co_await read_all(both.far);
        CHECK(none.empty());
    });
}

TEST_CASE("buffered_writer: a closed stream is an error at the flush; a cut flush breaks it") {
    on_loop([]() -> task<> {
        ends both = co_await connected();
        buffered_writer writer(both.near, 40'000'000);
        const std::string much(30'000'000, 'x');
        co_await writer.write(much);
        auto flushing = writer.flush();
        const auto late = co_await nothrow(timeout(30ms, std::move(flushing)));
        CHECK(late.error() == errc::timed_out);
        const auto broken = co_await nothrow(writer.flush());
        CHECK(broken.error() == errc::broken);
        both.near.close();
        const auto closed = co_await nothrow(writer.flush());
        CHECK(closed.error() == errc::closed);
    });
}

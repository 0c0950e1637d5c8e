// What a kernel may do and seldom does, through the seam between a loop and its driver.
#include "net_support.hpp"
#include "test_loop.hpp"

#include <lariat/net/serve.hpp>
#include <lariat/task/timeout.hpp>

#include "driver/fault.hpp"
#include "driver/sim/sim_driver.hpp"
#include "loop/loop_state.hpp"

#include <array>
#include <cerrno>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace net_test;
using lariat::detail::fault;
using lariat::detail::fault_plan;
using lariat::detail::loop_state;

namespace {

task<loop_state*> own_state() { co_return &loop_state::current(); }

/// Runs body() with a plan of faults in the driver; then everything is counted back.
template <class Body>
void with_faults(fault_plan& plan, Body body) {
    const lariat::test::leak_check leaks;
    lariat::loop own;
    own.run(own_state())->driver_.set_faults(&plan);
    own.run(body());
    CHECK(own.stats().driver.lent == 0);
    CHECK(own.stats().timers == 0);
    own.close();
    CHECK(own.stats().driver.in_flight == 0);
}

/// Some of everything that goes unnoticed by those above.
void shake(fault_plan& plan, std::mt19937_64& random) {
    const auto rate = [&random] { return static_cast<std::uint32_t>(random() % 200); };
    const auto some = [&random](std::uint64_t most) {
        return static_cast<std::uint32_t>(random() % most + 1);
    };
    plan.sometimes(rate(), fault::shorten(some(100)), op_code::send);
    plan.sometimes(rate(), fault::shorten(some(100)), op_code::send_msg);
    plan.sometimes(rate(), fault::delay(some(5)));
    plan.sometimes(rate(), fault::late_cancel(some(4)));
    plan.reorder(random() % 2 == 0);
}

task<> echo(tcp_stream client) {
    for (;;) {
        const lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;
        co_await client.write_all(chunk);
    }
    client.shutdown();
}

/// Sends pieces, whole and gathered, and reads what comes back, with impatience. Returns how many
/// bytes were lost, doubled or wrong.
task<std::uint64_t> exchange(tcp_stream stream, std::uint64_t seed) {
    auto sending = spawn(
        [](tcp_stream& to, std::uint64_t from) -> task<std::uint64_t> {
            std::mt19937_64 random(from);
            std::uint64_t sent = 0;
            for (int i = 0; i < 20; ++i) {
                const std::string piece = pattern(sent, random() % 3000 + 1);
                const std::size_t half = random() % piece.size();
                const std::array<lariat::bytes, 2> two{lariat::bytes(piece.data(), half),
                                                       lariat::bytes(piece).after(half)};
                const std::span<const lariat::bytes> parts(two);
                if (random() % 2 == 0)
                    co_await to.write_all(piece);
                else
                    co_await to.write_all(parts);
                sent += piece.size();
            }
            to.shutdown();
            co_return sent;
        },
        std::ref(stream), seed);
    std::mt19937_64 random(seed + 1);
    std::string room(2000, '\0');
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;
    for (;;) {
        const auto limit = std::chrono::microseconds(random() % 300);
        auto reading = stream.read_some(room);
        const auto got = co_await nothrow(timeout(limit, std::move(reading)));
        if (!got && got.error() == errc::timed_out) continue;
        if (!got) throw_error(got.error(), "reading in an exchange");
        if (*got == 0) break;
        wrong += *got - matching(received, room.data(), *got);
        received += *got;
    }
    const std::uint64_t sent = co_await sending;
    co_return wrong + (sent > received ? sent - received : received - sent);
}

struct verb_codes {
    std::error_code read;
    std::error_code written;
    std::error_code gathered;
};

}  // namespace

TEST_CASE("faults: an errno of each verb comes to its caller, and to nobody else") {
    for (const int kind : {ENETDOWN, ETIMEDOUT, ENOBUFS, EHOSTUNREACH}) {
        fault_plan plan;
        plan.at(op_code::recv, 0, fault::fail(kind));
        plan.at(op_code::send, 0, fault::fail(kind));
        plan.at(op_code::send_msg, 0, fault::fail(kind));
        plan.at(op_code::connect, 1, fault::fail(kind));
        verb_codes codes;
        with_faults(plan, [&codes, kind]() -> task<> {
            ends both = co_await connected();
            const auto refused = co_await nothrow(tcp_stream::connect(loopback()));
            CHECK(refused.error().value() == kind);
            std::array<char, 4> room{};
            const std::array<lariat::bytes, 1> one{lariat::bytes("x")};
            const std::span<const lariat::bytes> parts(one);
            const auto read = co_await nothrow(both.near.read_some(room));
            const auto written = co_await nothrow(both.near.write_all("x"));
            const auto gathered = co_await nothrow(both.near.write_all(parts));
            codes = {read.error(), written.error(), gathered.error()};
            co_await both.near.write_all("fine");  // nothing of the failed ones had gone
            const std::string got = co_await read_count(both.far, 4);
            CHECK(got == "fine");
        });
        for (const std::error_code& code : {codes.read, codes.written, codes.gathered})
            CHECK(code.value() == kind);
        CHECK(plan.struck() == 4);
    }
}

TEST_CASE("faults: an error in the middle of write_all leaves the stream broken") {
    fault_plan plan;
    plan.at(op_code::send, 0, fault::shorten(3)).at(op_code::send, 1, fault::fail(ENOBUFS));
    with_faults(plan, []() -> task<> {
        ends both = co_await connected();
        const auto failed = co_await nothrow(both.near.write_all("abcdef"));
        CHECK(failed.error() == std::errc::no_buffer_space);
        const auto then = co_await nothrow(both.near.write_all("ghi"));
        CHECK(then.error() == errc::broken);
        both.near.close();
        const std::string got = co_await read_all(both.far);
        CHECK(got == "abc");
    });
}

TEST_CASE("faults: write_some gives what a short send took") {
    fault_plan plan;
    plan.at(op_code::send, 0, fault::shorten(2));
    with_faults(plan, []() -> task<> {
        ends both = co_await connected();
        const std::size_t taken = co_await both.near.write_some("abcdef");
        CHECK(taken == 2);
        co_await both.near.write_all("!");
        const std::string got = co_await read_count(both.far, 3);
        CHECK(got == "ab!");
    });
}

TEST_CASE("faults: a cancellation that comes late finds the bytes delivered or kept") {
    for (std::uint32_t turns_late = 1; turns_late < 6; ++turns_late) {
        fault_plan plan;
        plan.sometimes(1000, fault::late_cancel(turns_late));
        with_faults(plan, []() -> task<> {
            ends both = co_await connected();
            for (int i = 0; i < 20; ++i) {
                std::array<char, 8> room{};
                auto reading = both.far.read_some(room);
                const auto none = co_await nothrow(timeout(10us, std::move(reading)));
                CHECK(none.error() == errc::timed_out);
                co_await both.near.write_all("data");
                const std::string got = co_await read_count(both.far, 4);
                CHECK(got == "data");
            }
        });
    }
}

TEST_CASE("faults: a close waits for operations whose ends come late") {
    for (std::uint32_t late = 0; late < 6; ++late) {
        fault_plan plan;
        plan.sometimes(1000, fault::late_cancel(late + 1)).sometimes(500, fault::delay(late));
        with_faults(plan, []() -> task<> {
            ends both = co_await connected();
            auto reading = spawn(
                [](tcp_stream& from) -> task<std::error_code> {
                    const auto got = co_await nothrow(from.receive());
                    co_return got.error();
                },
                std::ref(both.near));
            auto writing = spawn(
                [](tcp_stream& to) -> task<std::error_code> {
                    const std::string much(30'000'000, 'x');
                    const auto sent = co_await nothrow(to.write_all(much));
                    co_return sent.error();
                },
                std::ref(both.near));
            co_await turns(10);
            co_await both.near.close();
            const auto read = co_await reading;
            const auto written = co_await writing;
            CHECK(read == errc::closed);
            CHECK(written == errc::closed);
        });
    }
}

TEST_CASE("faults: echo under seeded faults loses nothing and doubles nothing") {
    const std::uint64_t runs = lariat::test::long_tests() ? 3000 : 100;
    for (std::uint64_t seed = 0; seed < runs; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        fault_plan plan(seed);
        shake(plan, random);
        with_faults(plan, [seed]() -> task<> {
            auto listener = tcp_listener::bind(loopback());
            auto serving = spawn(serve(listener, echo));
            std::vector<join_handle<std::uint64_t>> clients;
            for (std::uint64_t i = 0; i < 4; ++i) {
                auto stream = co_await tcp_stream::connect(listener.local_endpoint());
                clients.push_back(spawn(exchange(std::move(stream), seed * 10 + i)));
            }
            for (auto& each : clients) {
                const std::uint64_t wrong = co_await each;
                CHECK(wrong == 0);
            }
            listener.close();
            co_await serving;
        });
    }
}

TEST_CASE("faults: on the simulator, every order and every fault of many seeds") {
    const std::uint64_t runs = lariat::test::long_tests() ? 10'000 : 300;
    std::size_t struck = 0;
    for (std::uint64_t seed = 0; seed < runs; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        fault_plan plan(seed);
        shake(plan, random);
        lariat::test::test_loop loop(seed);
        lariat::detail::sim_link link;
        link.latency = std::chrono::microseconds(random() % 500);
        link.capacity = random() % 4000 + 1;
        link.chunk = random() % 700 + 1;
        loop.sim().network().shape_new(link);
        loop.run(own_state())->driver_.set_faults(&plan);
        loop.run([&loop, seed]() -> task<> {
            const auto [near, far] = loop.sim().network().socket_pair(1000 + seed);
            auto sending = spawn(
                [](tcp_stream to, std::uint64_t from) -> task<std::uint64_t> {
                    std::mt19937_64 draw(from);
                    std::uint64_t sent = 0;
                    for (int i = 0; i < 20; ++i) {
                        const std::string piece = pattern(sent, draw() % 2000 + 1);
                        co_await to.write_all(piece);
                        sent += piece.size();
                    }
                    co_await to.close();
                    co_return sent;
                },
                tcp_stream(near), seed);
            tcp_stream receiving(far);
            std::mt19937_64 draw(seed);
            std::string room(500, '\0');
            std::uint64_t received = 0;
            std::uint64_t wrong = 0;
            for (;;) {
                const auto limit = std::chrono::microseconds(draw() % 300);
                auto reading = receiving.read_some(room);
                const auto got = co_await nothrow(timeout(limit, std::move(reading)));
                if (!got) continue;
                if (*got == 0) break;
                wrong += *got - matching(received, room.data(), *got);
                received += *got;
            }
            const std::uint64_t sent = co_await sending;
            CHECK(received == sent);
            CHECK(wrong == 0);
            co_await receiving.close();
        });
        struck += plan.struck();
        CHECK(loop.sim().network().open_descriptors() == 0);
        loop.loop().close();
    }
    CHECK(struck > runs);
}

#include "connect_race.hpp"

#include "net_support.hpp"
#include "test_loop.hpp"

#include <lariat/task/settled.hpp>

#include <cerrno>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace net_test;
using lariat::detail::connect_failures;
using lariat::detail::connect_race;
using lariat::detail::families_in_turn;
using lariat::detail::in_brackets;
using lariat::test::test_loop;

namespace {

/// What a connection is here: where it leads, and its share in the count of those that are open.
struct link {
    endpoint to;
    std::shared_ptr<int> open;
};

/// How an address answers: after so long, with a connection or an errno.
struct answer {
    duration after{};
    int error = 0;
};
constexpr answer never{std::chrono::hours(100), ETIMEDOUT};

/// Addresses that answer as they are told, and what was asked of them.
struct world {
    explicit world(test_loop& on) : loop(&on) {}

    task<result<link>> operator()(endpoint to) {
        asked.emplace_back(to.port(), loop->elapsed());
        const std::shared_ptr<int> mine = open;  // as a socket is open while it connects
        const answer how = answers.at(to.port());
        co_await sleep(how.after);
        if (how.error != 0) co_return system_code(-how.error);
        co_return link{to, mine};
    }
    [[nodiscard]] long left_open() const { return open.use_count() - 1; }

    test_loop* loop;
    std::map<int, answer> answers;
    std::vector<std::pair<int, duration>> asked;  ///< the port, and when
    std::shared_ptr<int> open = std::make_shared<int>(0);
};

/// Ports 1, 2, 3 and so on, with these answers.
std::vector<endpoint> told(world& here, const std::vector<answer>& answers) {
    std::vector<endpoint> all;
    for (const answer& each : answers) {
        const int port = static_cast<int>(all.size()) + 1;
        here.answers[port] = each;
        all.emplace_back("192.0.2.1", port);
    }
    return all;
}

using asked_at = std::vector<std::pair<int, duration>>;

std::vector<std::string> texts(const std::vector<endpoint>& all) {
    std::vector<std::string> each;
    for (const endpoint& one : all) each.push_back(one.address().to_string());
    return each;
}

}  // namespace

TEST_CASE("connect race: the families take turns, the resolver's first choice begins") {
    const endpoint a4("192.0.2.1", 1);
    const endpoint b4("192.0.2.2", 1);
    const endpoint c4("192.0.2.3", 1);
    const endpoint a6("2001:db8::1", 1);
    const endpoint b6("2001:db8::2", 1);
    using names = std::vector<std::string>;
    CHECK(texts(families_in_turn({a6, b6, a4, b4, c4})) ==
          names{"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"});
    CHECK(texts(families_in_turn({a4, a6, b6})) ==
          names{"192.0.2.1", "2001:db8::1", "2001:db8::2"});
    CHECK(texts(families_in_turn({a4, b4})) == names{"192.0.2.1", "192.0.2.2"});
    CHECK(families_in_turn({}).empty());
}

TEST_CASE_FIXTURE(test_loop,
                  "connect race: an address that answers at once is the only one asked") {
    world here(*this);
    run([&]() -> task<> {
        connect_failures failed;
        connect_race<link, world> race(told(here, {{10ms}, {0ms}}), here, failed);
        const auto made = co_await race.run();
        REQUIRE(made);
        CHECK(made->to.port() == 1);
        CHECK(failed.each.empty());
    });
    CHECK(elapsed() == 10ms);
    CHECK(here.asked == asked_at{{1, 0ms}});
}

TEST_CASE_FIXTURE(test_loop,
                  "connect race: one that is silent has 250 ms, and goes on beside the next") {
    world here(*this);
    run([&]() -> task<> {
        connect_failures failed;
        connect_race<link, world> race(told(here, {never, never, {30ms}, {0ms}}), here, failed);
        const auto made = co_await race.run();
        REQUIRE(made);
        CHECK(made->to.port() == 3);
        CHECK(here.left_open() == 1);  // the losers are gone when it returns
    });
    CHECK(elapsed() == 530ms);
    CHECK(here.asked == asked_at{{1, 0ms}, {2, 250ms}, {3, 500ms}});
    CHECK(here.left_open() == 0);
}

TEST_CASE_FIXTURE(test_loop,
                  "connect race: a slow address may still win over those begun after it") {
    world here(*this);
    run([&]() -> task<> {
        connect_failures failed;
        connect_race<link, world> race(told(here, {{400ms}, {300ms}}), here, failed);
        const auto made = co_await race.run();
        REQUIRE(made);
        CHECK(made->to.port() == 1);
    });
    CHECK(elapsed() == 400ms);
    CHECK(here.asked == asked_at{{1, 0ms}, {2, 250ms}});
    CHECK(here.left_open() == 0);
}

TEST_CASE_FIXTURE(test_loop, "connect race: after a refusal the next is asked at once") {
    world here(*this);
    run([&]() -> task<> {
        connect_failures failed;
        const answer refuses{20ms, ECONNREFUSED};
        connect_race<link, world> race(told(here, {refuses, refuses, {5ms}}), here, failed);
        const auto made = co_await race.run();
        REQUIRE(made);
        CHECK(made->to.port() == 3);
        CHECK(failed.each.size() == 2);
    });
    CHECK(elapsed() == 45ms);
    CHECK(here.asked == asked_at{{1, 0ms}, {2, 20ms}, {3, 40ms}});
}

TEST_CASE_FIXTURE(test_loop,
                  "connect race: of two that answer in the same turn one is taken, one closed") {
    for (int round = 0; round < 2; ++round) {
        world here(*this);
        run([&]() -> task<> {
            connect_failures failed;
            connect_race<link, world> race(told(here, {{300ms}, {50ms}}), here, failed);
            const auto made = co_await race.run();
            REQUIRE(made);
            CHECK(made->to.port() == 1);  // between equals the one that was asked first
            CHECK(here.left_open() == 1);
        });
        CHECK(elapsed() == 300ms);
    }
}

TEST_CASE_FIXTURE(
    test_loop, "connect race: when all fail, each reason is kept, and the last one's is the code") {
    world here(*this);
    run([&]() -> task<> {
        connect_failures failed;
        const std::vector<answer> bad{{600ms, ETIMEDOUT}, {10ms, ECONNREFUSED}, {1ms, ENETUNREACH}};
        connect_race<link, world> race(told(here, bad), here, failed);
        const auto made = co_await race.run();
        CHECK(made.error().value() == ETIMEDOUT);
        CHECK(in_brackets(failed) ==
              " (192.0.2.1:2: Connection refused; 192.0.2.1:3: Network is unreachable; "
              "192.0.2.1:1: Connection timed out)");
    });
    CHECK(elapsed() == 600ms);
    CHECK(here.left_open() == 0);
}

TEST_CASE_FIXTURE(test_loop, "connect race: cancelled at any moment it leaves no connection") {
    for (duration when = 0ms; when <= 620ms; when += 10ms) {
        world here(*this);
        bool won = false;
        run([&]() -> task<> {
            connect_failures failed;
            connect_race<link, world> race(told(here, {never, {350ms}, never}), here, failed);
            auto running = race.run();
            try {
                const auto made = co_await timeout(when, std::move(running));
                won = made.has_value();
                CHECK(here.left_open() == 1);
            } catch (const timeout_error&) {
                CHECK(here.left_open() == 0);
            }
        });
        CHECK(won == (when > 600ms));
        CHECK(here.left_open() == 0);
    }
}

TEST_CASE_FIXTURE(test_loop,
                  "connect race: without memory for an attempt all are given up, and it says so") {
    for (const std::size_t nth : {1U, 2U, 3U, 4U, 5U, 6U}) {
        world here(*this);
        run([&]() -> task<> {
            connect_failures failed;
            connect_race<link, world> race(told(here, {{300ms}, {100ms}}), here, failed);
            auto running = race.run();
            (void)fail_frame_after(nth);
            bool out_of_memory = false;
            try {
                (void)co_await std::move(running);
            } catch (const std::bad_alloc&) {
                out_of_memory = true;
            }
            CHECK(fail_frame_after(0) == 0);
            CHECK(out_of_memory);
        });
        CHECK(here.left_open() == 0);
    }
}

TEST_CASE("connect race: on the kernel, an address whose queue is full loses and is closed") {
    on_loop([]() -> task<> {
        const unique_fd full = raw_listener({"127.0.0.2", 0}, 0);
        const endpoint silent = raw_endpoint(full);
        // A backlog of 0 holds one (listen(2)); the kernel answers no more than that.
        std::vector<unique_fd> fill;
        for (int i = 0; i < 3; ++i) fill.push_back(raw_connection(silent, SOCK_NONBLOCK));
        auto good = tcp_listener::bind(endpoint("127.0.0.3", 0));
        const auto open = lariat::test::open_descriptors().size();
        {
            connect_failures failed;
            auto attempt = [](const endpoint& to) -> task<result<tcp_stream>> {
                auto connecting = tcp_stream::connect(to);
                auto made = co_await nothrow(std::move(connecting));
                co_return made;
            };
            connect_race<tcp_stream, decltype(attempt)> race({silent, good.local_endpoint()},
                                                             attempt, failed, 0ms);
            auto made = co_await race.run();
            REQUIRE(made);
            CHECK(made->remote_endpoint() == good.local_endpoint());
            co_await turns(3);  // until the loser's descriptor is gone
            CHECK(lariat::test::open_descriptors().size() == open + 1);
        }
        co_await turns(3);
        CHECK(lariat::test::open_descriptors().size() == open);
    });
}

#include <lariat/net/serve.hpp>

#include "net_support.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/timeout.hpp>

#include <csignal>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace net_test;

namespace {

task<> echo(tcp_stream client) {
    for (;;) {
        const lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;
        co_await client.write_all(chunk);
    }
}

/// One question, one answer. Returns false if there was no right answer.
task<bool> asks(endpoint where, std::string question) {
    auto stream = co_await tcp_stream::connect(where);
    co_await stream.write_all(question);
    stream.shutdown();
    const std::string answer = co_await read_all(stream);
    co_return answer == question;
}

run_options collecting(std::vector<std::string>& reports) {
    run_options options;
    options.report = [&reports](const failure_report& report) {
        try {
            std::rethrow_exception(report.error);
        } catch (const std::exception& error) {
            reports.emplace_back(error.what());
        } catch (...) {
            reports.emplace_back("something else");
        }
    };
    return options;
}

/// Serves beside the test, on a port of its own.
template <class Handler>
struct serving {
    explicit serving(Handler handler, serve_options options = serve_options())
        : listener(tcp_listener::bind(loopback())),
          where(listener.local_endpoint()),
          ended(spawn(serve(listener, std::move(handler), options))) {}

    tcp_listener listener;
    endpoint where;
    join_handle<> ended;
};

}  // namespace

task<bool> ends_cancelled(join_handle<>& server) {
    bool cancelled = false;
    try {
        co_await timeout(5s, server);
    } catch (const task_cancelled&) {
        cancelled = true;
    }
    co_return cancelled;
}

TEST_CASE("serve: many clients at once, each gets its own bytes back") {
    on_loop([]() -> task<> {
        serving server(echo);
        std::vector<join_handle<bool>> clients;
        for (int i = 0; i < 200; ++i)
            clients.push_back(
                spawn(asks(server.where, pattern(static_cast<std::uint64_t>(i), 20'000))));
        for (auto& each : clients) {
            const bool right = co_await each;
            CHECK(right);
        }
        server.listener.close();
        co_await server.ended;
    });
}

TEST_CASE("serve: a handler that fails ends its own connection, and is reported") {
    std::vector<std::string> reports;
    on_loop(
        []() -> task<> {
            auto picky = [](tcp_stream client) -> task<> {
                const std::string word = co_await read_count(client, 4);
                if (word == "fail") throw std::runtime_error("this one failed");
                co_await client.write_all(word);
            };
            serving server(picky);
            auto bad = co_await tcp_stream::connect(server.where);
            auto good = co_await tcp_stream::connect(server.where);
            co_await bad.write_all("fail");
            const std::string none = co_await read_all(bad);
            CHECK(none.empty());
            co_await good.write_all("fine");
            const std::string answer = co_await read_all(good);
            CHECK(answer == "fine");
            const bool later = co_await asks(server.where, "more");
            CHECK(later);
            server.listener.close();
            co_await server.ended;
        },
        collecting(reports));
    CHECK(reports == std::vector<std::string>{"this one failed"});
}

TEST_CASE("serve: a handler that fails before it gave a task ends its own connection too") {
    std::vector<std::string> reports;
    on_loop(
        []() -> task<> {
            int calls = 0;
            auto throws_first = [&calls](tcp_stream client) -> task<> {
                if (++calls == 1) throw std::runtime_error("no task at all");
                return echo(std::move(client));
            };
            serving server(throws_first);
            auto bad = co_await tcp_stream::connect(server.where);
            const std::string none = co_await read_all(bad);
            CHECK(none.empty());
            const bool later = co_await asks(server.where, "next");
            CHECK(later);
            server.listener.close();
            co_await server.ended;
        },
        collecting(reports));
    CHECK(reports == std::vector<std::string>{"no task at all"});
}

TEST_CASE("serve: a handler with a state of its own is kept for as long as it is called") {
    on_loop([]() -> task<> {
        const auto alive = std::make_shared<int>(0);
        {
            auto counting = [kept = alive](tcp_stream client) -> task<> {
                ++*kept;
                return echo(std::move(client));
            };
            auto listener = tcp_listener::bind(loopback());
            auto ended = spawn(serve(listener, std::move(counting)));
            for (int i = 0; i < 5; ++i) {
                const bool right = co_await asks(listener.local_endpoint(), "state");
                CHECK(right);
            }
            CHECK(alive.use_count() > 1);
            listener.close();
            co_await ended;
        }
        CHECK(*alive == 5);
        CHECK(alive.use_count() == 1);
    });
}

TEST_CASE("serve: never more than max_connections at once; the others wait and are served then") {
    on_loop([]() -> task<> {
        serve_options options;
        options.max_connections = 3;
        std::size_t now = 0;
        std::size_t most = 0;
        auto counted = [&now, &most](tcp_stream client) -> task<> {
            most = std::max(most, ++now);
            const std::string word = co_await read_count(client, 4);
            co_await turns(2);
            co_await client.write_all(word);
            --now;
        };
        serving server(counted, options);
        std::vector<join_handle<bool>> clients;
        for (int i = 0; i < 30; ++i) clients.push_back(spawn(asks(server.where, "word")));
        for (auto& each : clients) {
            const bool right = co_await timeout(10s, each);
            CHECK(right);
        }
        CHECK(most == 3);
        server.listener.close();
        co_await server.ended;
    });
}

TEST_CASE("serve: closing the listener, cancelling and signals all stop it") {
    on_loop([]() -> task<> {
        for (int way = 0; way < 3; ++way) {
            serve_options options;
            if (way == 2) options.stop_on = signals(SIGUSR1);
            serving server(echo, options);
            const bool right = co_await asks(server.where, "before");
            CHECK(right);
            auto open = co_await tcp_stream::connect(server.where);
            co_await open.write_all("x");
            const std::string back = co_await read_count(open, 1);
            CHECK(back == "x");
            if (way == 0) server.listener.close();
            if (way == 1) server.ended.cancel();
            if (way == 2) ::kill(::getpid(), SIGUSR1);
            const bool cancelled = co_await ends_cancelled(server.ended);
            CHECK(cancelled == (way == 1));
            const std::string none = co_await read_all(open);  // without a drain it was cut at once
            CHECK(none.empty());
        }
    });
}

TEST_CASE("serve: after the stop no more is accepted") {
    on_loop([]() -> task<> {
        serve_options options;
        options.stop_on = signals(SIGUSR1);
        options.drain = 10s;
        std::size_t handled = 0;
        auto counted = [&handled](tcp_stream client) -> task<> {
            ++handled;
            return echo(std::move(client));
        };
        serving server(counted, options);
        auto open = co_await tcp_stream::connect(server.where);
        co_await open.write_all("x");
        const std::string back = co_await read_count(open, 1);
        CHECK(back == "x");
        ::kill(::getpid(), SIGUSR1);
        co_await turns(10);
        const auto late = co_await tcp_stream::connect(server.where);  // the kernel's backlog
        co_await turns(10);
        CHECK(handled == 1);
        open.shutdown();
        co_await timeout(5s, server.ended);
        CHECK(handled == 1);
    });
}

TEST_CASE("serve: open connections may end within the drain, those that do not are cut after it") {
    on_loop([]() -> task<> {
        serve_options options;
        options.drain = 200ms;
        bool served = false;
        for (int tries = 0; tries < 20 && !served; ++tries) {
            serving server(echo, options);
            auto quick = co_await tcp_stream::connect(server.where);
            auto stubborn = co_await tcp_stream::connect(server.where);
            for (tcp_stream* each : {&quick, &stubborn}) {
                co_await each->write_all("x");
                const std::string back = co_await read_count(*each, 1);
                CHECK(back == "x");
            }
            const time_point stopped = clock::now();
            server.listener.close();
            co_await turns(5);
            std::string last;
            try {
                co_await quick.write_all("still served");
                quick.shutdown();
                last = co_await read_all(quick);
            } catch (const std::system_error&) {
                last = "cut";
            }
            served = last == "still served";
            // Else the machine stood still for as long as the drain lasts.
            CHECK((served || clock::now() - stopped >= 200ms));
            const std::string none = co_await read_all(stubborn);
            CHECK(none.empty());
            co_await server.ended;
            CHECK(clock::now() - stopped >= 200ms);
            CHECK(clock::now() - stopped < 5s);
        }
        CHECK(served);
    });
}

TEST_CASE("serve: no connection is lost at a stop: it is served, or left to the next listener") {
    static constexpr std::size_t clients = 40;
    for (std::size_t stop_after = 0; stop_after < clients; stop_after += 3) {
        on_loop([stop_after]() -> task<> {
            // The next process holds the same socket: here it is a second descriptor.
            const unique_fd raw = raw_listener(loopback(), 100);
            REQUIRE(::fcntl(raw.get(), F_SETFL, O_NONBLOCK) == 0);
            const endpoint where = raw_endpoint(raw);
            auto listener = tcp_listener::adopt(::fcntl(raw.get(), F_DUPFD_CLOEXEC, 0));
            std::size_t answered = 0;
            auto counted = [&answered](tcp_stream client) -> task<> {
                ++answered;
                return echo(std::move(client));
            };
            serve_options options;
            options.drain = 10s;
            auto server = spawn(serve(listener, counted, options));
            std::vector<unique_fd> open;
            for (std::size_t i = 0; i < clients; ++i) {
                open.push_back(raw_connection(where));
                REQUIRE(::send(open.back().get(), "x", 1, MSG_NOSIGNAL) == 1);
                if (i % 5 == 0) co_await yield_now();
                if (i == stop_after) server.cancel();
            }
            co_await sleep(5ms);
            for (const unique_fd& each : open) ::shutdown(each.get(), SHUT_WR);
            const bool cancelled = co_await ends_cancelled(server);
            CHECK(cancelled);
            std::size_t left = 0;
            for (;; ++left) {
                const unique_fd next(::accept4(raw.get(), nullptr, nullptr, SOCK_NONBLOCK));
                if (!next) break;
            }
            CHECK(answered + left == clients);
        });
    }
}

TEST_CASE("serve: a socket that stops listening as serving stops is drained all the same") {
    for (const bool shared : {false, true}) {
        on_loop([shared]() -> task<> {
            const unique_fd raw = raw_listener(loopback(), 100);
            REQUIRE(::fcntl(raw.get(), F_SETFL, O_NONBLOCK) == 0);
            const int second = ::fcntl(raw.get(), F_DUPFD_CLOEXEC, 0);
            auto listener =
                shared ? tcp_listener::adopt_shared(second) : tcp_listener::adopt(second);
            std::size_t answered = 0;
            auto counted = [&answered](tcp_stream client) -> task<> {
                ++answered;
                return echo(std::move(client));
            };
            serve_options options;
            options.max_connections = 1;
            options.drain = 10s;
            auto server = spawn(serve(listener, counted, options));
            // So many that it holds some ahead, and has stopped asking for more.
            std::vector<unique_fd> open;
            for (int i = 0; i < 60; ++i) open.push_back(raw_connection(raw_endpoint(raw)));
            while (answered == 0) co_await sleep(1ms);
            co_await sleep(5ms);
            server.cancel();
            REQUIRE(::shutdown(raw.get(), SHUT_RDWR) == 0);
            open.clear();
            const bool cancelled = co_await ends_cancelled(server);
            CHECK(cancelled);
        });
    }
}

TEST_CASE("serve: a drain ends with its last connection, not at its deadline") {
    on_loop([]() -> task<> {
        serve_options options;
        options.drain = 1h;
        serving server(echo, options);
        auto open = co_await tcp_stream::connect(server.where);
        co_await open.write_all("x");
        const std::string back = co_await read_count(open, 1);
        CHECK(back == "x");
        server.ended.cancel();
        co_await sleep(10ms);
        CHECK_FALSE(server.ended.done());
        open.shutdown();
        const bool cancelled = co_await ends_cancelled(server.ended);
        CHECK(cancelled);
    });
}

TEST_CASE("serve: a listener that cannot accept is an error, and open connections are cut") {
    on_loop([]() -> task<> {
        auto wrong = tcp_listener::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        bool refused = false;
        try {
            co_await serve(wrong, echo);
        } catch (const std::system_error& error) {
            refused = error.code() == std::errc::invalid_argument;
        }
        CHECK(refused);
    });
}

TEST_CASE("serve: options that make no sense are refused at once, by their names") {
    on_loop([]() -> task<> {
        auto listener = tcp_listener::bind(loopback());
        serve_options nobody;
        nobody.max_connections = 0;
        CHECK_THROWS_WITH_AS((void)serve(listener, echo, nobody),
                             "serve_options.max_connections is 0, and so nobody would ever be "
                             "served; give 1 or more",
                             std::invalid_argument);
        serve_options backwards;
        backwards.drain = -1500ms;
        CHECK_THROWS_WITH_AS((void)serve(listener, echo, backwards),
                             "serve_options.drain is -1.500000 s; give 0 (cut at once) or more",
                             std::invalid_argument);
        co_await yield_now();
    });
}

TEST_CASE("serve: connections opened and reset at random, every byte accounted for") {
    on_loop([]() -> task<> {
        const int count = lariat::test::long_tests() ? 60'000 : 2000;
        std::uint64_t received = 0;
        std::uint64_t open = 0;
        auto counting = [&received, &open](tcp_stream client) -> task<> {
            ++open;
            std::string room(8192, '\0');
            for (;;) {
                const auto got = co_await nothrow(client.read_some(room));
                if (!got || *got == 0) break;
                received += *got;
                const std::string_view back(room.data(), *got);
                const auto sent = co_await nothrow(client.write_all(back));
                if (!sent) break;
            }
            --open;
        };
        serving server(counting);
        auto client = [](endpoint where, std::uint64_t seed, int rounds) -> task<std::uint64_t> {
            std::mt19937_64 random(seed);
            std::uint64_t wrong = 0;
            for (int i = 0; i < rounds; ++i) {
                auto stream = co_await tcp_stream::connect(where);
                const std::uint64_t from = random() % 1000;
                const std::string data = pattern(from, random() % 20'000);
                const std::uint64_t manner = random() % 4;
                co_await stream.write_all(data);
                if (manner == 0) continue;  // gone with bytes unread: a reset
                if (manner == 1) stream.shutdown();
                const std::string back = co_await read_count(stream, data.size());
                wrong += data.size() - matching(from, back.data(), back.size());
            }
            co_return wrong;
        };
        std::vector<join_handle<std::uint64_t>> clients;
        for (std::uint64_t i = 0; i < 50; ++i)
            clients.push_back(spawn(client, server.where, i, count / 50));
        std::uint64_t wrong = 0;
        for (auto& each : clients) wrong += co_await each;
        CHECK(wrong == 0);
        CHECK(received > 0);
        while (open != 0) co_await turns(1);
        CHECK(loop::current().stats().driver.lent == 0);
        server.listener.close();
        co_await server.ended;
    });
}

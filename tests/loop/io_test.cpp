#include <lariat/loop/io.hpp>

#include "leak_check.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;

struct pair {
    pair() {
        std::array<int, 2> made{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, made.data()) ==
                0);
        near.reset(made[0]);
        far.reset(made[1]);
    }
    void send_byte() const { CHECK(::write(far.get(), "x", 1) == 1); }
    void take_byte() const {
        char byte = 0;
        CHECK(::read(near.get(), &byte, 1) == 1);
    }
    void fill() const {
        const std::vector<char> block(64 * 1024);
        while (::write(near.get(), block.data(), block.size()) > 0) {
        }
        CHECK(errno == EAGAIN);
    }
    void drain_far() const {
        std::vector<char> block(64 * 1024);
        while (::read(far.get(), block.data(), block.size()) > 0) {
        }
    }
    unique_fd near;
    unique_fd far;
};

/// Runs it on the backend of the environment, and counts its operations back.
template <class Body>
void run_counted(Body body) {
    loop own;
    own.run(body());
    CHECK(own.stats().driver.in_flight == 0);
    CHECK(own.stats().driver.lent == 0);
}

/// Lets the loop look at the kernel so often, and every wait that was begun be one by then.
task<> turns(int count) {
    for (int i = 0; i < count; ++i) {
        const std::uint64_t turn = loop::current().stats().turns;
        while (loop::current().stats().turns == turn) co_await yield_now();
    }
}

TEST_CASE_FIXTURE(leak_check, "io: wait_readable waits until there is something to read") {
    const pair sockets;
    bool sent = false;
    run_counted([&]() -> task<> {
        auto sends = [&]() -> task<> {
            co_await turns(2);
            sent = true;
            sockets.send_byte();
        };
        spawn(sends);
        co_await wait_readable(sockets.near.get());
        CHECK(sent);
        sockets.take_byte();
    });
}

TEST_CASE_FIXTURE(leak_check, "io: signals, however many, are no failure of wait_readable") {
    struct storm {
        storm() {
            struct sigaction act{};
            act.sa_handler = [](int) {};
            act.sa_flags = SA_RESTART;
            ::sigaction(SIGALRM, &act, &before);
            const itimerval often{{0, 20}, {0, 20}};
            ::setitimer(ITIMER_REAL, &often, nullptr);
        }
        ~storm() {
            const itimerval never{};
            ::setitimer(ITIMER_REAL, &never, nullptr);
            ::sigaction(SIGALRM, &before, nullptr);
        }
        struct sigaction before{};
    };
    run([]() -> task<> {
        const pair sockets;
        const storm signals_come;
        auto wait = [](int fd) -> task<> { co_await wait_readable(fd); };
        for (int i = 0; i < 2'000; ++i) {
            auto waits = spawn(wait(sockets.near.get()));
            co_await yield_now();
            waits.cancel();
            CHECK_THROWS_AS(co_await waits, task_cancelled);
        }
    }());
}

TEST_CASE_FIXTURE(leak_check, "io: wait_readable of what is readable, at its end or not, returns") {
    pair sockets;
    run_counted([&]() -> task<> {
        sockets.send_byte();
        co_await wait_readable(sockets.near.get());
        co_await wait_readable(sockets.near.get());  // it takes nothing
        sockets.take_byte();
        sockets.far.reset();
        co_await wait_readable(sockets.near.get());
    });
}

TEST_CASE_FIXTURE(leak_check, "io: wait_writable waits until there is room") {
    const pair sockets;
    bool drained = false;
    run_counted([&]() -> task<> {
        co_await wait_writable(sockets.near.get());
        sockets.fill();
        auto drains = [&]() -> task<> {
            co_await turns(2);
            drained = true;
            sockets.drain_far();
        };
        spawn(drains);
        co_await wait_writable(sockets.near.get());
        CHECK(drained);
    });
}

TEST_CASE_FIXTURE(leak_check,
                  "io: both directions of one descriptor, and several at one, at once") {
    const pair sockets;
    run_counted([&]() -> task<> {
        sockets.fill();
        int readers = 0;
        auto reads = [&]() -> task<> {
            co_await wait_readable(sockets.near.get());
            ++readers;
        };
        auto acts = [&]() -> task<> {
            co_await turns(2);
            sockets.send_byte();
            sockets.drain_far();
        };
        co_await gather(wait_writable(sockets.near.get()), reads(), reads(), reads(), acts());
        CHECK(readers == 3);
        sockets.take_byte();
    });
}

TEST_CASE_FIXTURE(leak_check,
                  "io: cancelled, the wait did not happen, and the descriptor is as before") {
    const pair sockets;
    run_counted([&]() -> task<> {
        for (int round = 0; round < 10; ++round) {
            auto waits = [&]() -> task<> { co_await wait_readable(sockets.near.get()); };
            auto handle = spawn(waits);
            co_await yield_now();
            handle.cancel();
            auto ended = co_await settled(std::move(handle));
            CHECK(ended.is_cancelled());
        }
        sockets.send_byte();
        co_await wait_readable(sockets.near.get());
        sockets.take_byte();
    });
}

TEST_CASE_FIXTURE(leak_check, "io: a timeout ends a wait, never before its time") {
    const pair sockets;
    run_counted([&]() -> task<> {
        const time_point began = clock::now();
        CHECK_THROWS_AS(co_await timeout(2ms, wait_readable(sockets.near.get())), timeout_error);
        CHECK(clock::now() - began >= 2ms);
    });
}

TEST_CASE_FIXTURE(leak_check,
                  "io: readiness and cancel in one turn: either, and a cancel stays pending") {
    const pair sockets;
    run_counted([&]() -> task<> {
        for (int round = 0; round < 50; ++round) {
            bool went_on = false;
            auto waits = [&]() -> task<> {
                co_await wait_readable(sockets.near.get());
                co_await yield_now();
                went_on = true;
            };
            auto handle = spawn(waits);
            co_await yield_now();
            if (round % 2 == 0) co_await yield_now();
            sockets.send_byte();
            handle.cancel();
            auto ended = co_await settled(std::move(handle));
            CHECK(ended.is_cancelled());
            CHECK_FALSE(went_on);
            sockets.take_byte();
        }
    });
}

TEST_CASE_FIXTURE(leak_check, "io: a descriptor that is none fails with EBADF and says which") {
    run_counted([&]() -> task<> {
        int code = 0;
        try {
            co_await wait_readable(19'999);
        } catch (const std::system_error& error) {
            code = error.code().value();
            CHECK(std::string(error.what()).find("19999") != std::string::npos);
        }
        CHECK(code == EBADF);
        CHECK_THROWS_AS(co_await wait_writable(-1), std::system_error);
    });
}

TEST_CASE_FIXTURE(leak_check, "io: what waits when the main task ends is cut, and the run ends") {
    const pair sockets;
    run_counted([&]() -> task<> {
        auto waits = [&]() -> task<> { co_await wait_readable(sockets.near.get()); };
        spawn(waits);
        spawn(waits);
        co_await yield_now();
    });
}

TEST_CASE_FIXTURE(leak_check, "io: a thousand waits begun and cut leave nothing behind") {
    const pair sockets;
    run_counted([&]() -> task<> {
        std::vector<task<>> waits;
        for (int i = 0; i < 1000; ++i)
            waits.push_back(detail::to_task(wait_readable(sockets.near.get())));
        auto all = spawn(detail::to_task(gather(std::move(waits))));
        co_await turns(2);
        all.cancel();
        const auto ended = co_await settled(std::move(all));
        CHECK(ended.is_cancelled());
    });
}

}  // namespace

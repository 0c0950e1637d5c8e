#include <lariat/offload/signals.hpp>

#include "death.hpp"
#include "leak_check.hpp"
#include "waits.hpp"

#include <lariat/base/clock.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::run_in_child;
using lariat::test::some_turns;
using lariat::test::stops_with;

bool handled_by(void (*handler)(int), int number) {
    struct sigaction now{};
    ::sigaction(number, nullptr, &now);
    return now.sa_handler == handler;
}

std::atomic<int> own_handler_calls = 0;
void own_handler(int) { own_handler_calls.fetch_add(1); }

TEST_CASE_FIXTURE(leak_check, "signals: a set says what is in it; copies are equal") {
    const signals none;
    CHECK(none.empty());
    const signals two(SIGINT, SIGTERM);
    CHECK_FALSE(two.empty());
    CHECK(two.contains(SIGINT));
    CHECK(two.contains(SIGTERM));
    CHECK_FALSE(two.contains(SIGHUP));
    CHECK_FALSE(two.contains(0));
    CHECK_FALSE(two.contains(65));
    const signals copy = two;
    CHECK(copy == two);
    CHECK(signals(SIGRTMAX).contains(64));
}

TEST_CASE("signals: what cannot be waited for is refused, with the reason") {
    CHECK_THROWS_WITH_AS(signals(SIGKILL),
                         "signal 9 cannot be waited for: the kernel lets nobody catch it",
                         std::invalid_argument);
    CHECK_THROWS_AS(signals(SIGTERM, SIGSTOP), std::invalid_argument);
    CHECK_THROWS_WITH_AS(signals(0), "signal 0 cannot be waited for: a signal is 1 to 64",
                         std::invalid_argument);
    CHECK_THROWS_AS(signals(-1), std::invalid_argument);
    CHECK_THROWS_AS(signals(65), std::invalid_argument);
    CHECK_THROWS_AS(signals(SIGSEGV), std::invalid_argument);
    CHECK_THROWS_AS(signals(33), std::invalid_argument);
}

TEST_CASE("signals: an empty set stops the program that waits for it") {
    CHECK(stops_with("an empty set of signals never comes", [] { run(signals().wait()); }));
}

TEST_CASE_FIXTURE(leak_check, "signals: wait gives the number of the one that came") {
    const int got = run([]() -> task<int> {
        auto waiting = spawn(signals(SIGUSR1, SIGUSR2).wait());
        co_await some_turns();
        ::raise(SIGUSR2);
        const int number = co_await waiting;
        co_return number;
    }());
    CHECK(got == SIGUSR2);
}

TEST_CASE_FIXTURE(leak_check, "signals: one from outside ends the sleep of an idle loop") {
    const int got = run([]() -> task<int> {
        signal_watch watch{signals(SIGUSR1)};
        const pid_t parent = ::getpid();
        const pid_t child = ::fork();
        if (child == 0) ::_exit(::kill(parent, SIGUSR1) == 0 ? 0 : 1);
        const int number = co_await watch.next();
        int status = -1;
        while (::waitpid(child, &status, 0) < 0) {
        }
        CHECK(status == 0);
        co_return number;
    }());
    CHECK(got == SIGUSR1);
}

TEST_CASE_FIXTURE(leak_check, "signals: everybody who waits gets it") {
    run([]() -> task<> {
        const signals which(SIGUSR1);
        auto first = spawn(which.wait());
        auto second = spawn(which.wait());
        auto other = spawn(signals(SIGUSR2).wait());
        co_await some_turns();
        ::raise(SIGUSR1);
        const int a = co_await first;
        const int b = co_await second;
        CHECK(a == SIGUSR1);
        CHECK(b == SIGUSR1);
        CHECK_FALSE(other.done());
        ::raise(SIGUSR2);
        const int c = co_await other;
        CHECK(c == SIGUSR2);
    }());
}

TEST_CASE_FIXTURE(leak_check, "signals: every loop that waits gets it") {
    std::atomic<int> listening = 0;
    std::array<int, 2> got{};
    auto listen = [&](std::size_t index) -> task<> {
        signal_watch watch{signals(SIGUSR1)};
        listening.fetch_add(1);
        listening.notify_all();
        const int number = co_await watch.next();
        got[index] = number;
    };
    std::thread first([&] { run(listen(0)); });
    std::thread second([&] { run(listen(1)); });
    for (int now = listening.load(); now != 2; now = listening.load()) listening.wait(now);
    ::kill(::getpid(), SIGUSR1);
    first.join();
    second.join();
    CHECK(got == std::array<int, 2>{SIGUSR1, SIGUSR1});
}

TEST_CASE_FIXTURE(leak_check, "signals: the last one gone puts back what had been there") {
    struct sigaction mine{};
    struct sigaction before{};
    mine.sa_handler = &own_handler;
    ::sigaction(SIGUSR1, &mine, &before);
    run([]() -> task<> {
        {
            const signal_watch one{signals(SIGUSR1)};
            {
                const signal_watch two{signals(SIGUSR1, SIGUSR2)};
                CHECK_FALSE(handled_by(&own_handler, SIGUSR1));
            }
            CHECK_FALSE(handled_by(&own_handler, SIGUSR1));
            CHECK(handled_by(SIG_DFL, SIGUSR2));
            ::raise(SIGUSR1);
        }
        CHECK(handled_by(&own_handler, SIGUSR1));
        co_await some_turns();
    }());
    CHECK(own_handler_calls.load() == 0);
    ::raise(SIGUSR1);
    CHECK(own_handler_calls.load() == 1);
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE_FIXTURE(leak_check, "signals: a handler that somebody set meanwhile stays") {
    struct sigaction before{};
    run([&]() -> task<> {
        const signal_watch watch{signals(SIGUSR1)};
        struct sigaction mine{};
        mine.sa_handler = &own_handler;
        ::sigaction(SIGUSR1, &mine, &before);
        co_return;
    }());
    CHECK(handled_by(&own_handler, SIGUSR1));
    struct sigaction plain{};
    plain.sa_handler = SIG_DFL;
    ::sigaction(SIGUSR1, &plain, nullptr);
}

TEST_CASE_FIXTURE(leak_check, "signals: a cancelled wait leaves the others in the line") {
    run([]() -> task<> {
        const signals which(SIGUSR1);
        auto cut = spawn(which.wait());
        auto kept = spawn(which.wait());
        co_await some_turns();
        cut.cancel();
        CHECK_THROWS_AS(co_await cut, task_cancelled);
        ::raise(SIGUSR1);
        const int number = co_await kept;
        CHECK(number == SIGUSR1);
    }());
    CHECK(handled_by(SIG_DFL, SIGUSR1));
}

TEST_CASE_FIXTURE(leak_check, "signals: one that came before the cancellation is delivered") {
    run([]() -> task<> {
        auto waiting = spawn(signals(SIGUSR1).wait());
        co_await some_turns();
        ::raise(SIGUSR1);
        waiting.cancel();
        const int number = co_await waiting;
        CHECK(number == SIGUSR1);
    }());
}

TEST_CASE_FIXTURE(leak_check, "signals: a timeout around the wait ends it") {
    run([]() -> task<> {
        CHECK_THROWS_AS(co_await timeout(1ms, signals(SIGUSR1).wait()), timeout_error);
        CHECK(handled_by(SIG_DFL, SIGUSR1));
    }());
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: what comes between two waits is kept, once a number") {
    run([]() -> task<> {
        signal_watch watch{signals(SIGUSR1, SIGUSR2)};
        ::raise(SIGUSR2);
        ::raise(SIGUSR1);
        ::raise(SIGUSR1);
        co_await some_turns();
        const int first = co_await watch.next();
        const int second = co_await watch.next();
        CHECK(first == SIGUSR1);
        CHECK(second == SIGUSR2);
        CHECK(watch.try_next() == 0);
        auto task_next = [](signal_watch& from) -> task<int> {
            const int number = co_await from.next();
            co_return number;
        };
        auto waiting = spawn(task_next, std::ref(watch));
        co_await some_turns();
        CHECK_FALSE(waiting.done());
        ::raise(SIGUSR1);
        const int third = co_await waiting;
        CHECK(third == SIGUSR1);
    }());
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: one made after the signal does not get it") {
    run([]() -> task<> {
        signal_watch old{signals(SIGUSR1)};
        ::raise(SIGUSR1);
        signal_watch fresh{signals(SIGUSR1)};
        co_await some_turns();
        CHECK(fresh.try_next() == 0);
        CHECK(old.try_next() == SIGUSR1);
    }());
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: closed, its sequence ends after what came before") {
    run([]() -> task<> {
        signal_watch watch{signals(SIGUSR1, SIGUSR2)};
        ::raise(SIGUSR2);
        ::raise(SIGUSR1);
        watch.close();
        watch.close();
        CHECK(handled_by(SIG_DFL, SIGUSR1));
        CHECK(handled_by(SIG_DFL, SIGUSR2));
        std::vector<int> got;
        while (const int number = co_await watch.next()) got.push_back(number);
        CHECK(got == std::vector<int>{SIGUSR1, SIGUSR2});
        const int again = co_await watch.next();
        CHECK(again == 0);
        CHECK(watch.try_next() == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: a close ends the wait of another task") {
    run([]() -> task<> {
        signal_watch watch{signals(SIGUSR1)};
        auto count = [](signal_watch& from) -> task<int> {
            int came = 0;
            while (const int number = co_await from.next()) came += number == SIGUSR1 ? 1 : 0;
            co_return came;
        };
        auto counting = spawn(count, std::ref(watch));
        co_await some_turns();
        ::raise(SIGUSR1);
        co_await some_turns();
        CHECK_FALSE(counting.done());
        ::raise(SIGUSR1);  // noted, and not handed out yet when it is closed
        watch.close();
        const int came = co_await counting;
        CHECK(came == 2);
        CHECK(handled_by(SIG_DFL, SIGUSR1));
    }());
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: one that is closed takes nothing from the others") {
    run([]() -> task<> {
        signal_watch first{signals(SIGUSR1)};
        signal_watch second{signals(SIGUSR1)};
        first.close();
        CHECK_FALSE(handled_by(SIG_DFL, SIGUSR1));
        ::raise(SIGUSR1);
        const int number = co_await second.next();
        CHECK(number == SIGUSR1);
        CHECK(first.try_next() == 0);
        second.close();
        CHECK(handled_by(SIG_DFL, SIGUSR1));
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "signal_watch: sequences on several loops each end when they are closed") {
    constexpr std::size_t loops = 3;
    std::atomic<int> ready = 0;
    std::array<std::vector<int>, loops> got;
    auto wait_for_count = [&](int count) {
        for (int now = ready.load(); now < count; now = ready.load()) ready.wait(now);
    };
    auto listen = [&](std::size_t index) -> task<> {
        signal_watch watch{signals(SIGUSR1, SIGUSR2)};
        ready.fetch_add(1);
        ready.notify_all();
        while (const int number = co_await watch.next()) {
            got[index].push_back(number);
            if (number == SIGUSR2) watch.close();
            ready.fetch_add(1);
            ready.notify_all();
        }
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < loops; ++i) threads.emplace_back([&, i] { run(listen(i)); });
    wait_for_count(loops);
    ::kill(::getpid(), SIGUSR1);
    wait_for_count(2 * loops);
    ::kill(::getpid(), SIGUSR2);
    for (std::thread& each : threads) each.join();
    for (const std::vector<int>& each : got) CHECK(each == std::vector<int>{SIGUSR1, SIGUSR2});
    CHECK(handled_by(SIG_DFL, SIGUSR1));
    CHECK(handled_by(SIG_DFL, SIGUSR2));
}

TEST_CASE_FIXTURE(leak_check, "signal_watch: hears what comes between two runs of its loop") {
    loop own;
    std::optional<signal_watch> watch;
    own.run([&]() -> task<> {
        watch.emplace(signals(SIGUSR1));
        co_return;
    }());
    ::raise(SIGUSR1);
    const int got = own.run([&]() -> task<int> {
        const int number = co_await watch->next();
        co_return number;
    }());
    CHECK(got == SIGUSR1);
    own.close();
    CHECK(handled_by(SIG_DFL, SIGUSR1));
    watch.reset();
}

TEST_CASE_FIXTURE(leak_check,
                  "signal_watch: a wait on another loop, or a second one, stops with the rule") {
    CHECK(stops_with("a signal_watch belongs to the loop that it was made on", [] {
        loop first;
        std::optional<signal_watch> watch;
        first.run([&]() -> task<> {
            watch.emplace(signals(SIGUSR1));
            co_return;
        }());
        run([&]() -> task<> {
            const int number = co_await watch->next();
            (void)number;
        }());
    }));
    CHECK(stops_with("one task at a time may wait for a signal_watch", [] {
        run([]() -> task<> {
            signal_watch watch{signals(SIGUSR1)};
            auto next = [&]() -> task<int> {
                const int number = co_await watch.next();
                co_return number;
            };
            co_await gather(next(), next());
        }());
    }));
}

TEST_CASE_FIXTURE(leak_check,
                  "signals: a child forked meanwhile has the dispositions from before") {
    run([]() -> task<> {
        const signal_watch watch{signals(SIGUSR1)};
        const test::ending how = run_in_child([] { ::raise(SIGUSR1); });
        CHECK(how.signal == SIGUSR1);
        CHECK_FALSE(handled_by(SIG_DFL, SIGUSR1));
        co_return;
    }());
}

TEST_CASE_FIXTURE(leak_check,
                  "signals: a storm from another thread loses nothing and ends cleanly") {
    constexpr int rounds = 200;
    std::atomic<int> asked = 0;
    std::thread sender([&] {
        for (int sent = 0; sent < rounds; ++sent) {
            for (int now = asked.load(); now == sent; now = asked.load()) asked.wait(now);
            ::kill(::getpid(), SIGUSR1);
        }
    });
    int got = 0;
    run([&]() -> task<> {
        signal_watch watch{signals(SIGUSR1)};
        for (; got < rounds; ++got) {
            asked.fetch_add(1);
            asked.notify_all();
            const int number = co_await watch.next();
            REQUIRE(number == SIGUSR1);
        }
    }());
    sender.join();
    CHECK(got == rounds);
}

}  // namespace

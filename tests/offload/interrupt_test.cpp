#include <lariat/loop/loop.hpp>

#include "death.hpp"
#include "waits.hpp"

#include <lariat/base/error.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <functional>
#include <thread>

#include <signal.h>
#include <unistd.h>

namespace {

using namespace lariat;
using lariat::test::ending;
using lariat::test::until_cancelled;

void set_handler(int number, void (*handler)(int)) {
    struct sigaction plain{};
    plain.sa_handler = handler;
    ::sigaction(number, &plain, nullptr);
}

/// A child that has Ctrl-C as a program has it (doctest handles it in this one).
ending in_child(const std::function<void()>& body) {
    return test::run_in_lone_child([&] {
        set_handler(SIGINT, SIG_DFL);
        set_handler(SIGQUIT, SIG_DFL);
        body();
    });
}

void say(const char* text) { std::fputs(text, stdout); }

TEST_CASE("ctrl-c: cancels the main task, and the process then dies of SIGINT") {
    const ending how = in_child([] {
        run([]() -> task<> {
            ::raise(SIGINT);
            try {
                co_await until_cancelled();
            } catch (const cancelled&) {
                say("unwound");
                throw;
            }
        }());
        say(" and went on");
    });
    CHECK(how.signal == SIGINT);
    CHECK(how.text == "unwound");
}

TEST_CASE("ctrl-c: what the main task spawned is cancelled and awaited before the end") {
    const ending how = in_child([] {
        run([]() -> task<> {
            auto lasting = []() -> task<> {
                try {
                    co_await until_cancelled();
                } catch (const cancelled&) {
                    say("child unwound");
                    throw;
                }
            };
            spawn(lasting);
            co_await yield_now();
            ::raise(SIGINT);
            co_await until_cancelled();
        }());
    });
    CHECK(how.signal == SIGINT);
    CHECK(how.text == "child unwound");
}

TEST_CASE("ctrl-c: a main task that catches it and returns a value is no dead one") {
    const ending how = in_child([] {
        const int got = run([]() -> task<int> {
            ::raise(SIGINT);
            try {
                co_await until_cancelled();
            } catch (const cancelled&) {
            }
            co_return 7;
        }());
        std::printf("%d", got);
        struct sigaction now{};
        ::sigaction(SIGINT, nullptr, &now);
        if (now.sa_handler == SIG_DFL) say(" default");
        std::fflush(stdout);
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text == "7 default");
}

TEST_CASE("ctrl-c: the second one ends the program though its main task will not end") {
    const ending how = in_child([] {
        run([]() -> task<> {
            ::raise(SIGINT);
            try {
                co_await until_cancelled();
            } catch (const cancelled&) {
                ::raise(SIGINT);
            }
            ::_exit(3);
        }());
    });
    CHECK(how.signal == SIGINT);
}

TEST_CASE("ctrl-c: the second one ends a program whose loop does not turn") {
    const ending how = in_child([] {
        run([]() -> task<> {
            ::raise(SIGINT);
            ::raise(SIGINT);
            ::_exit(3);
            co_return;
        }());
    });
    CHECK(how.signal == SIGINT);
}

TEST_CASE("ctrl-c: one that comes when the main task has just ended is not lost") {
    const ending how = in_child([] {
        run([]() -> task<> {
            ::raise(SIGINT);
            co_return;
        }());
        ::_exit(3);
    });
    CHECK(how.signal == SIGINT);
}

TEST_CASE("ctrl-c: one while the run waits for what is left ends the program") {
    const ending how = in_child([] {
        run([]() -> task<> {
            auto stubborn = []() -> task<> {
                try {
                    co_await until_cancelled();
                } catch (const cancelled&) {
                    ::raise(SIGINT);
                }
                co_await shield(until_cancelled());
            };
            spawn(stubborn);
            co_await yield_now();
        }());
        ::_exit(3);
    });
    CHECK(how.signal == SIGINT);
}

TEST_CASE("ctrl-c: a task that waits for SIGINT gets it instead of the main task") {
    const ending how = in_child([] {
        const int got = run([]() -> task<int> {
            auto waiting = spawn(signals(SIGINT).wait());
            co_await yield_now();
            co_await yield_now();
            ::raise(SIGINT);
            const int number = co_await waiting;
            co_return number;
        }());
        ::_exit(got == SIGINT ? 0 : 1);
    });
    CHECK(how.exit_code == 0);
}

TEST_CASE("ctrl-c: after such a wait it is the run's again") {
    const ending how = in_child([] {
        run([]() -> task<> {
            {
                signal_watch watch{signals(SIGINT)};
                ::raise(SIGINT);
                const int number = co_await watch.next();
                if (number != SIGINT) ::_exit(1);
            }
            ::raise(SIGINT);
            co_await until_cancelled();
        }());
        ::_exit(3);
    });
    CHECK(how.signal == SIGINT);
}

TEST_CASE("ctrl-c: a program's own handler is left alone") {
    static volatile sig_atomic_t calls = 0;
    const ending how = in_child([] {
        set_handler(SIGINT, +[](int) { calls = calls + 1; });
        run([]() -> task<> {
            ::raise(SIGINT);
            co_await yield_now();
            ::raise(SIGINT);
            co_await yield_now();
        }());
        ::_exit(calls == 2 ? 0 : 1);
    });
    CHECK(how.exit_code == 0);
}

TEST_CASE("ctrl-c: handle_interrupt = false leaves it to the default") {
    const ending how = in_child([] {
        run_options options;
        options.handle_interrupt = false;
        run(options, []() -> task<> {
            struct sigaction now{};
            ::sigaction(SIGINT, nullptr, &now);
            ::_exit(now.sa_handler == SIG_DFL ? 0 : 1);
            co_return;
        }());
    });
    CHECK(how.exit_code == 0);
}

TEST_CASE("ctrl-c: a run on another thread is not the one that it interrupts") {
    const ending how = in_child([] {
        std::thread other([] {
            run([]() -> task<> {
                struct sigaction now{};
                ::sigaction(SIGINT, nullptr, &now);
                ::_exit(now.sa_handler == SIG_DFL ? 0 : 1);
                co_return;
            }());
        });
        other.join();
    });
    CHECK(how.exit_code == 0);
}

TEST_CASE("SIGQUIT: in debug mode it prints the tasks, and the program goes on") {
    const ending how = in_child([] {
        run_options options;
        options.debug = true;
        run(options, []() -> task<> {
            auto lasting = []() -> task<> {
                set_task_name("the lasting one");
                co_await until_cancelled();
            };
            auto handle = spawn(lasting);
            co_await yield_now();
            ::raise(SIGQUIT);
            co_await test::some_turns();
            handle.cancel();
        }());
        say("went on");
        std::fflush(stdout);
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text.find("the lasting one") != std::string::npos);
    CHECK(how.text.ends_with("went on"));
}

TEST_CASE("SIGQUIT: without debug mode it keeps its default") {
    const ending how = in_child([] {
        ::unsetenv("LARIAT_DEBUG");
        run([]() -> task<> {
            ::raise(SIGQUIT);
            co_return;
        }());
    });
    CHECK(how.signal == SIGQUIT);
}

}  // namespace

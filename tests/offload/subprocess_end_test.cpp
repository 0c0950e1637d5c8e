// How a child ends: asked to, made to, with its owner, its group, its loop; and that none stays.
#include <lariat/offload/subprocess.hpp>

#include "death.hpp"
#include "leak_check.hpp"
#include "subprocess_support.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/buffered_reader.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/sync/latch.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::is_there;
using lariat::test::leak_check;
using lariat::test::no_children;
using lariat::test::obedient;
using lariat::test::shell;
using lariat::test::started_and_ready;
using lariat::test::stubborn;

TEST_CASE_FIXTURE(no_children, "subprocess: signals reach it, and no stranger after its end") {
    run([]() -> task<> {
        subprocess term = co_await started_and_ready(shell(obedient));
        CHECK(term.terminate());
        const int by_term = co_await term.wait();
        CHECK(by_term == -SIGTERM);
        CHECK(!term.terminate());
        CHECK(!term.kill());
        subprocess stuck = co_await started_and_ready(shell(stubborn));
        CHECK(stuck.terminate());
        CHECK_THROWS_AS(co_await timeout(2ms, stuck.wait()), timeout_error);
        CHECK(stuck.kill());
        const int by_kill = co_await stuck.wait();
        CHECK(by_kill == -SIGKILL);
        subprocess_options reads = shell("echo ready; read x");
        reads.input = stdio::pipe();
        subprocess own = co_await started_and_ready(reads);
        CHECK(own.send_signal(0));
        CHECK_THROWS_AS((void)own.send_signal(1000), std::system_error);
        CHECK(own.send_signal(SIGUSR1));
        const int by_other = co_await own.wait();
        CHECK(by_other == -SIGUSR1);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: stop asks first, and kills what does not obey") {
    run([]() -> task<> {
        subprocess_options heeds =
            shell("trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done");
        heeds.grace = 1h;
        subprocess soft = co_await started_and_ready(heeds);
        const int asked = co_await soft.stop();
        CHECK(asked == 4);
        const int again = co_await soft.stop();
        CHECK(again == 4);
        subprocess_options options = shell(stubborn);
        options.grace = 5ms;
        subprocess hard = co_await started_and_ready(options);
        const int made = co_await hard.stop();
        CHECK(made == -SIGKILL);
        options.grace = 0ms;
        subprocess at_once = co_await started_and_ready(options);
        const int killed = co_await at_once.stop();
        CHECK(killed == -SIGKILL);
        // A stop that is cut leaves the rest to be done all the same.
        options.grace = 5ms;
        subprocess cut = co_await started_and_ready(options);
        CHECK_THROWS_AS((void)co_await timeout(1ms, cut.stop()), timeout_error);
        const int later = co_await cut.wait();
        CHECK(later == -SIGKILL);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: one that goes while its child runs takes it along") {
    int pid = 0;
    run([](int& told) -> task<> {
        {
            subprocess child = co_await started_and_ready(shell(obedient));
            told = child.pid();
            CHECK(is_there(told));
        }
        co_return;
    }(pid));
    CHECK(!is_there(pid));  // not even a zombie, as `run` has returned
}

TEST_CASE_FIXTURE(no_children,
                  "subprocess: the end of a run waits out the grace period, and kills") {
    int pid = 0;
    run([](int& told) -> task<> {
        subprocess_options options = shell(stubborn);
        options.grace = 20ms;
        subprocess child = co_await started_and_ready(options);
        told = child.pid();
    }(pid));
    CHECK(!is_there(pid));
}

TEST_CASE_FIXTURE(no_children,
                  "subprocess: a spawned task that is cancelled takes its child along") {
    std::vector<int> pids;
    run([](std::vector<int>& told) -> task<> {
        latch all_run(3);
        auto keeps_one = [&]() -> task<> {
            subprocess child = co_await started_and_ready(shell(obedient));
            told.push_back(child.pid());
            all_run.count_down();
            (void)co_await child.wait();
        };
        for (int i = 0; i < 3; ++i) spawn(keeps_one);
        co_await all_run.wait();
    }(pids));
    for (const int pid : pids) CHECK(!is_there(pid));
}

TEST_CASE_FIXTURE(no_children, "subprocess: a loop that closes kills at once what is left") {
    std::optional<subprocess> kept;
    int pid = 0;
    {
        loop own;
        subprocess_options options = shell(stubborn);
        options.grace = 1h;
        own.run([](subprocess_options told, std::optional<subprocess>& to) -> task<> {
            to = co_await started_and_ready(std::move(told));
        }(options, kept));
        pid = kept->pid();
        CHECK(is_there(pid));
    }
    CHECK(!is_there(pid));
    CHECK(kept->exit_code() == -SIGKILL);
    CHECK(!kept->kill());
}

TEST_CASE_FIXTURE(no_children, "subprocess: one that goes while its loop does not run is killed") {
    loop own;
    std::optional<subprocess> kept;
    own.run([](std::optional<subprocess>& to) -> task<> {
        to = co_await started_and_ready(shell(stubborn));
    }(kept));
    kept.reset();
    own.close();
}

TEST_CASE_FIXTURE(no_children, "subprocess: one that ended before it is awaited is no zombie") {
    run([]() -> task<> {
        subprocess child = co_await subprocess::start(shell("exit 6"));
        while (!child.exit_code()) co_await yield_now();
        CHECK(!is_there(child.pid()));
        const int code = co_await child.wait();
        CHECK(code == 6);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: waits are cut by themselves, one by one") {
    run([]() -> task<> {
        subprocess child = co_await started_and_ready(shell(obedient));
        auto patient = [&]() -> task<int> {
            const int code = co_await child.wait();
            co_return code;
        };
        auto hasty = [&]() -> task<> {
            const result<int> none = co_await nothrow(timeout(1ms, child.wait()));
            CHECK(none.error() == errc::timed_out);
            child.kill();
        };
        const auto both = co_await gather(patient(), hasty(), patient());
        CHECK(std::get<0>(both) == -SIGKILL);
        CHECK(std::get<2>(both) == -SIGKILL);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: who waits may outlast the object") {
    run([]() -> task<> {
        std::optional<subprocess> child = co_await started_and_ready(shell(obedient));
        auto waits = [&]() -> task<int> {
            const int code = co_await child->wait();
            co_return code;
        };
        auto drops = [&]() -> task<> {
            co_await yield_now();
            child.reset();
        };
        const auto both = co_await gather(waits(), drops());
        CHECK(std::get<0>(both) == -SIGTERM);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: assigning to one ends the child it had") {
    run([]() -> task<> {
        subprocess child = co_await started_and_ready(shell(obedient));
        const int first = child.pid();
        child = co_await started_and_ready(shell(obedient));
        CHECK(child.pid() != first);
        while (is_there(first)) co_await yield_now();
        CHECK(is_there(child.pid()));
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: a start that is cut has started nothing, or is ended") {
    for (int i = 0; i < 50; ++i) {
        run([](int delay) -> task<> {
            const auto patience = std::chrono::microseconds(delay * 20);
            auto starting = subprocess::start(shell("exec sleep 1000"));
            try {
                subprocess child = co_await timeout(patience, std::move(starting));
                CHECK(is_there(child.pid()));
            } catch (const timeout_error&) {
                CHECK(delay < 50);
            }
        }(i));
    }
}

TEST_CASE_FIXTURE(no_children, "subprocess: run_program that is cut ends the program") {
    const auto before = std::chrono::steady_clock::now();
    run([]() -> task<> {
        subprocess_options options = shell(stubborn);
        options.grace = 5ms;
        auto running = run_program(options);
        CHECK_THROWS_AS((void)co_await timeout(5ms, std::move(running)), timeout_error);
    }());
    CHECK(std::chrono::steady_clock::now() - before < 60s);
}

TEST_CASE_FIXTURE(no_children, "subprocess: a group is ended with its leader") {
    // The grandchild holds the output: its end is seen there.
    const char* with_grandchild = "sh -c \"trap '' TERM; echo ready; exec sleep 1000\" & wait";
    run([&]() -> task<> {
        subprocess_options options = shell(with_grandchild);
        options.whole_group = true;
        options.grace = 10ms;
        std::optional<subprocess> child = co_await started_and_ready(options);
        pipe_reader output = std::move(child->output());
        child.reset();  // SIGTERM ends the leader; the rest of the group is killed then
        std::array<char, 1> room{};
        const std::size_t end = co_await output.read_some(room);
        CHECK(end == 0);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: signals to a group reach it, also after its leader") {
    run([]() -> task<> {
        subprocess_options options = shell("sleep 1000 & echo ready; wait");
        options.whole_group = true;
        subprocess both = co_await started_and_ready(options);
        CHECK(both.terminate());
        std::array<char, 1> room{};
        const std::size_t end = co_await both.output().read_some(room);
        CHECK(end == 0);  // the grandchild held it too
        const int code = co_await both.wait();
        CHECK(code == -SIGTERM);

        options = shell("sleep 1000 & echo ready; exit 3");
        options.whole_group = true;
        subprocess left = co_await started_and_ready(options);
        const int leader = co_await left.wait();
        CHECK(leader == 3);
        CHECK(left.kill());
        const std::size_t gone = co_await left.output().read_some(room);
        CHECK(gone == 0);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: a group that is none is left to itself") {
    run([]() -> task<> {
        subprocess child = co_await started_and_ready(shell("cat <&0 & echo ready; exit 0"));
        pipe_reader output = std::move(child.output());
        const int code = co_await child.wait();
        CHECK(code == 0);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: a parent's death is told to the child that asked") {
    std::array<int, 2> made{};
    REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
    unique_fd reading(made[0]);
    unique_fd writing(made[1]);
    const int output = writing.get();
    const lariat::test::ending how = lariat::test::run_in_child([output] {
        run([](int to) -> task<> {
            subprocess_options options = shell("echo ready; exec sleep 1000");
            options.parent_death_signal = SIGKILL;
            options.output = stdio::descriptor(to);
            (void)co_await subprocess::start(options);
            ::_exit(42);  // nobody is left to end it
        }(output));
    });
    CHECK(how.exit_code == 42);
    writing.reset();
    std::array<char, 100> room{};
    while (::read(reading.get(), room.data(), room.size()) > 0) {
    }  // its end: the child is gone, else this would wait a quarter of an hour
    subprocess_options wrong("true");
    wrong.parent_death_signal = 1000;
    CHECK_THROWS_AS((void)run(run_program(wrong)), std::system_error);
}

TEST_CASE_FIXTURE(no_children, "subprocess: children that others wait for are left alone") {
    const pid_t other = ::fork();
    if (other == 0) ::_exit(11);
    for (int i = 0; i < 5; ++i) CHECK(run(run_program(shell("exit 3"))).exit_code == 3);
    int status = 0;
    CHECK(::waitpid(other, &status, 0) == other);
    CHECK(WEXITSTATUS(status) == 11);
}

TEST_CASE_FIXTURE(no_children, "subprocess: who waits for it behind our back takes nothing away") {
    run([]() -> task<> {
        subprocess_options with_input = shell("echo ready; read x; exit 8");
        with_input.input = stdio::pipe();
        subprocess taken = co_await started_and_ready(with_input);
        taken.input().close();
        int status = 0;
        CHECK(::waitpid(taken.pid(), &status, 0) == taken.pid());
        // 6.15 tells the exit code all the same; older ones say that there is no such child.
        const result<int> code = co_await nothrow(taken.wait());
        CHECK((code ? *code == 8 : code.error() == std::errc::no_child_process));
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: SIGCHLD is its owner's, waited for or ignored") {
    run([]() -> task<> {
        signal_watch watch(signals(SIGCHLD));
        const program_result ended = co_await run_program(shell("exit 2"));
        CHECK(ended.exit_code == 2);
        const int number = co_await watch.next();
        CHECK(number == SIGCHLD);
    }());
    const auto before = std::signal(SIGCHLD, SIG_IGN);  // the kernel reaps
    run([]() -> task<> {
        subprocess child = co_await subprocess::start(shell("exit 2"));
        const result<int> code = co_await nothrow(child.wait());
        CHECK((code ? *code == 2 : code.error() == std::errc::no_child_process));
    }());
    std::signal(SIGCHLD, before);
}

TEST_CASE_FIXTURE(no_children, "subprocess: a forked copy of its parent leaves the child alone") {
    run([]() -> task<> {
        std::optional<subprocess> child = co_await started_and_ready(shell(obedient));
        const pid_t copy = ::fork();
        if (copy == 0) {
            child.reset();
            ::_exit(0);
        }
        int status = 0;
        CHECK(::waitpid(copy, &status, 0) == copy);
        CHECK(status == 0);
        CHECK(!child->exit_code());
        CHECK(is_there(child->pid()));
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: an empty one stops the program that uses it") {
    CHECK(lariat::test::stops_with("an empty subprocess has no pid", [] {
        const subprocess empty;
        (void)empty.pid();
    }));
    CHECK(lariat::test::stops_with("an empty subprocess has nothing to wait for", [] {
        run([]() -> task<> {
            subprocess empty;
            (void)co_await empty.wait();
        }());
    }));
}

}  // namespace

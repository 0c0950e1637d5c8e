// Signals that must not go out, as the number may be a stranger's by now; and those that the kernel
// refuses.
#include <lariat/offload/subprocess.hpp>

#include "death.hpp"
#include "subprocess_support.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/nothrow.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::no_children;
using lariat::test::shell;
using lariat::test::started_and_ready;

/// A group whose leader ends, and leaves a `cat` behind that tells whether it lives.
subprocess_options leader_and_cat() {
    subprocess_options options = shell("exec 3<&0; cat <&3 & echo ready; exit 3");
    options.input = stdio::pipe();
    options.whole_group = true;
    return options;
}

task<bool> answers(pipe_writer& to, pipe_reader& from) {
    auto asking = to.write_all("?");
    const result<void> asked = co_await nothrow(std::move(asking));
    std::array<char, 1> room{};
    const std::size_t got = co_await from.read_some(room);
    co_return asked.has_value() && got == 1;
}

TEST_CASE_FIXTURE(no_children, "subprocess: a group whose leader others reaped gets no signal") {
    run([]() -> task<> {
        std::optional<subprocess> child = co_await started_and_ready(leader_and_cat());
        pipe_writer input = std::move(child->input());
        pipe_reader output = std::move(child->output());
        const int code = co_await child->wait();
        CHECK(code == 3);
        CHECK(child->send_signal(0));
        int status = 0;
        CHECK(::waitpid(-1, &status, 0) == child->pid());  // now the number is anybody's
        CHECK(!child->send_signal(0));
        CHECK(!child->kill());
        const bool after_kill = co_await answers(input, output);
        CHECK(after_kill);
        child.reset();
        const bool after_end = co_await answers(input, output);
        CHECK(after_end);
    }());
}

TEST_CASE_FIXTURE(no_children,
                  "subprocess: a group whose leader the kernel reaped gets no signal") {
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    run([]() -> task<> {
        std::optional<subprocess> child = co_await started_and_ready(leader_and_cat());
        pipe_writer input = std::move(child->input());
        pipe_reader output = std::move(child->output());
        const result<int> code = co_await nothrow(child->wait());
        CHECK((code ? *code == 3 : code.error() == std::errc::no_child_process));
        CHECK(!child->kill());
        child.reset();
        const bool alive = co_await answers(input, output);
        CHECK(alive);
    }());
    std::signal(SIGCHLD, before);
}

TEST_CASE_FIXTURE(no_children, "subprocess: a leader that went to another group gets its signals") {
    run([]() -> task<> {
        subprocess_options options("python3", "-c",
                                   "import os, signal, time\n"
                                   "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
                                   "os.setpgid(0, os.getpgid(os.getppid()))\n"
                                   "os.write(1, b'ready\\n')\n"
                                   "time.sleep(1000)");
        options.whole_group = true;
        subprocess asked = co_await started_and_ready(options);
        CHECK(::getpgid(asked.pid()) != asked.pid());
        CHECK(asked.terminate());
        const int by_term = co_await asked.wait();
        CHECK(by_term == -SIGTERM);
        options.grace = 0ms;
        subprocess made = co_await started_and_ready(options);
        const int by_kill = co_await made.stop();
        CHECK(by_kill == -SIGKILL);
    }());
}

TEST_CASE_FIXTURE(no_children, "subprocess: a signal to a group arrives once at its leader") {
    run([]() -> task<> {
        subprocess_options options =
            shell("trap 'echo usr1' USR1; echo ready; read x; read y; echo end");
        options.input = stdio::pipe();
        options.whole_group = true;
        subprocess child = co_await started_and_ready(options);
        CHECK(child.send_signal(SIGUSR1));
        const program_result told = co_await child.communicate("\n\n");
        CHECK(told.output == "usr1\nend\n");
    }());
}

/// The process that this runs in is another user's from now on than its children.
void become_nobody() {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(77);
}

/// Its exit code: 0 if the run, and its loop, ended and the refusal was told once.
int leave_another_users_child(int input, bool whole_group) {
    int told = 0;
    run_options watched;
    watched.report = [&told](const failure_report& report) {
        try {
            std::rethrow_exception(report.error);
        } catch (const std::system_error& refused) {
            if (refused.code() == std::errc::operation_not_permitted) ++told;
        }
    };
    subprocess_options options = shell("echo ready; read x");
    options.input = stdio::descriptor(input);
    options.errors = stdio::null();
    options.whole_group = whole_group;
    options.parent_death_signal = SIGKILL;  // started on this thread: this is a forked copy
    bool stop_refused = false;
    loop own(watched);
    own.run([](subprocess_options how, bool& refused) -> task<> {
        subprocess child = co_await started_and_ready(std::move(how));
        become_nobody();
        try {
            (void)co_await child.stop();
        } catch (const std::system_error& error) {
            refused = error.code() == std::errc::operation_not_permitted;
        }
    }(options, stop_refused));
    own.close();
    return stop_refused && told == 1 ? 0 : 1;
}

TEST_CASE_FIXTURE(leak_check,
                  "subprocess: one that may not be killed is told, and holds up no run") {
    if (::geteuid() != 0) return;  // only root's children can be out of our reach
    for (const bool whole_group : {false, true}) {
        std::array<int, 2> made{};
        REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
        const unique_fd reading(made[0]);
        const unique_fd writing(made[1]);  // the child's end, when this goes
        const int input = reading.get();
        const lariat::test::ending how = lariat::test::run_in_child(
            [input, whole_group] { ::_exit(leave_another_users_child(input, whole_group)); });
        CHECK(how.exit_code == 0);
        CHECK(how.text.empty());
    }
}

}  // namespace

// Starting a program: what it is told, what it inherits, and what is said when it cannot be.
#include <lariat/offload/subprocess.hpp>

#include "leak_check.hpp"
#include "scratch.hpp"
#include "subprocess_support.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using lariat::test::leak_check;
using lariat::test::scratch;
using lariat::test::shell;

using words = std::vector<std::string>;

std::string make_file(const std::string& path, const char* content, mode_t mode) {
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
}

/// The error that starting it ends with.
std::system_error failure_of(subprocess_options options) {
    try {
        (void)run(run_program(std::move(options)));
    } catch (const std::system_error& error) {
        return error;
    }
    FAIL("it did not fail");
    return std::system_error(std::error_code());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a program that ends gives its exit code") {
    run([]() -> task<> {
        subprocess child = co_await subprocess::start(shell("exit 7"));
        CHECK(child.pid() > 0);
        const int code = co_await child.wait();
        CHECK(code == 7);
        CHECK(child.exit_code() == 7);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: one that a signal ended gives its number, negative") {
    run([]() -> task<> {
        subprocess child = co_await subprocess::start(shell("kill -USR1 $$"));
        const int code = co_await child.wait();
        CHECK(code == -SIGUSR1);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: any number of tasks may wait, and again afterwards") {
    run([]() -> task<> {
        subprocess_options options("cat");
        options.input = stdio::pipe();
        options.output = stdio::null();
        subprocess child = co_await subprocess::start(options);
        CHECK(!child.exit_code());
        std::vector<int> order;
        auto waits = [&](int number) -> task<int> {
            const int code = co_await child.wait();
            order.push_back(number);
            co_return code;
        };
        auto ends = [&]() -> task<> {
            child.input().close();
            co_return;
        };
        const auto codes = co_await gather(waits(1), waits(2), waits(3), ends());
        CHECK(std::get<0>(codes) == 0);
        CHECK(std::get<2>(codes) == 0);
        CHECK(order == std::vector<int>{1, 2, 3});
        const int again = co_await child.wait();
        CHECK(again == 0);
        const result<int> once_more = co_await nothrow(child.wait());
        CHECK(*once_more == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: arguments arrive as they are") {
    words told{"printf", "%s|", "two words", "", "*", "$HOME", "\"'\\", "a\nb"};
    const program_result said = run(run_program(std::move(told)));
    CHECK(said.output == "two words||*|$HOME|\"'\\|a\nb|");
    CHECK(said.errors.empty());
    CHECK(said.exit_code == 0);
}

TEST_CASE_FIXTURE(leak_check, "subprocess: the environment is inherited, changed, or replaced") {
    ::setenv("LARIAT_TEST_KEPT", "kept", 1);
    ::setenv("LARIAT_TEST_CHANGED", "old", 1);
    ::setenv("LARIAT_TEST_GONE", "old", 1);
    const char* show = "echo $LARIAT_TEST_KEPT,$LARIAT_TEST_CHANGED,${LARIAT_TEST_GONE-none}";
    subprocess_options options = shell(show);
    CHECK(run(run_program(options)).output == "kept,old,old\n");
    options.environment["LARIAT_TEST_CHANGED"] = "new";
    options.environment["LARIAT_TEST_GONE"] = std::nullopt;
    CHECK(run(run_program(options)).output == "kept,new,none\n");
    options.inherit_environment = false;
    CHECK(run(run_program(options)).output == ",new,none\n");

    subprocess_options all("/usr/bin/env");
    all.inherit_environment = false;
    CHECK(run(run_program(all)).output.empty());
    all.environment["ONLY"] = "this = that";
    CHECK(run(run_program(all)).output == "ONLY=this = that\n");
    ::unsetenv("LARIAT_TEST_KEPT");
    ::unsetenv("LARIAT_TEST_CHANGED");
    ::unsetenv("LARIAT_TEST_GONE");
}

TEST_CASE_FIXTURE(scratch, "subprocess: the program is looked for in the child's own PATH") {
    make_file(path("lariat_test_program"), "#!/bin/sh\necho found\n", 0755);
    subprocess_options options("lariat_test_program");
    CHECK(failure_of(options).code() == std::errc::no_such_file_or_directory);
    options.environment["PATH"] = "/nowhere:" + path("");
    CHECK(run(run_program(options)).output == "found\n");
    // An empty stretch is the working directory, which is the child's.
    options.environment["PATH"] = "/nowhere:";
    options.working_directory = path("");
    CHECK(run(run_program(options)).output == "found\n");
    options.environment["PATH"] = std::nullopt;
    CHECK(failure_of(options).code() == std::errc::no_such_file_or_directory);
}

TEST_CASE_FIXTURE(scratch, "subprocess: what may not be run is passed over for what may") {
    std::filesystem::create_directory(path("first"));
    std::filesystem::create_directory(path("second"));
    make_file(path("first/lariat_test_program"), "#!/bin/sh\necho first\n", 0644);
    make_file(path("second/lariat_test_program"), "#!/bin/sh\necho second\n", 0755);
    subprocess_options options("lariat_test_program");
    options.environment["PATH"] = path("first") + ":" + path("second");
    CHECK(run(run_program(options)).output == "second\n");
}

TEST_CASE_FIXTURE(scratch, "subprocess: it runs in the working directory it was given") {
    subprocess_options options("/bin/pwd");
    options.working_directory = path("");
    const std::string real = std::filesystem::canonical(path("")).string();
    CHECK(run(run_program(options)).output == real + "\n");

    make_file(path("program"), "#!/bin/sh\necho here\n", 0755);
    subprocess_options relative("./program");
    relative.working_directory = path("");
    CHECK(run(run_program(relative)).output == "here\n");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a program that is not there is named") {
    const std::system_error by_name = failure_of(subprocess_options("lariat-no-such-program", "x"));
    CHECK(by_name.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(by_name.what()) ==
          "no such program: lariat-no-such-program: No such file or directory");
    const std::system_error by_path = failure_of(subprocess_options("/nowhere/program"));
    CHECK(std::string(by_path.what()) ==
          "no such program: /nowhere/program: No such file or directory");
    const std::system_error below_file = failure_of(subprocess_options("/bin/true/program"));
    CHECK(below_file.code() == std::errc::not_a_directory);
}

TEST_CASE_FIXTURE(scratch, "subprocess: a program that cannot be run says why") {
    const std::string locked = make_file(path("locked"), "#!/bin/sh\n", 0644);
    const std::system_error denied = failure_of(subprocess_options(locked));
    CHECK(denied.code() == std::errc::permission_denied);
    CHECK(std::string(denied.what()) ==
          "the program may not be run: " + locked + ": Permission denied");
    CHECK(failure_of(subprocess_options(path(""))).code() == std::errc::permission_denied);

    const std::string orphan = make_file(path("orphan"), "#!/no/such/interpreter\n", 0755);
    const std::system_error no_interpreter = failure_of(subprocess_options(orphan));
    CHECK(no_interpreter.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(no_interpreter.what()) ==
          "the interpreter is missing of the program: " + orphan + ": No such file or directory");

    const std::string text = make_file(path("text"), "neither a script nor a program", 0755);
    const std::system_error no_format = failure_of(subprocess_options(text));
    CHECK(no_format.code() == std::errc::executable_format_error);
    CHECK(std::string(no_format.what()) == "cannot run \"" + text + "\": Exec format error");

    subprocess_options long_line("true", std::string(4 * 1024 * 1024, 'x'));
    CHECK(failure_of(std::move(long_line)).code() == std::errc::argument_list_too_long);
}

TEST_CASE_FIXTURE(scratch, "subprocess: a missing working directory or file is named") {
    subprocess_options nowhere("true");
    nowhere.working_directory = path("nowhere");
    const std::system_error no_folder = failure_of(nowhere);
    CHECK(no_folder.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(no_folder.what()) ==
          "no such working directory: " + path("nowhere") + ": No such file or directory");

    subprocess_options no_access("true");
    no_access.working_directory = std::string(5000, 'x');
    CHECK(std::string(failure_of(no_access).what()) ==
          "cannot enter the working directory: " + no_access.working_directory +
              ": File name too long");

    subprocess_options no_input("true");
    no_input.input = stdio::file(path("nowhere"));
    const std::system_error no_file = failure_of(no_input);
    CHECK(std::string(no_file.what()) ==
          "cannot open \"" + path("nowhere") + "\" for a subprocess: No such file or directory");

    subprocess_options closed("true");
    closed.output = stdio::descriptor(12345);
    const std::system_error no_descriptor = failure_of(closed);
    CHECK(no_descriptor.code() == std::errc::bad_file_descriptor);
    CHECK(std::string(no_descriptor.what()) == "the output of \"true\": Bad file descriptor");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: options that mean nothing are refused") {
    const auto refused = [](auto change) {
        subprocess_options options("true");
        change(options);
        CHECK_THROWS_AS((void)run(run_program(std::move(options))), std::invalid_argument);
    };
    refused([](subprocess_options& o) { o.argv.clear(); });
    refused([](subprocess_options& o) { o.argv[0].clear(); });
    refused([](subprocess_options& o) { o.argv.emplace_back("a\0b", 3); });
    refused([](subprocess_options& o) { o.working_directory = std::string("/\0", 2); });
    refused([](subprocess_options& o) { o.environment["A=B"] = "c"; });
    refused([](subprocess_options& o) { o.environment[""] = "c"; });
    refused([](subprocess_options& o) { o.environment["A"] = std::string("\0", 1); });
    refused([](subprocess_options& o) { o.input = stdio::append("/dev/null"); });
    refused([](subprocess_options& o) { o.input = stdio::merged(); });
    refused([](subprocess_options& o) { o.output = stdio::merged(); });
    refused([](subprocess_options& o) { o.errors = stdio::file(std::string("\0", 1)); });
}

TEST_CASE_FIXTURE(leak_check, "subprocess: it inherits no descriptor that it was not given") {
    std::array<int, 2> open{};
    REQUIRE(::pipe(open.data()) == 0);  // not close-on-exec, as other code leaves them
    unique_fd reading(open[0]);
    unique_fd writing(open[1]);
    const unique_fd far_up(::fcntl(reading.get(), F_DUPFD, 1000));
    subprocess_options options = shell("ls /proc/$$/fd");
    options.errors = stdio::pipe();
    CHECK(run(run_program(options)).output == "0\n1\n2\n");
}

/// What proc(5) says of signals blocked, ignored and caught.
std::string signal_lines(const std::string& status) {
    std::istringstream lines(status);
    std::string chosen;
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("SigB") || line.starts_with("SigI") || line.starts_with("SigC"))
            chosen += line + '\n';
    return chosen;
}

TEST_CASE_FIXTURE(leak_check, "subprocess: signals reach it as they reach any new program") {
    sigset_t some;
    sigset_t kept;
    ::sigemptyset(&some);
    ::sigaddset(&some, SIGUSR1);
    ::sigaddset(&some, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &some, &kept);
    const auto old_pipe = std::signal(SIGPIPE, SIG_IGN);
    const auto old_user = std::signal(SIGUSR2, [](int) {});
    subprocess_options options("cat", "/proc/self/status");
    const std::string on_pool = signal_lines(run(run_program(options)).output);
    options.parent_death_signal = SIGKILL;
    const std::string on_loop = signal_lines(run(run_program(options)).output);
    std::signal(SIGPIPE, old_pipe);
    std::signal(SIGUSR2, old_user);
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, &kept, &after);
    CHECK(::sigismember(&after, SIGUSR1) == 1);  // ours was put back as it was
    const std::string none =
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n";
    CHECK(on_pool == none);
    CHECK(on_loop == none);
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a group of its own is led by it") {
    subprocess_options options = shell("cut -d' ' -f5 /proc/$$/stat; echo $$");
    const std::string shared = run(run_program(options)).output;
    CHECK(shared.substr(0, shared.find('\n')) == std::to_string(::getpgrp()));
    options.own_group = true;
    const std::string own = run(run_program(options)).output;
    const std::string group = own.substr(0, own.find('\n') + 1);
    CHECK(own == group + group);
}

/// Lowers the limit of descriptors for its lifetime.
class few_descriptors {
 public:
    few_descriptors() { REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0); }
    few_descriptors(const few_descriptors&) = delete;
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    void allow(rlim_t numbers) const {
        rlimit low = before_;
        low.rlim_cur = numbers;
        ::setrlimit(RLIMIT_NOFILE, &low);
    }

 private:
    rlimit before_{};
};

/// Without opening one.
int count_open() {
    int open = 0;
    for (int fd = 0; fd < 2000; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
}

TEST_CASE_FIXTURE(leak_check, "subprocess: without descriptors it fails as a whole") {
    run([]() -> task<> {
        (void)co_await run_program(subprocess_options("true"));  // what is made once is there
        const few_descriptors limit;
        const int open_before = count_open();
        int failures = 0;
        bool started = false;
        for (rlim_t numbers = 3; !started && numbers < 2000; ++numbers) {
            limit.allow(numbers);
            subprocess_options options("cat");
            options.input = stdio::pipe();
            options.output = stdio::pipe();
            options.errors = stdio::pipe();
            try {
                subprocess child = co_await subprocess::start(std::move(options));
                started = true;
                child.input().close();
            } catch (const std::system_error& error) {
                ++failures;
                CHECK(error.code() == std::errc::too_many_files_open);
                CHECK(count_open() == open_before);
            }
        }
        CHECK(started);
        CHECK(failures >= 7);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a thousand at once") {
    run([]() -> task<> {
        constexpr int many = 1000;
        std::vector<task<program_result>> all;
        for (int i = 0; i < many; ++i) {
            const std::string number = std::to_string(i % 256);
            subprocess_options options("/bin/sh", "-c", "exit " + number);
            options.output = stdio::null();
            options.errors = stdio::null();
            all.push_back(run_program(std::move(options)));
        }
        const std::vector<program_result> ended = co_await gather(std::move(all));
        int right = 0;
        for (int i = 0; i < many; ++i)
            right += ended[static_cast<std::size_t>(i)].exit_code == i % 256 ? 1 : 0;
        CHECK(right == many);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: loops of several threads start programs at once") {
    const auto start_some = [] {
        for (int i = 0; i < 20; ++i) {
            words told{"echo", std::to_string(i)};
            if (run(run_program(std::move(told))).output != std::to_string(i) + "\n") return false;
        }
        return true;
    };
    std::array<bool, 4> right{};
    std::vector<std::jthread> threads;
    for (bool& one : right) threads.emplace_back([&one, &start_some] { one = start_some(); });
    threads.clear();
    CHECK(std::all_of(right.begin(), right.end(), [](bool one) { return one; }));
}

}  // namespace

// A child's input, output and errors: where they lead, and that nobody waits for ever.
#include <lariat/offload/subprocess.hpp>

#include "death.hpp"
#include "leak_check.hpp"
#include "scratch.hpp"
#include "subprocess_support.hpp"

#include <lariat/base/error.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/buffered_reader.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::scratch;
using lariat::test::shell;
using lariat::test::stops_with;

/// Started without the pool: ThreadSanitizer ends a forked process that makes threads.
subprocess_options on_this_thread(subprocess_options options) {
    options.parent_death_signal = SIGKILL;
    return options;
}

std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_CASE_FIXTURE(leak_check, "subprocess: it is fed and listened to through pipes") {
    run([]() -> task<> {
        subprocess_options options("cat");
        options.input = stdio::pipe();
        options.output = stdio::pipe();
        subprocess cat = co_await subprocess::start(options);
        CHECK(!cat.errors());
        buffered_reader lines(cat.output());
        for (const char* word : {"one\n", "two\n"}) {
            co_await cat.input().write_all(word);
            const auto line = co_await lines.read_line();
            CHECK(*line + "\n" == word);
        }
        cat.input().close();
        const auto end = co_await lines.read_line();
        CHECK(!end);
        const int code = co_await cat.wait();
        CHECK(code == 0);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: output and errors are kept apart, or merged in order") {
    const char* line = "echo one; echo two >&2; echo three; echo four >&2";
    const program_result apart = run(run_program(shell(line)));
    CHECK(apart.output == "one\nthree\n");
    CHECK(apart.errors == "two\nfour\n");
    subprocess_options options = shell(line);
    options.errors = stdio::merged();
    const program_result merged = run(run_program(options));
    CHECK(merged.output == "one\ntwo\nthree\nfour\n");
    CHECK(merged.errors.empty());
}

TEST_CASE_FIXTURE(scratch, "subprocess: a stream may be a file, anew or behind what is there") {
    std::ofstream(path("in")) << "from a file\n";
    subprocess_options options = shell("cat; echo trouble >&2");
    options.input = stdio::file(path("in"));
    options.output = stdio::file(path("out"));
    options.errors = stdio::append(path("log"));
    CHECK(run(run_program(options)).exit_code == 0);
    CHECK(run(run_program(options)).exit_code == 0);
    CHECK(content(path("out")) == "from a file\n");
    CHECK(content(path("log")) == "trouble\ntrouble\n");
    options.errors = stdio::merged();
    CHECK(run(run_program(options)).exit_code == 0);
    CHECK(content(path("out")) == "from a file\ntrouble\n");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a null stream gives nothing and takes everything") {
    subprocess_options options = shell("cat; echo said; echo said >&2");
    options.input = stdio::null();
    options.output = stdio::null();
    options.errors = stdio::null();
    const program_result ended = run(run_program(options));
    CHECK(ended.exit_code == 0);
    CHECK(ended.output.empty());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: descriptors are lent, also crosswise") {
    std::array<int, 2> made{};
    REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
    unique_fd reading(made[0]);
    unique_fd writing(made[1]);
    subprocess_options options = shell("echo to output; echo to errors >&2");
    options.output = stdio::descriptor(writing.get());
    const program_result ended = run(run_program(options));
    CHECK(ended.output.empty());
    CHECK(ended.errors == "to errors\n");
    std::array<char, 100> room{};
    const ssize_t size = ::read(reading.get(), room.data(), room.size());
    CHECK(std::string(room.data(), static_cast<std::size_t>(size)) == "to output\n");

    // Our own two changed for each other: neither may be overwritten before it was copied.
    const unique_fd old_out(::fcntl(1, F_DUPFD_CLOEXEC, 3));
    ::dup2(writing.get(), 1);
    subprocess_options crossed = shell("echo to errors >&2");
    crossed.output = stdio::descriptor(2);
    crossed.errors = stdio::descriptor(1);
    const int code = run(run_program(crossed)).exit_code;
    ::dup2(old_out.get(), 1);
    CHECK(code == 0);
    const ssize_t again = ::read(reading.get(), room.data(), room.size());
    CHECK(std::string(room.data(), static_cast<std::size_t>(again)) == "to errors\n");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: an inherited stream is the parent's") {
    std::array<int, 2> made{};
    REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
    unique_fd reading(made[0]);
    unique_fd writing(made[1]);
    const unique_fd old_out(::fcntl(1, F_DUPFD_CLOEXEC, 3));
    ::dup2(writing.get(), 1);
    subprocess_options options("echo", "inherited");
    const int code = run([](subprocess_options told) -> task<int> {
        subprocess child = co_await subprocess::start(std::move(told));
        CHECK(!child.output());
        const int ended = co_await child.wait();
        co_return ended;
    }(options));
    ::dup2(old_out.get(), 1);
    CHECK(code == 0);
    std::array<char, 100> room{};
    const ssize_t size = ::read(reading.get(), room.data(), room.size());
    CHECK(std::string(room.data(), static_cast<std::size_t>(size)) == "inherited\n");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a parent without standard streams starts programs") {
    const lariat::test::ending how = lariat::test::run_in_child([] {
        const unique_fd report(::fcntl(2, F_DUPFD_CLOEXEC, 3));
        ::close(0);
        ::close(1);
        ::close(2);
        subprocess_options cat = on_this_thread(subprocess_options("cat"));
        const program_result said = run(run_program(cat, "through"));
        subprocess_options listed = on_this_thread(shell("ls /proc/$$/fd"));
        listed.input = stdio::inherited();
        const program_result open = run(run_program(listed));
        const std::string text = said.output + "," + open.output;
        (void)!::write(report.get(), text.data(), text.size());
    });
    CHECK(how.exit_code == 0);
    CHECK(how.text == "through,1\n2\n");
}

TEST_CASE_FIXTURE(leak_check, "subprocess: much goes both ways at once without a deadlock") {
    std::string text(8'000'000, 'x');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    const program_result through = run(run_program(subprocess_options("cat"), text));
    CHECK(through.exit_code == 0);
    CHECK(through.output == text);
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a child that floods both pipes is heard to its end") {
    const char* floods =
        "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait; echo end; exit 3";
    const program_result ended = run(run_program(shell(floods), std::string(500'000, 'x')));
    CHECK(ended.exit_code == 3);
    CHECK(ended.output.size() == 3'000'004);
    CHECK(ended.errors.size() == 3'000'000);
}

TEST_CASE_FIXTURE(leak_check, "subprocess: a child that closes its input early is no error") {
    const char* deaf = "exec <&-; echo not listening";
    const program_result ended = run(run_program(shell(deaf), std::string(500'000, 'x')));
    CHECK(ended.exit_code == 0);
    CHECK(ended.output == "not listening\n");
    const program_result head =
        run(run_program(subprocess_options("head", "-c", "3"), std::string(500'000, 'x')));
    CHECK(head.output == std::string(3, 'x'));
}

TEST_CASE_FIXTURE(leak_check, "subprocess: what it says is limited, and one that says more ends") {
    subprocess_options options = shell("exec cat /dev/zero");
    options.output_limit = 1'000'000;
    try {
        (void)run(run_program(options));
        FAIL("it did not fail");
    } catch (const limit_error& error) {
        CHECK(std::string(error.what())
                  .starts_with("a subprocess's output, of 1000000 bytes at most"));
    }
    options.argv.back() = "head -c 1000000 /dev/zero";
    CHECK(run(run_program(options)).output.size() == 1'000'000);
}

TEST_CASE_FIXTURE(leak_check,
                  "subprocess: a grandchild that holds the pipe is waited for by who "
                  "listens, and not by who waits") {
    run([]() -> task<> {
        // The grandchild holds output, and waits for its own input, which is a pipe of ours.
        subprocess_options options = shell("exec 3<&0; cat <&3 & exit 5");
        options.input = stdio::pipe();
        options.output = stdio::pipe();
        subprocess child = co_await subprocess::start(options);
        const int code = co_await child.wait();
        CHECK(code == 5);
        co_await child.input().write_all("late word");
        std::array<char, 100> room{};
        const std::size_t got = co_await child.output().read_some(room);
        CHECK(std::string(room.data(), got) == "late word");
        CHECK_THROWS_AS(co_await timeout(1ms, child.output().read_some(room)), timeout_error);
        const program_result rest = co_await child.communicate("last word");
        CHECK(rest.output == "last word");
        CHECK(rest.exit_code == 5);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: communicate can be cut, and the child goes on") {
    run([]() -> task<> {
        subprocess_options options = shell("echo early; cat");
        options.input = stdio::pipe();
        options.output = stdio::pipe();
        subprocess child = co_await subprocess::start(options);
        std::array<char, 100> room{};
        (void)co_await child.output().read_some(room);
        unique_fd held(::dup(0));  // something else to do meanwhile: nothing is lost of it
        auto other = [&]() -> task<std::size_t> {
            const std::size_t got = co_await child.output().read_some(room);
            co_return got;
        };
        CHECK_THROWS_AS(co_await timeout(1ms, other()), timeout_error);
        co_await child.input().write_all("still there");
        const std::size_t got = co_await child.output().read_some(room);
        CHECK(std::string(room.data(), got) == "still there");
        CHECK(!child.exit_code());
        const program_result ended = co_await child.communicate();
        CHECK(ended.exit_code == 0);
    }());
    run([]() -> task<> {
        subprocess_options options = shell("exec >&-; exec sleep 1000");
        options.output = stdio::pipe();
        subprocess child = co_await subprocess::start(options);
        CHECK_THROWS_AS((void)co_await timeout(5ms, child.communicate()), timeout_error);
        CHECK(!child.exit_code());
        child.kill();
        const int code = co_await child.wait();
        CHECK(code == -SIGKILL);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: text for a child whose input was closed is an error") {
    run([]() -> task<> {
        subprocess_options options("cat");
        options.input = stdio::pipe();
        options.output = stdio::pipe();
        subprocess child = co_await subprocess::start(options);
        child.input().close();
        CHECK_THROWS_AS((void)co_await child.communicate("late"), closed_error);
        const program_result ended = co_await child.communicate();
        CHECK(ended.exit_code == 0);
        CHECK_THROWS_AS((void)co_await child.communicate("later"), closed_error);
    }());
}

TEST_CASE_FIXTURE(leak_check, "subprocess: text for a child without an input pipe is refused") {
    CHECK(stops_with("communicate(text) needs options.input = stdio::pipe()", [] {
        run([]() -> task<> {
            subprocess_options options = on_this_thread(subprocess_options("true"));
            subprocess child = co_await subprocess::start(options);
            (void)co_await child.communicate("text");
        }());
    }));
}

}  // namespace

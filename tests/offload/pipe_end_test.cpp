// Descriptors that are not our own: each is used without blocking, and without a change to what
// others see of it.
#include <lariat/offload/pipe_end.hpp>

#include "leak_check.hpp"
#include "pipe_support.hpp"
#include "scratch.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/buffered_reader.hpp>
#include <lariat/offload/pipe.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

int signals_held_back = 0;

}  // namespace

/// In the C library's place: each write that must hold SIGPIPE back itself asks this.
extern "C" int sigpending(sigset_t* set) noexcept {
    ++signals_held_back;
    constexpr std::size_t kernel_set_bytes = 8;
    return static_cast<int>(::syscall(SYS_rt_sigpending, set, kernel_set_bytes));
}

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::no_pipe_signal;
using lariat::test::raw_pipe;
using lariat::test::read_all;
using lariat::test::write_and_close;

bool is_nonblocking(const unique_fd& fd) { return (::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0; }

TEST_CASE_FIXTURE(leak_check, "pipe: what others share stays blocking, and the loop does not") {
    run([]() -> task<> {
        raw_pipe shared;
        pipe_reader reader(::dup(shared.reading.get()));
        pipe_writer writer(::dup(shared.writing.get()));
        std::array<char, 10> room{};
        CHECK_THROWS_AS(co_await timeout(100us, reader.read_some(room)), timeout_error);
        const std::string large(300'000, 'x');
        CHECK_THROWS_AS(co_await timeout(100us, writer.write_all(large)), timeout_error);
        CHECK(!is_nonblocking(shared.reading));
        CHECK(!is_nonblocking(shared.writing));
        writer.close();
        shared.writing.reset();
        const std::string back = co_await read_all(reader);
        CHECK(back == std::string(back.size(), 'x'));
        CHECK(back.size() >= 4096);
    }());
}

TEST_CASE_FIXTURE(no_pipe_signal, "pipe: a named one, which knows no flag for one call, is asked") {
    std::string folder = "/tmp/lariat-XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const std::string name = folder + "/fifo";
    REQUIRE(::mkfifo(name.c_str(), 0600) == 0);
    run([&]() -> task<> {
        const unique_fd both(::open(name.c_str(), O_RDWR | O_CLOEXEC));
        pipe_reader reader(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
        pipe_writer writer(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
        std::array<char, 10> room{};
        CHECK_THROWS_AS(co_await timeout(100us, reader.read_some(room)), timeout_error);
        const std::string sent(300'000, 'x');
        std::size_t got = 0;
        auto reads = [&]() -> task<> {
            std::array<char, 5000> more{};
            while (got < sent.size()) got += co_await reader.read_some(more);
        };
        co_await gather(reads(), write_and_close(writer, sent));
        CHECK(got == sent.size());
    }());
    ::unlink(name.c_str());
    ::rmdir(folder.c_str());
}

TEST_CASE_FIXTURE(no_pipe_signal, "pipe: one without a flag for one call slows no other down") {
    const lariat::test::scratch folder;
    raw_pipe plain;
    char byte = 'x';
    const iovec one{&byte, 1};
    constexpr int no_signal = 0x100;  // RWF_NOSIGNAL, Linux 6.18
    if (::pwritev2(plain.writing.get(), &one, 1, -1, no_signal) != 1) return;
    const std::string name = folder.path("fifo");
    REQUIRE(::mkfifo(name.c_str(), 0600) == 0);
    run([&]() -> task<> {
        const unique_fd both(::open(name.c_str(), O_RDWR | O_CLOEXEC));
        pipe_writer named(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
        pipe_writer unnamed(plain.writing.release());
        co_await named.write_all("x");
        const int before = signals_held_back;
        co_await named.write_all("x");
        co_await unnamed.write_all("x");
        plain.reading.reset();
        const result<void> broken = co_await nothrow(unnamed.write_all("x"));
        CHECK(broken.error() == std::errc::broken_pipe);
        CHECK(signals_held_back == before);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: a terminal gives lines and takes text, and stays as it was") {
    run([]() -> task<> {
        unique_fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        REQUIRE(master);
        REQUIRE(::grantpt(master.get()) == 0);
        REQUIRE(::unlockpt(master.get()) == 0);
        const unique_fd terminal(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
        REQUIRE(terminal);
        pipe_reader typed(::dup(terminal.get()));
        pipe_writer shown(::dup(terminal.get()));
        pipe_writer keyboard(::dup(master.get()));
        pipe_reader screen(::dup(master.get()));
        std::array<char, 100> room{};
        CHECK_THROWS_AS(co_await timeout(100us, typed.read_some(room)), timeout_error);
        co_await keyboard.write_all("a line\nhalf");
        buffered_reader lines(typed);
        const auto line = co_await lines.read_line();
        CHECK(*line == "a line");
        // The terminal's discipline keeps what is no line yet.
        CHECK_THROWS_AS(co_await timeout(100us, lines.read_line()), timeout_error);
        co_await shown.write_all("shown");
        std::string seen;
        while (seen.find("shown") == std::string::npos) {
            const std::size_t got = co_await screen.read_some(room);
            seen.append(room.data(), got);
        }
        CHECK(!is_nonblocking(terminal));
        CHECK(!is_nonblocking(master));
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: files and devices are streams too") {
    run([]() -> task<> {
        std::string name = "/tmp/lariat-XXXXXX";
        const unique_fd file(::mkstemp(name.data()));
        ::unlink(name.c_str());
        pipe_writer out(::dup(file.get()));
        co_await write_and_close(out, "to a file\n");
        ::lseek(file.get(), 0, SEEK_SET);
        pipe_reader in(::dup(file.get()));
        buffered_reader lines(in);
        const auto line = co_await lines.read_line();
        CHECK(*line == "to a file");
        const auto none = co_await lines.read_line();
        CHECK(!none);

        pipe_reader nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const std::string empty = co_await read_all(nothing);
        CHECK(empty.empty());
        pipe_writer full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
        const result<void> refused = co_await nothrow(full.write_all("x"));
        CHECK(refused.error() == std::errc::no_space_on_device);
        pipe_reader folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        std::array<char, 1> room{};
        const result<std::size_t> none_read = co_await nothrow(folder.read_some(room));
        CHECK(none_read.error() == std::errc::is_a_directory);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: a wrong descriptor is refused, and one used the wrong way") {
    CHECK_THROWS_AS(pipe_reader(12345), std::system_error);
    CHECK_THROWS_AS(pipe_writer(-1), std::system_error);
    run([]() -> task<> {
        raw_pipe pipe;
        pipe_reader wrong(pipe.writing.release());
        std::array<char, 1> room{};
        const result<std::size_t> got = co_await nothrow(wrong.read_some(room));
        CHECK(got.error() == std::errc::bad_file_descriptor);
    }());
}

TEST_CASE_FIXTURE(leak_check, "pipe: a released end is blocking, as programs expect it") {
    pipe_ends ends = make_pipe();
    const unique_fd writing = ends.writer.release();
    CHECK(!is_nonblocking(writing));
    CHECK((::fcntl(writing.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(!ends.writer);
    CHECK(!ends.writer.release());
    CHECK(::write(writing.get(), "x", 1) == 1);
    const std::string got = run([](pipe_reader& from) -> task<std::string> {
        std::array<char, 9> room{};
        const std::size_t size = co_await from.read_some(room);
        co_return std::string(room.data(), size);
    }(ends.reader));
    CHECK(got == "x");
}

TEST_CASE_FIXTURE(leak_check, "pipe: the program's own streams are borrowed, not taken") {
    raw_pipe typed;
    raw_pipe shown;
    const unique_fd old_in(::fcntl(0, F_DUPFD_CLOEXEC, 3));
    const unique_fd old_out(::fcntl(1, F_DUPFD_CLOEXEC, 3));
    ::dup2(typed.reading.get(), 0);
    ::dup2(shown.writing.get(), 1);
    std::vector<std::string> got;
    run([&]() -> task<> {
        pipe_reader input = standard_input();
        pipe_writer output = standard_output();
        buffered_reader lines(input);
        auto types = [&]() -> task<> {
            CHECK(::write(typed.writing.get(), "one\ntwo\n", 8) == 8);
            typed.writing.reset();
            co_return;
        };
        auto reads = [&]() -> task<> {
            while (auto line = co_await lines.read_line()) {
                got.push_back(*line);
                co_await output.write_all("<" + *line + ">");
            }
        };
        co_await gather(reads(), types());
    }());
    CHECK(::fcntl(0, F_GETFD) >= 0);
    CHECK(!is_nonblocking(typed.reading));
    CHECK(!is_nonblocking(shown.writing));
    ::dup2(old_in.get(), 0);
    ::dup2(old_out.get(), 1);
    CHECK(got == std::vector<std::string>{"one", "two"});
    std::array<char, 100> room{};
    const ssize_t size = ::read(shown.reading.get(), room.data(), room.size());
    CHECK(std::string(room.data(), static_cast<std::size_t>(size)) == "<one><two>");
}

}  // namespace

#include "death.hpp"

#include <lariat/offload/blocking.hpp>

#include <lariat/base/unique_fd.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::test {

namespace {

[[noreturn]] void be_child(int errors, const std::function<void()>& body) {
    std::signal(SIGABRT, SIG_DFL);  // the test program's own handler would tell of a failed test
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(errors, STDERR_FILENO);
    ::dup2(errors, STDOUT_FILENO);
    int code = 0;
    try {
        body();
    } catch (...) {
        std::fputs("an exception left the body\n", stderr);
        code = 1;
    }
    std::cout.flush();
    ::_exit(code);
}

std::string read_all(int fd) {
    std::string text;
    std::array<char, 4096> part{};
    for (;;) {
        const ssize_t got = ::read(fd, part.data(), part.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return text;
        text.append(part.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace

ending run_in_child(const std::function<void()>& body) {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    unique_fd reading(pipe[0]);
    unique_fd writing(pipe[1]);
    std::fflush(nullptr);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) be_child(writing.get(), body);
    writing.reset();
    ending how;
    how.text = read_all(reading.get());
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status)) how.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) how.signal = WTERMSIG(status);
    return how;
}

ending run_in_lone_child(const std::function<void()>& body) {
    detail::blocking_pool& pool = detail::blocking_pool::shared();
    while (pool.stats().threads != 0) pool.end_idle();  // one may still be on its way from its work
    pool.end_idle();
    return run_in_child(body);
}

bool stops_with(const char* words, const std::function<void()>& body) {
    const ending how = run_in_child(body);
    if (how.signal == SIGABRT && how.text.find(words) != std::string::npos) return true;
    MESSAGE("exit code ", how.exit_code, ", signal ", how.signal, ", output: ", how.text);
    return false;
}

}  // namespace lariat::test

#include <lariat/base/assert.hpp>

#include <doctest/doctest.h>

#include <lariat/base/unique_fd.hpp>

#include <array>
#include <csignal>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace {

/// What a child process wrote to its standard error, and how it ended.
struct child_end {
    std::string said;
    int status = -1;
};

template <class Body>
child_end in_child(Body body) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const lariat::unique_fd reader(ends[0]);
    lariat::unique_fd writer(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(writer.get(), STDERR_FILENO);
        std::signal(SIGABRT, SIG_DFL);  // not the test runner's handler
        body();
        ::_exit(0);
    }
    writer.reset();
    child_end end;
    std::array<char, 512> part{};
    for (ssize_t got = 0; (got = ::read(reader.get(), part.data(), part.size())) > 0;)
        end.said.append(part.data(), static_cast<std::size_t>(got));
    REQUIRE(::waitpid(child, &end.status, 0) == child);
    return end;
}

TEST_CASE("assert: a rule that holds costs nothing visible") {
    const child_end end = in_child([] { lariat::detail::require(true, "never shown"); });
    CHECK(end.status == 0);
    CHECK(end.said.empty());
}

TEST_CASE("assert: a broken rule stops the program with its file, line and words") {
    constexpr int line = __LINE__ + 1;
    const child_end end = in_child([] { lariat::detail::require(false, "a cat is not a dog"); });
    CHECK(WIFSIGNALED(end.status));
    CHECK(WTERMSIG(end.status) == SIGABRT);
    CHECK(end.said.find("assert_test.cpp:" + std::to_string(line)) != std::string::npos);
    CHECK(end.said.find("a cat is not a dog") != std::string::npos);
}

}  // namespace

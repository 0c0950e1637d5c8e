// A function of a pool that forks by hand, and returns in both.
#include <lariat/process/pool.hpp>

#include "family_support.hpp"

#include <lariat/loop/loop.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace lariat::test;

/// False in the copy. The other one waits for its end.
bool is_no_copy() {
    const pid_t copy = ::fork();
    if (copy == 0) return false;
    ::waitpid(copy, nullptr, 0);
    return true;
}
bool fork_and_return() { return is_no_copy(); }
bool fork_and_throw() {
    if (!is_no_copy()) throw std::logic_error("thrown by a copy");
    return true;
}
task<bool> fork_in_a_task() {
    co_await yield_now();
    co_return is_no_copy();
}
int next(int number) { return number + 1; }

const role pool_forks("pool forks", [] {
    run([]() -> task<> {
        process_pool pool(1);
        for (int i = 0; i < 3; ++i) {
            const bool plain = co_await pool.run(fork_and_return);
            const bool throwing = co_await pool.run(fork_and_throw);
            const bool in_task = co_await pool.run(fork_in_a_task);
            const int after = co_await pool.run(next, i);
            const bool right = plain && throwing && in_task && after == i + 1;
            say(right ? "right" : "wrong");
        }
        co_await pool.close();
    }());
    return 0;
});

TEST_CASE("pool: a copy of a worker that a function forked ends when it returns, and says so") {
    program it("pool forks");
    const std::string said = it.rest();
    CHECK(it.wait() == 0);
    std::size_t copies = 0;
    std::size_t rounds = 0;
    for (std::size_t at = 0; (at = said.find("forked by hand", at)) != std::string::npos; ++at)
        ++copies;
    for (std::size_t at = 0; (at = said.find("right\n", at)) != std::string::npos; ++at) ++rounds;
    CHECK_MESSAGE(copies == 9, said);
    CHECK_MESSAGE(rounds == 3, said);
}

}  // namespace

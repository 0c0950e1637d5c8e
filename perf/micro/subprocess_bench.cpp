// Starting a program and waiting for it, from a parent of any size.
#include <lariat/lariat.hpp>

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t rounds = 100;
const char* const program = "/bin/true";

double spawn_by_hand() {
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        std::string name = program;
        char* const words[] = {name.data(), nullptr};
        pid_t child = 0;
        const int failed = posix_spawn(&child, program, nullptr, nullptr, words, environ);
        if (failed != 0) throw std::system_error(failed, std::generic_category(), program);
        waitpid(child, nullptr, 0);
    }
    return watch.each(rounds) / 1e3;
}

lariat::task<double> start_and_wait() {
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        lariat::subprocess_options options(program);
        lariat::subprocess child = co_await lariat::subprocess::start(std::move(options));
        const int code = co_await child.wait();
        if (code != 0) throw std::runtime_error("the program failed");
    }
    co_return watch.each(rounds) / 1e3;
}

lariat::task<double> capture() {
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        lariat::subprocess_options options("/bin/echo", "hello");
        const auto ended = co_await lariat::run_program(std::move(options));
        if (ended.output != "hello\n") throw std::runtime_error("the program failed");
    }
    co_return watch.each(rounds) / 1e3;
}

double from_large_parent() {
    const std::vector<char> memory(std::size_t{1} << 30, 1);
    bench::keep(memory);
    return lariat::run(start_and_wait());
}

}  // namespace

void bench::subprocess_benches(suite& all) {
    all.add("floor: posix_spawn + waitpid", "us", 0, spawn_by_hand);
    all.add("subprocess start + wait, small parent", "us", 700,
            [] { return lariat::run(start_and_wait()); });
    all.add("subprocess start + wait, 1 GiB parent", "us", 700, from_large_parent);
    all.add("run_program, output captured", "us", 0, [] { return lariat::run(capture()); });
}

// Starting a process that runs a function, and waiting for it, from a parent of any size.
#include <lariat/lariat.hpp>
#include <lariat/process/process.hpp>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t rounds = 200;
constexpr std::size_t large = std::size_t{256} << 20;

void nothing() {}

double fork_by_hand(std::size_t times) {
    const wall_watch watch;
    for (std::size_t i = 0; i < times; ++i) {
        const pid_t child = ::fork();
        if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
        if (child == 0) ::_exit(0);
        ::waitpid(child, nullptr, 0);
    }
    return watch.each(times) / 1e3;
}

lariat::task<double> start_and_join() {
    lariat::process first = lariat::process::start(nothing);
    lariat::process_status ended = co_await first.join();
    ended.check();
    const wall_watch watch;
    for (std::size_t i = 0; i < rounds; ++i) {
        lariat::process child = lariat::process::start(nothing);
        ended = co_await child.join();
        ended.check();
    }
    co_return watch.each(rounds) / 1e3;
}

template <class Measure>
double from_large_parent(Measure measure) {
    const std::vector<char> memory(large, 1);
    bench::keep(memory);
    return measure();
}

}  // namespace

void bench::start_benches(suite& all) {
    all.add("floor: fork + waitpid, small parent", "us", 0, [] { return fork_by_hand(rounds); });
    all.add("floor: fork + waitpid, 256 MiB parent", "us", 0,
            [] { return from_large_parent([] { return fork_by_hand(rounds / 10); }); });
    all.add("process start + join, small parent", "us", 700,
            [] { return lariat::run(start_and_join()); });
    all.add("process start + join, 256 MiB parent", "us", 700,
            [] { return from_large_parent([] { return lariat::run(start_and_join()); }); });
}

#include "bench.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace {

bench::settings parse(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    return bench::parse_settings(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

TEST_CASE("bench: the median of an even number of samples lies between the middle two") {
    bench::result row;
    row.samples = {1, 2, 4, 100};
    CHECK(row.median() == 3);
    row.samples = {1, 4, 100};
    CHECK(row.median() == 4);
    CHECK(row.min() == 1);
    CHECK(row.max() == 100);
}

TEST_CASE("bench: a child process hands its figure back, and its death is an error") {
    static int runs_here = 0;
    const double figure = bench::in_child_process([] {
        ++runs_here;
        return 42.5;
    });
    CHECK(figure == 42.5);
    CHECK(runs_here == 0);
    const auto dies = []() -> double { _exit(3); };
    CHECK_THROWS_AS(static_cast<void>(bench::in_child_process(dies)), std::runtime_error);
}

TEST_CASE("bench: settings are read, nonsense is refused") {
    const auto chosen = parse({"micro_bench", "--filter", "yield", "--repeats", "3", "--json", "-",
                               "--pin", "1", "--group", "process"});
    CHECK(chosen.group == "process");
    CHECK(chosen.filter == "yield");
    CHECK(chosen.repeats == 3);
    CHECK(chosen.json == "-");
    CHECK(chosen.pin == 1);
    CHECK_THROWS_AS(parse({"micro_bench", "--repeats"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"micro_bench", "--repeats", "x"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"micro_bench", "--repeat", "1"}), std::invalid_argument);
}

TEST_CASE("bench: a thread that was pinned for a while may run where it might before") {
    const auto usable = [] {
        cpu_set_t set;
        CPU_ZERO(&set);
        REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
        return CPU_COUNT(&set);
    };
    const int before = usable();
    {
        const bench::pinned_while here(sched_getcpu());
        CHECK(usable() == 1);
    }
    CHECK(usable() == before);
}

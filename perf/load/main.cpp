// Loads an echo server, any echo server, and says how it did: see `usage` in options.cpp.
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <system_error>

#include "generator.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(), "--pin");
    }
}

void allow_all_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void save_json(const echo_load::options& chosen, const echo_load::outcome& found,
               const echo_load::tally& seen) {
    if (chosen.json == "-") return echo_load::write_json(stdout, chosen, found, seen);
    std::FILE* file = std::fopen(chosen.json.c_str(), "w");
    if (file == nullptr) {
        throw std::system_error(errno, std::generic_category(), chosen.json);
    }
    echo_load::write_json(file, chosen, found, seen);
    if (std::fclose(file) != 0) {
        throw std::system_error(errno, std::generic_category(), chosen.json);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::span arguments(argv, static_cast<std::size_t>(argc));
        const echo_load::options chosen = echo_load::parse_options(arguments.subspan(1));
        if (chosen.pin) pin_to(*chosen.pin);
        allow_all_descriptors();
        echo_load::generator load(chosen);
        const echo_load::outcome found = load.run();
        const echo_load::tally& seen = load.result();
        std::fprintf(stderr, "%s\n", echo_load::summary(chosen, found, seen).c_str());
        if (!chosen.json.empty()) save_json(chosen, found, seen);
        return seen.errors == 0 ? 0 : 1;
    } catch (const std::invalid_argument& wrong) {
        std::fprintf(stderr, "echo_load: %s\n%s", wrong.what(), echo_load::usage);
        return 2;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "echo_load: %s\n", failure.what());
        return 1;
    }
}

#include "bench.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace bench {

namespace {

template <class Number>
Number number(std::string_view option, std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < Number{}) {
        throw std::invalid_argument(std::string(option) + ": not a number: " + std::string(text));
    }
    return value;
}

}  // namespace

settings parse_settings(int argc, char** argv) {
    settings chosen;
    for (int at = 1; at < argc; at += 2) {
        const std::string_view name = argv[at];
        if (at + 1 == argc) throw std::invalid_argument(std::string(name) + " needs a value");
        const std::string_view text = argv[at + 1];
        if (name == "--group")
            chosen.group = text;
        else if (name == "--filter")
            chosen.filter = text;
        else if (name == "--repeats")
            chosen.repeats = std::max<std::size_t>(1, number<std::size_t>(name, text));
        else if (name == "--json")
            chosen.json = text;
        else if (name == "--pin")
            chosen.pin = number<int>(name, text);
        else
            throw std::invalid_argument("unknown option " + std::string(name));
    }
    return chosen;
}

double result::median() const {
    const std::size_t middle = samples.size() / 2;
    if (samples.size() % 2 == 1) return samples[middle];
    return (samples[middle - 1] + samples[middle]) / 2;
}

void suite::print_header() const {
    std::printf("| operation | median | min | max | unit | target | |\n");
    std::printf("| --- | ---: | ---: | ---: | --- | ---: | --- |\n");
}

void suite::add(std::string_view name, std::string_view unit, double target,
                const std::function<double()>& sample) {
    if (name.find(chosen_.filter) == std::string_view::npos) return;
    result row;
    row.name = name;
    row.unit = unit;
    row.target = target;
    sample();
    for (std::size_t i = 0; i < chosen_.repeats; ++i) row.samples.push_back(sample());
    std::sort(row.samples.begin(), row.samples.end());
    const double median = row.median();
    std::printf("| %s | %.4g | %.4g | %.4g | %s | ", row.name.c_str(), median, row.min(), row.max(),
                row.unit.c_str());
    if (target > 0) {
        std::printf("%.4g | %s |\n", target, median <= target ? "reached" : "short");
    } else {
        std::printf(" | |\n");
    }
    std::fflush(stdout);
    results_.push_back(std::move(row));
}

double suite::median_of(std::string_view name) const {
    for (const result& row : results_) {
        if (row.name == name) return row.median();
    }
    return 0;
}

void suite::write_json(std::FILE* to) const {
    std::fprintf(to, "[");
    const char* separator = "\n";
    for (const result& row : results_) {
        std::fprintf(to, "%s  {\"name\": \"%s\", \"unit\": \"%s\", \"target\": %.6g, ", separator,
                     row.name.c_str(), row.unit.c_str(), row.target);
        std::fprintf(to, "\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, \"samples\": %zu}",
                     row.median(), row.min(), row.max(), row.samples.size());
        separator = ",\n";
    }
    std::fprintf(to, "\n]\n");
}

double in_child_process(const std::function<double()>& sample) {
    int ends[2];
    if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    std::fflush(stdout);
    const pid_t child = fork();
    if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (child == 0) {
        double value = 0;
        bool written = false;
        try {
            value = sample();
            written = write(ends[1], &value, sizeof value) == sizeof value;
        } catch (const std::exception& failure) {
            std::fprintf(stderr, "%s\n", failure.what());
        }
        _exit(written ? 0 : 1);
    }
    close(ends[1]);
    double value = 0;
    const bool got = read(ends[0], &value, sizeof value) == sizeof value;
    close(ends[0]);
    waitpid(child, nullptr, 0);
    if (!got) throw std::runtime_error("a benchmark in a child process failed");
    return value;
}

double resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    double total_pages = 0;
    double resident_pages = 0;
    statm >> total_pages >> resident_pages;
    return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

void pin_this_thread(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(), "--pin");
    }
}

pinned_while::pinned_while(int cpu) {
    CPU_ZERO(&before_);
    if (sched_getaffinity(0, sizeof before_, &before_) != 0)
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    if (cpu < static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))) pin_this_thread(cpu);
}

pinned_while::~pinned_while() { (void)sched_setaffinity(0, sizeof before_, &before_); }

}  // namespace bench

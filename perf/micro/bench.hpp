#pragma once

#include <sched.h>

#include <cstddef>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Nanoseconds of one of the system's clocks since it was made.
template <clockid_t Clock>
class watch_of {
 public:
    [[nodiscard]] double nanoseconds() const { return now() - start_; }
    /// Nanoseconds for each of `operations`.
    [[nodiscard]] double each(std::size_t operations) const {
        return nanoseconds() / static_cast<double>(operations);
    }

 private:
    static double now() {
        timespec time{};
        clock_gettime(Clock, &time);
        return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
    }

    double start_ = now();
};

/// The CPU time of this thread: what others do on the machine meanwhile counts little. For work
/// that never waits.
using stopwatch = watch_of<CLOCK_THREAD_CPUTIME_ID>;
/// Time as it passes: for what sleeps, or is done by two threads.
using wall_watch = watch_of<CLOCK_MONOTONIC>;

/// Makes the compiler believe that `value` is read: what computes it is not thrown away.
template <class T>
void keep(const T& value) {
    asm volatile("" : : "g"(&value) : "memory");
}

struct settings {
    std::string group;   // only benchmarks of this group; empty: of all
    std::string filter;  // only benchmarks whose name contains it
    std::size_t repeats = 7;
    std::string json;  // a file, or - for standard output
    int pin = -1;      // a CPU for the benchmarks' thread; -1: none
};

/// Errors: std::invalid_argument that names the option.
[[nodiscard]] settings parse_settings(int argc, char** argv);

/// What one benchmark gave, sorted.
struct result {
    std::string name;
    std::string unit;
    double target = 0;  // at most this much; 0: a figure to compare with, such as a floor
    std::vector<double> samples;

    [[nodiscard]] double median() const;
    [[nodiscard]] double min() const { return samples.front(); }
    [[nodiscard]] double max() const { return samples.back(); }
};

/// Runs benchmarks one after the other and keeps what they gave.
class suite {
 public:
    explicit suite(settings chosen) : chosen_(std::move(chosen)) {}

    /// Runs `sample` once to warm up, then as often as the settings say; it measures itself and
    /// returns the figure in `unit`. Prints the row as soon as it is known.
    void add(std::string_view name, std::string_view unit, double target,
             const std::function<double()>& sample);

    void print_header() const;
    void write_json(std::FILE* to) const;

    /// The median of a benchmark that has run; 0 if it was filtered out.
    [[nodiscard]] double median_of(std::string_view name) const;

 private:
    settings chosen_;
    std::vector<result> results_;
};

/// Returns what `sample` returns in a child process: memory that earlier samples left to the
/// allocator does not count there. Errors: std::runtime_error when the child fails.
[[nodiscard]] double in_child_process(const std::function<double()>& sample);

/// This process's resident memory (statm in proc(5)), in bytes.
[[nodiscard]] double resident_bytes();

void pin_this_thread(int cpu);

/// Pins this thread while it is there, where the machine has that CPU.
class pinned_while {
 public:
    explicit pinned_while(int cpu);
    pinned_while(const pinned_while&) = delete;
    pinned_while& operator=(const pinned_while&) = delete;
    ~pinned_while();

 private:
    cpu_set_t before_;
};

}  // namespace bench

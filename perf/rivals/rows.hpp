#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <string_view>

#include "bench.hpp"

// What a program of rows is: PROGRAM ROW runs that row once and prints a line of JSON.
namespace rival {

using bench::keep;
using bench::stopwatch;
using bench::wall_watch;

inline constexpr std::size_t million = 1'000'000;

struct row {
    std::string_view id;
    std::string_view unit;
    double (*measure)();
    bool warm = true;   // run it once before; not what asks for memory that nobody has used
    std::size_t n = 0;  // how many of them, where it is not what the row's name says
};

inline int run_row(std::span<const row> rows, int argc, char** argv) try {
    for (const row& each : rows) {
        if (argc != 2 || each.id != argv[1]) continue;
        if (each.warm) each.measure();
        const double value = each.measure();
        std::printf("{\"row\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"", each.id.data(), value,
                    each.unit.data());
        if (each.n != 0) std::printf(", \"n\": %zu", each.n);
        std::printf("}\n");
        return 0;
    }
    std::fprintf(stderr, "usage: %s ROW, one of:", argv[0]);
    for (const row& each : rows) std::fprintf(stderr, " %s", each.id.data());
    std::fprintf(stderr, "\n");
    return 2;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s: %s\n", argv[0], failure.what());
    return 1;
}

}  // namespace rival

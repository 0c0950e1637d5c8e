#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "histogram.hpp"

namespace echo_load {

/// What was seen on the wire in one phase.
struct tally {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;  // echoed and found right
    std::uint64_t errors = 0;
    std::string first_error;
    latency_histogram latency;
    std::int64_t last_answer = 0;      // CLOCK_MONOTONIC; until there is one, the phase's start
    std::int64_t longest_silence = 0;  // nanoseconds in which nobody was answered

    void heard(std::int64_t now) noexcept {
        longest_silence = std::max(longest_silence, now - last_answer);
        last_answer = now;
    }

    void fail(std::string what) {
        if (errors++ == 0) first_error = std::move(what);
    }

    // Errors stay: a wrong byte in the warm-up is as wrong as a later one.
    void start_phase(std::int64_t now) noexcept {
        requests = 0;
        bytes = 0;
        latency.reset();
        last_answer = now;
        longest_silence = 0;
    }
};

}  // namespace echo_load

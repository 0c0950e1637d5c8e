#pragma once

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

    void fail(std::string what) {
        if (errors++ == 0) first_error = std::move(what);
    }

    // Errors stay: a wrong byte in the warm-up is as wrong as a later one.
    void start_phase() noexcept {
        requests = 0;
        bytes = 0;
        latency.reset();
    }
};

}  // namespace echo_load

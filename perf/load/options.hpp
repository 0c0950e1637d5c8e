#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace echo_load {

enum class mode { echo, churn, idle };

/// What to do to the server; the defaults are the first cell of the results table.
struct options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::size_t connections = 50;
    std::size_t size = 64;
    std::size_t pipeline = 1;
    double duration_seconds = 3.0;
    double warmup_seconds = 0.5;
    echo_load::mode mode = echo_load::mode::echo;
    double rate = 0.0;  // requests a second over all connections; 0: closed loop
    std::string json;   // a file, or - for standard output
    std::string label;
    std::vector<pid_t> server_pids;
    std::optional<int> pin;
};

extern const char* const usage;

/// Reads `--name value` pairs. Errors: std::invalid_argument that names the option.
[[nodiscard]] options parse_options(std::span<char* const> arguments);

[[nodiscard]] const char* name_of(mode which) noexcept;

}  // namespace echo_load

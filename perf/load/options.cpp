#include "options.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace echo_load {

const char* const usage =
    "echo_load --port P [--host 127.0.0.1] [--connections 50] [--size 64] [--pipeline 1]\n"
    "          [--duration 3] [--warmup 0.5] [--mode echo|churn|idle] [--rate R] [--json FILE|-]\n"
    "          [--server-pid PID]... [--pin CPU] [--label TEXT]\n"
    "  echo   every connection keeps `pipeline` requests of `size` bytes in flight\n"
    "  churn  connect, one echo, close; `connections` of them at a time\n"
    "  idle   one echo on each connection, then hold all of them open for `duration`\n"
    "  rate   requests a second over all connections, at fixed times; latency then counts from\n"
    "         the time a request was due. Without it each answer starts the next request.\n"
    "Exit status 1: an echoed byte was wrong or a connection failed.\n";

namespace {

template <class Number>
Number number(std::string_view option, std::string_view text, Number low, Number high) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
        throw std::invalid_argument(std::string(option) +
                                    ": not a number in range: " + std::string(text));
    }
    return value;
}

mode mode_named(std::string_view text) {
    for (const mode which : {mode::echo, mode::churn, mode::idle}) {
        if (text == name_of(which)) return which;
    }
    throw std::invalid_argument("--mode: echo, churn or idle, not " + std::string(text));
}

void set(options& chosen, std::string_view name, std::string_view text) {
    constexpr std::size_t million = 1'000'000;
    if (name == "--host")
        chosen.host = text;
    else if (name == "--port")
        chosen.port = number<std::uint16_t>(name, text, 1, 65535);
    else if (name == "--connections")
        chosen.connections = number<std::size_t>(name, text, 1, million);
    else if (name == "--size")
        chosen.size = number<std::size_t>(name, text, 1, 64 * million);
    else if (name == "--pipeline")
        chosen.pipeline = number<std::size_t>(name, text, 1, 65536);
    else if (name == "--duration")
        chosen.duration_seconds = number<double>(name, text, 0.01, 3600);
    else if (name == "--warmup")
        chosen.warmup_seconds = number<double>(name, text, 0, 3600);
    else if (name == "--mode")
        chosen.mode = mode_named(text);
    else if (name == "--rate")
        chosen.rate = number<double>(name, text, 0, 1e9);
    else if (name == "--json")
        chosen.json = text;
    else if (name == "--label")
        chosen.label = text;
    else if (name == "--server-pid")
        chosen.server_pids.push_back(number<pid_t>(name, text, 1, 1 << 30));
    else if (name == "--pin")
        chosen.pin = number<int>(name, text, 0, 1023);
    else
        throw std::invalid_argument("unknown option " + std::string(name));
}

}  // namespace

const char* name_of(mode which) noexcept {
    switch (which) {
        case mode::echo: return "echo";
        case mode::churn: return "churn";
        case mode::idle: return "idle";
    }
    return "?";
}

options parse_options(std::span<char* const> arguments) {
    options chosen;
    for (std::size_t at = 0; at < arguments.size(); at += 2) {
        if (at + 1 == arguments.size()) {
            throw std::invalid_argument(std::string(arguments[at]) + " needs a value");
        }
        set(chosen, arguments[at], arguments[at + 1]);
    }
    if (chosen.port == 0) throw std::invalid_argument("--port is needed");
    if (chosen.rate > 0 && chosen.mode != mode::echo) {
        throw std::invalid_argument("--rate goes with --mode echo");
    }
    if (chosen.mode == mode::churn) chosen.pipeline = 1;
    return chosen;
}

}  // namespace echo_load

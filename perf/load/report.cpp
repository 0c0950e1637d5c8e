#include "report.hpp"

#include <array>
#include <cinttypes>

namespace echo_load {

namespace {

// What the user named: a label goes into JSON unescaped but for these two.
std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) out += c;
    }
    return out + '"';
}

double ratio(double value, double base) { return base > 0 ? value / base : 0; }

double cpu_per_request_us(const outcome& found, const tally& seen) {
    return ratio(found.server_cpu_seconds * 1e6, static_cast<double>(seen.requests));
}

double per_connection(std::int64_t before, std::int64_t after, const options& chosen) {
    return static_cast<double>(after - before) / static_cast<double>(chosen.connections);
}

double microseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

template <class... Values>
std::string format(const char* text, Values... values) {
    std::array<char, 512> line{};
    std::snprintf(line.data(), line.size(), text, values...);
    return line.data();
}

}  // namespace

std::string summary(const options& chosen, const outcome& found, const tally& seen) {
    std::string line =
        format("%s%s%s: %zu connections, ", chosen.label.c_str(), chosen.label.empty() ? "" : " ",
               name_of(chosen.mode), chosen.connections);
    if (chosen.mode == mode::idle) {
        const auto& before = found.memory_before;
        const auto& after = found.memory_after;
        line += format("server %.0f B resident, %.0f B mapped data a connection",
                       per_connection(before.resident_bytes, after.resident_bytes, chosen),
                       per_connection(before.data_bytes, after.data_bytes, chosen));
    } else {
        line += format(
            "%zu B x %zu: %.0f/s, %.1f MB/s, p50 %.0f p99 %.0f p99.9 %.0f max %.0f us, server "
            "%.3f us CPU each (%.0f %% busy), load %.0f %% busy",
            chosen.size, chosen.pipeline, ratio(static_cast<double>(seen.requests), found.seconds),
            ratio(static_cast<double>(seen.bytes) / 1e6, found.seconds),
            microseconds(seen.latency.quantile(0.5)), microseconds(seen.latency.quantile(0.99)),
            microseconds(seen.latency.quantile(0.999)), microseconds(seen.latency.max()),
            cpu_per_request_us(found, seen), 100 * ratio(found.server_cpu_seconds, found.seconds),
            100 * ratio(found.load_cpu_seconds, found.seconds));
    }
    line += format(", errors %" PRIu64, seen.errors);
    if (seen.errors > 0) line += " (" + seen.first_error + ")";
    return line;
}

void write_json(std::FILE* to, const options& chosen, const outcome& found, const tally& seen) {
    const auto& before = found.memory_before;
    const auto& after = found.memory_after;
    std::fprintf(to, "{\"label\": %s, \"mode\": \"%s\", \"connections\": %zu, ",
                 quoted(chosen.label).c_str(), name_of(chosen.mode), chosen.connections);
    std::fprintf(to, "\"size_bytes\": %zu, \"pipeline\": %zu, \"seconds\": %.6f, ", chosen.size,
                 chosen.pipeline, found.seconds);
    std::fprintf(to, "\"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"errors\": %" PRIu64 ", ",
                 seen.requests, seen.bytes, seen.errors);
    std::fprintf(to, "\"first_error\": %s, \"requests_per_second\": %.1f, ",
                 quoted(seen.first_error).c_str(),
                 ratio(static_cast<double>(seen.requests), found.seconds));
    std::fprintf(to, "\"bytes_per_second\": %.1f, ",
                 ratio(static_cast<double>(seen.bytes), found.seconds));
    std::fprintf(to, "\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"max_us\": %.3f, ",
                 microseconds(seen.latency.quantile(0.5)),
                 microseconds(seen.latency.quantile(0.99)),
                 microseconds(seen.latency.quantile(0.999)), microseconds(seen.latency.max()));
    std::fprintf(to, "\"longest_silence_seconds\": %.6f, ",
                 static_cast<double>(seen.longest_silence) / 1e9);
    std::fprintf(to, "\"cpu_per_request_us\": %.4f, \"server_cpu_seconds\": %.6f, ",
                 cpu_per_request_us(found, seen), found.server_cpu_seconds);
    std::fprintf(to, "\"server_kernel_seconds\": %.2f, \"load_cpu_seconds\": %.6f, ",
                 found.server_kernel_seconds, found.load_cpu_seconds);
    std::fprintf(to, "\"resident_bytes_per_connection\": %.1f, ",
                 per_connection(before.resident_bytes, after.resident_bytes, chosen));
    std::fprintf(to, "\"data_bytes_per_connection\": %.1f}\n",
                 per_connection(before.data_bytes, after.data_bytes, chosen));
}

}  // namespace echo_load

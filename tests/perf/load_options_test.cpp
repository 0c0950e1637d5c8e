#include "options.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

echo_load::options parse(std::initializer_list<const char*> words) {
    std::vector<std::string> texts(words.begin(), words.end());
    std::vector<char*> arguments;
    for (std::string& text : texts) arguments.push_back(text.data());
    return echo_load::parse_options(arguments);
}

}  // namespace

TEST_CASE("echo_load options: every option is read") {
    const auto chosen = parse(
        {"--port",     "81",  "--host",       "127.0.0.9", "--connections", "7", "--size", "9",
         "--pipeline", "3",   "--duration",   "0.25",      "--warmup",      "0", "--rate", "100",
         "--json",     "out", "--server-pid", "5",         "--server-pid",  "6", "--pin",  "1",
         "--label",    "a b"});
    CHECK(chosen.port == 81);
    CHECK(chosen.host == "127.0.0.9");
    CHECK(chosen.connections == 7);
    CHECK(chosen.size == 9);
    CHECK(chosen.pipeline == 3);
    CHECK(chosen.duration_seconds == 0.25);
    CHECK(chosen.warmup_seconds == 0.0);
    CHECK(chosen.rate == 100.0);
    CHECK(chosen.json == "out");
    CHECK(chosen.server_pids == std::vector<pid_t>{5, 6});
    CHECK(chosen.pin == 1);
    CHECK(chosen.label == "a b");
    CHECK(parse({"--port", "1", "--mode", "idle"}).mode == echo_load::mode::idle);
    CHECK(parse({"--port", "1", "--mode", "churn", "--pipeline", "4"}).pipeline == 1);
}

TEST_CASE("echo_load options: what makes no sense is refused") {
    CHECK_THROWS_AS(parse({}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "65536"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "80x"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "80", "--size", "0"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "80", "--mode", "flood"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "80", "--sise", "1"}), std::invalid_argument);
    CHECK_THROWS_AS(parse({"--port", "80", "--mode", "churn", "--rate", "5"}),
                    std::invalid_argument);
}

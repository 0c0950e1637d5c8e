#pragma once

#include "program.hpp"

#include <lariat/process/process.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <string>

#include <unistd.h>

namespace lariat::test {

inline void nothing() {}
inline task<> for_ever() { co_await sleep(std::chrono::hours(1)); }

/// Says "name pid", and stays until the tester lets it go, or for ever.
inline void say_and_wait() {
    say(this_process::name() + ' ' + std::to_string(::getpid()));
    wait_for_tester();
}
inline void say_and_stay() {
    say(this_process::name() + ' ' + std::to_string(::getpid()));
    for (;;) ::pause();
}
inline process_options named(const char* name) { return process_options(name); }
inline process_options daemon_named(const char* name) {
    process_options options(name);
    options.daemon = true;
    return options;
}

inline int number(const std::string& line) { return std::atoi(line.c_str()); }

/// So many lines of the form "name number".
inline std::map<std::string, int> numbers(program& from, int lines) {
    std::map<std::string, int> found;
    for (int i = 0; i < lines; ++i) {
        const std::string line = from.line();
        const std::size_t space = line.find(' ');
        REQUIRE_MESSAGE(space != std::string::npos, line);
        found[line.substr(0, space)] = number(line.substr(space + 1));
    }
    return found;
}

/// What body() throws, an Error, says.
template <class Error, class Body>
std::string text_of(Body body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}
inline bool has(const std::string& text, const char* words) {
    return text.find(words) != std::string::npos;
}

/// Of this process, or of the family that it belongs to.
inline int fork_server() {
    const process child = process::start(for_ever);
    return parent_of(child.pid());
}
inline void say_fork_server() { say("server " + std::to_string(fork_server())); }

}  // namespace lariat::test

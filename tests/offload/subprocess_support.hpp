#pragma once

#include "leak_check.hpp"

#include <lariat/offload/subprocess.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>

#include <sys/wait.h>

namespace lariat::test {

inline subprocess_options shell(const char* line) { return subprocess_options::shell(line); }

inline bool is_there(int pid) { return ::kill(pid, 0) == 0; }

/// No child of this process is left: neither running nor a zombie.
class no_children : leak_check {
 public:
    ~no_children() {
        const bool none = ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD;
        CHECK(none);
    }
};

/// A child that has said `ready`, with its output as a pipe.
inline task<subprocess> started_and_ready(subprocess_options options) {
    options.output = stdio::pipe();
    subprocess child = co_await subprocess::start(std::move(options));
    std::array<char, 6> room{};
    const std::size_t got = co_await child.output().read_some(room);
    CHECK(std::string(room.data(), got) == "ready\n");
    co_return child;
}

inline const char* const stubborn = "trap '' TERM; echo ready; exec sleep 1000";
inline const char* const obedient = "echo ready; exec sleep 1000";

}  // namespace lariat::test

#pragma once

#include "leak_check.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/offload/pipe.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace lariat::test {

/// Watches for SIGPIPE for its lifetime: there must be none.
class no_pipe_signal : leak_check {
 public:
    no_pipe_signal() : before_(std::signal(SIGPIPE, [](int) { raised_ = 1; })) { raised_ = 0; }
    ~no_pipe_signal() {
        CHECK(raised_ == 0);
        std::signal(SIGPIPE, before_);
    }

 private:
    static inline volatile std::sig_atomic_t raised_ = 0;
    void (*before_)(int);
};

/// Two ends as another program might hand them over: blocking, and looked at from here.
struct raw_pipe {
    raw_pipe() {
        std::array<int, 2> made{};
        REQUIRE(::pipe2(made.data(), O_CLOEXEC) == 0);
        reading.reset(made[0]);
        writing.reset(made[1]);
    }
    unique_fd reading;
    unique_fd writing;
};

/// Everything up to the end.
inline task<std::string> read_all(pipe_reader& from) {
    std::string text;
    std::array<char, 1000> room{};
    for (;;) {
        const std::size_t got = co_await from.read_some(room);
        if (got == 0) co_return text;
        text.append(room.data(), got);
    }
}

inline task<> write_and_close(pipe_writer& to, std::string text) {
    co_await to.write_all(text);
    to.close();
}

}  // namespace lariat::test

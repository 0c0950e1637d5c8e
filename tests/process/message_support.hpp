#pragma once

#include <lariat/process/message_stream.hpp>
#include <lariat/task/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lariat::test {

/// This process has no room for more than so many descriptors beside those that it has.
class few_descriptors {
 public:
    explicit few_descriptors(rlim_t more) {
        const int lowest = ::dup(STDIN_FILENO);
        ::close(lowest);
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit now = before_;
        now.rlim_cur = static_cast<rlim_t>(lowest) + more;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    few_descriptors(const few_descriptors&) = delete;
    few_descriptors& operator=(const few_descriptors&) = delete;
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
    rlimit before_{};
};

/// Both ends here, without a carrier.
struct both_ends {
    both_ends() {
        std::array<int, 2> made{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()) == 0);
        left = detail::message_stream(unique_fd(made[0]));
        right = detail::message_stream(unique_fd(made[1]));
    }
    detail::message_stream left;
    detail::message_stream right;
};

inline detail::parcel text(std::string words) {
    detail::parcel made;
    made.bytes.resize(words.size());
    if (!words.empty()) std::memcpy(made.bytes.data(), words.data(), words.size());
    return made;
}
inline std::string words_of(const detail::parcel& from) {
    return {reinterpret_cast<const char*>(from.bytes.data()), from.bytes.size()};
}

/// What the next one says; "the end" at the end.
inline task<std::string> next(const detail::message_stream& from) {
    std::optional<detail::parcel> got = co_await from.receive();
    co_return got ? words_of(*got) : std::string("the end");
}

}  // namespace lariat::test

#include "socket_options.hpp"

#include "socket_call.hpp"

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace lariat::detail {

namespace {

/// One of tcp_options for the kernel, which takes all of them as an int.
struct row {
    int level;
    int option;
    const char* name;  ///< the member's
    std::int64_t least;
    std::int64_t most;
};

// Ranges: Linux include/net/tcp.h (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT). A buffer
// of more than half of what an int holds would be doubled beyond it.
constexpr std::int64_t most_seconds = 32'767;
constexpr std::int64_t most_buffer = std::int64_t{1} << 30;
constexpr row no_delay{IPPROTO_TCP, TCP_NODELAY, "no_delay", 0, 1};
constexpr row keep_alive{SOL_SOCKET, SO_KEEPALIVE, "keep_alive", 0, 1};
constexpr row idle{IPPROTO_TCP, TCP_KEEPIDLE, "keep_alive_idle", 1, most_seconds};
constexpr row interval{IPPROTO_TCP, TCP_KEEPINTVL, "keep_alive_interval", 1, most_seconds};
constexpr row probes{IPPROTO_TCP, TCP_KEEPCNT, "keep_alive_probes", 1, 127};
constexpr row user_timeout{IPPROTO_TCP, TCP_USER_TIMEOUT, "user_timeout", 0,
                           std::numeric_limits<int>::max()};
constexpr row receive_buffer{SOL_SOCKET, SO_RCVBUF, "receive_buffer_bytes", 0, most_buffer};
constexpr row send_buffer{SOL_SOCKET, SO_SNDBUF, "send_buffer_bytes", 0, most_buffer};

/// A member of either kind of options, with its row.
template <class Options, class Visitor>
void for_each(Options& options, Visitor visit) {
    visit(no_delay, options.no_delay);
    visit(keep_alive, options.keep_alive);
    visit(idle, options.keep_alive_idle);
    visit(interval, options.keep_alive_interval);
    visit(probes, options.keep_alive_probes);
    visit(user_timeout, options.user_timeout);
    visit(receive_buffer, options.receive_buffer_bytes);
    visit(send_buffer, options.send_buffer_bytes);
}

template <class Rep, class Period>
std::int64_t number_of(std::chrono::duration<Rep, Period> length) noexcept {
    return length.count();
}
std::int64_t number_of(bool on) noexcept { return on ? 1 : 0; }
std::int64_t number_of(int count) noexcept { return count; }
// What no int64_t holds is beyond every range all the same.
std::int64_t number_of(std::size_t bytes) noexcept {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    return bytes > std::size_t{most} ? most : static_cast<std::int64_t>(bytes);
}

[[noreturn]] void throw_failed(const row& which, const char* doing) {
    throw_errno(std::string(doing) + " the option " + which.name);
}

}  // namespace

void check_options(const tcp_options& options) {
    for_each(options, [](const row& which, const auto& value) {
        if (!value) return;
        const std::int64_t number = number_of(*value);
        if (number >= which.least && number <= which.most) return;
        throw std::invalid_argument(
            "tcp_options." + std::string(which.name) + " is " + std::to_string(number) + "; give " +
            std::to_string(which.least) + " to " + std::to_string(which.most));
    });
}

tcp_options with_no_delay(const tcp_options& options) noexcept {
    tcp_options all = options;
    if (!all.no_delay) all.no_delay = true;
    return all;
}

void set_options(int fd, const tcp_options& options) {
    for_each(options, [fd](const row& which, const auto& value) {
        if (!value) return;
        const int number = static_cast<int>(number_of(*value));
        if (::setsockopt(fd, which.level, which.option, &number, sizeof number) != 0)
            throw_failed(which, "setting");
    });
}

tcp_options options_of(int fd) {
    tcp_options all;
    for_each(all, [fd](const row& which, auto& value) {
        int number = 0;
        socklen_t size = sizeof number;
        if (::getsockopt(fd, which.level, which.option, &number, &size) != 0)
            throw_failed(which, "asking for");
        using type = typename std::remove_reference_t<decltype(value)>::value_type;
        if constexpr (std::is_same_v<type, bool>) {
            value = number != 0;
        } else {
            value = type(number);
        }
    });
    return all;
}

}  // namespace lariat::detail

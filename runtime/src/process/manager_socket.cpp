#include "process/manager_socket.hpp"

#include "offload/uninterrupted.hpp"
#include "process/socket_file.hpp"

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

struct raw_address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr* get() const noexcept {
        return reinterpret_cast<const sockaddr*>(&bytes);
    }
};

template <class Address>
raw_address raw_from(const Address& from, std::size_t size = sizeof(Address)) noexcept {
    raw_address raw;
    std::memcpy(&raw.bytes, &from, size);
    raw.size = static_cast<socklen_t>(size);
    return raw;
}

raw_address raw_of(const endpoint& where) noexcept {
    const std::span<const std::uint8_t> bytes = where.address().bytes();
    if (where.address().family() == ip_family::v4) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(where.port());
        std::memcpy(&v4.sin_addr, bytes.data(), sizeof v4.sin_addr);
        return raw_from(v4);
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(where.port());
    v6.sin6_scope_id = where.address().scope();
    std::memcpy(&v6.sin6_addr, bytes.data(), sizeof v6.sin6_addr);
    return raw_from(v6);
}

raw_address raw_of(const std::filesystem::path& where) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    const std::string& text = where.native();
    if (text.empty() || text.size() >= sizeof local.sun_path)
        throw_error(system_code(-ENAMETOOLONG),
                    "a manager's path of 1 to 107 bytes, not \"" + text + '"');
    std::memcpy(local.sun_path, text.data(), text.size());
    return raw_from(local, offsetof(sockaddr_un, sun_path) + text.size() + 1);
}

raw_address raw_of(const manager_address& where) {
    return std::visit([](const auto& each) { return raw_of(each); }, where);
}

unique_fd make_socket(const raw_address& of) {
    unique_fd made(::socket(of.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) throw_error(system_code(-errno), "a manager's socket");
    return made;
}

constexpr std::chrono::milliseconds for_the_dead{500};

enum class occupant { none, unknown, manager };

/// Who is at a path that bind() found taken. A manager says hello at once to whoever connects. The
/// kernel takes a ring of a killed process apart when that has long been reaped, and as long its
/// listening socket looks alive, and says nothing: its end is waited for, but not beyond `until`.
occupant look_at(const raw_address& where, time_point until) {
    const unique_fd probe = make_socket(where);
    if (::connect(probe.get(), where.get(), where.size) != 0)
        return errno == ECONNREFUSED ? occupant::none : occupant::unknown;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
    pollfd heard{probe.get(), POLLIN, 0};
    (void)::poll(&heard, 1, static_cast<int>(std::max(left.count(), std::int64_t{0})));
    char letter = 0;
    const auto got = ::recv(probe.get(), &letter, sizeof letter, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 ? occupant::manager : occupant::unknown;
}

/// Where a socket's file lies and nobody listens, its manager was killed. What is no socket refuses
/// a connect() as well, and is not ours.
int bind_path(int socket, const raw_address& raw, const std::string& path) {
    const time_point until = clock::now() + for_the_dead;
    for (;;) {
        if (::bind(socket, raw.get(), raw.size) == 0) break;
        if (errno != EADDRINUSE) return errno;
        const auto found = socket_file_at(path);
        if (!found && errno == ENOENT) continue;  // its manager has just ended
        if (!found) return errno;
        const occupant who = look_at(raw, until);
        if (who == occupant::manager || clock::now() >= until) return EADDRINUSE;
        if (who == occupant::unknown || !remove_socket_file(path, *found))
            (void)::poll(nullptr, 0, 5);
    }
    // Until it listens, nobody can connect.
    return ::chmod(path.c_str(), S_IRUSR | S_IWUSR) == 0 ? 0 : errno;
}

endpoint bound_endpoint(int socket, const endpoint& wanted) {
    raw_address raw;
    raw.size = sizeof raw.bytes;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&raw.bytes), &raw.size) != 0)
        throw_error(system_code(-errno), "a manager's address");
    std::uint16_t port = 0;  // at the same place in both kinds
    std::memcpy(&port, reinterpret_cast<const char*>(&raw.bytes) + offsetof(sockaddr_in, sin_port),
                sizeof port);
    return {wanted.address(), ntohs(port)};
}

}  // namespace

std::string describe(const manager_address& where) {
    if (const auto* const tcp = std::get_if<endpoint>(&where)) return tcp->to_string();
    return std::get<std::filesystem::path>(where).native();
}

void send_at_once(int socket) noexcept {
    const int on = 1;
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // refused by others
}

manager_listener listen_at(const manager_address& where) {
    const raw_address raw = raw_of(where);
    manager_listener made;
    made.bound = where;
    made.socket = make_socket(raw);
    if (const auto* const tcp = std::get_if<endpoint>(&where)) {
        const int on = 1;
        (void)::setsockopt(made.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (::bind(made.socket.get(), raw.get(), raw.size) != 0)
            throw_error(system_code(-errno), "a manager's address " + describe(where));
        made.bound = bound_endpoint(made.socket.get(), *tcp);
    } else {
        const int failure = bind_path(made.socket.get(), raw, describe(where));
        if (failure != 0)
            throw_error(system_code(-failure), "a manager's address " + describe(where));
    }
    if (::listen(made.socket.get(), SOMAXCONN) != 0)
        throw_error(system_code(-errno), "a manager's address " + describe(where));
    return made;
}

task<unique_fd> connect_to(manager_address where) {
    const raw_address raw = raw_of(where);
    unique_fd socket = make_socket(raw);
    const int begun = uninterrupted([&] { return ::connect(socket.get(), raw.get(), raw.size); });
    int failure = begun == 0 ? 0 : errno;
    if (failure == EINPROGRESS) {
        readiness_awaiter connected = wait_writable(socket.get());
        co_await std::move(connected);
        socklen_t size = sizeof failure;
        (void)::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    }
    if (failure != 0)
        throw_error(system_code(-failure), "connecting to a manager at " + describe(where));
    send_at_once(socket.get());
    co_return socket;
}

}  // namespace lariat::detail

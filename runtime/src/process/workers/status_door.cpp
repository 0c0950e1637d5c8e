#include "process/workers/status_door.hpp"

#include <lariat/loop/io.hpp>
#include <lariat/task/sleep.hpp>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

/// Without a descriptor, or memory, for who calls: they wait, and the socket stays readable.
constexpr std::chrono::milliseconds without_room{50};

[[noreturn]] void refuse(int error, const std::string& path) {
    throw std::system_error(error, std::system_category(), "the status socket " + path);
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) refuse(ENAMETOOLONG, path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

unique_fd open_socket(const std::string& path) {
    unique_fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!made) refuse(errno, path);
    return made;
}

/// A file that a killed supervisor left: nobody answers there.
bool is_left_over(const std::string& path, const sockaddr_un& address) {
    const unique_fd caller = open_socket(path);
    return ::connect(caller.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
               0 &&
           errno == ECONNREFUSED;
}

/// Makes room for a socket where bind() found something. What is no socket refuses a connect() as
/// well, and is not ours.
void remove_left_over(const std::string& path, const sockaddr_un& address) {
    const auto found = socket_file_at(path);
    if (!found && errno == ENOENT) return;  // its supervisor has just ended
    if (!found) refuse(errno, path);
    if (!is_left_over(path, address) || !remove_socket_file(path, *found)) refuse(EADDRINUSE, path);
}

/// Holds the socket, which is closed when nobody waits on it any more.
task<> answer_all(unique_fd listener, std::function<std::string()> how_things_are) {
    for (;;) {
        co_await wait_readable(listener.get());
        const unique_fd caller(
            ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!caller) {
            const bool gone_again = errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
            if (!gone_again) co_await sleep(without_room);
            continue;
        }
        const std::string text = how_things_are();
        // A few hundred bytes a worker: they fit the socket, and who does not take them has none.
        (void)::send(caller.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

}  // namespace

status_door::status_door(std::string path, std::function<std::string()> text)
    : path_(std::move(path)) {
    const sockaddr_un address = address_of(path_);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    unique_fd made = open_socket(path_);
    if (::bind(made.get(), generic, sizeof address) != 0) {
        if (errno != EADDRINUSE) refuse(errno, path_);
        remove_left_over(path_, address);
        if (::bind(made.get(), generic, sizeof address) != 0) refuse(errno, path_);
    }
    file_ = socket_file_at(path_).value_or(socket_file());
    if (::listen(made.get(), 16) != 0) refuse(errno, path_);
    answering_ = spawn(answer_all(std::move(made), std::move(text)));
}

status_door::~status_door() {
    // While the socket is open its file's number is nobody else's.
    (void)remove_socket_file(path_, file_);
    answering_.cancel();
}

}  // namespace lariat::detail

#include "socket_call.hpp"

#include "sockaddr.hpp"

#include <cerrno>
#include <system_error>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace lariat::detail {

void throw_errno(const std::string& what) {
    throw std::system_error(errno, std::system_category(), what);
}

unique_fd open_tcp(const endpoint& toward) {
    const int family = toward.address().family() == ip_family::v4 ? AF_INET : AF_INET6;
    unique_fd made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!made) throw_errno("a socket for " + toward.to_string());
    return made;
}

void set_flag(int fd, int level, int option, bool on, const char* name) {
    const int value = on ? 1 : 0;
    if (::setsockopt(fd, level, option, &value, sizeof value) != 0) throw_errno(name);
}

namespace {

using name_call = int (*)(int, sockaddr*, socklen_t*);

endpoint endpoint_of(int fd, name_call call, const char* what) {
    socket_address got;
    got.length = sizeof got.storage;
    if (call(fd, reinterpret_cast<sockaddr*>(&got.storage), &got.length) != 0) throw_errno(what);
    return from_sockaddr(got.get(), got.length);
}

}  // namespace

endpoint local_endpoint_of(int fd) {
    return endpoint_of(
        fd, [](int s, sockaddr* a, socklen_t* n) { return ::getsockname(s, a, n); },
        "the local endpoint");
}

endpoint remote_endpoint_of(int fd) {
    return endpoint_of(
        fd, [](int s, sockaddr* a, socklen_t* n) { return ::getpeername(s, a, n); },
        "the remote endpoint");
}

}  // namespace lariat::detail

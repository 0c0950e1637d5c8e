#include "world.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace driver_test {

namespace {

int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::system_category(), what);
    return result;
}

}  // namespace

recorded::recorded(op_code what, int descriptor) noexcept {
    code = what;
    fd = descriptor;
    complete = [](op& done) noexcept { static_cast<recorded&>(done).note(); };
}

void recorded::note() {
    std::string bytes;
    if (lent != 0) {
        bytes.assign(static_cast<const char*>(address), static_cast<std::size_t>(op::result));
        received += bytes;
        if (gives_back_to != nullptr)
            gives_back_to->give_back(lent);
        else
            held.push_back(lent);
    }
    seen.push_back({op::result, more, std::move(bytes)});
    if (then != nullptr) then(*this);
}

recorded receive(int fd, std::string& into) {
    recorded made(op_code::recv, fd);
    made.address = into.data();
    made.length = static_cast<std::uint32_t>(into.size());
    return made;
}

recorded transmit(int fd, std::string_view bytes) {
    recorded made(op_code::send, fd);
    made.address = const_cast<char*>(bytes.data());
    made.length = static_cast<std::uint32_t>(bytes.size());
    return made;
}

recorded repeated(op_code code, int fd, driver* gives_back_to) {
    recorded made(code, fd);
    made.multishot = true;
    made.gives_back_to = gives_back_to;
    return made;
}

recorded readiness(int fd, short events) {
    recorded made(op_code::poll, fd);
    made.argument = static_cast<std::uint32_t>(events);
    return made;
}

recorded link_to(int fd, const sockaddr_in& address) {
    recorded made(op_code::connect, fd);
    made.address = const_cast<sockaddr_in*>(&address);
    made.length = sizeof address;
    return made;
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator listing("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(listing), end(listing)));
}

bool allowed(lariat::backend backend) {
    const char* value = std::getenv("LARIAT_BACKEND");
    if (value == nullptr) return true;
    return (std::string_view(value) == "uring") == (backend == lariat::backend::uring);
}

world::world(const lariat::driver_options& options)
    : descriptors_before_(open_descriptors()),
      made_with(options),
      under_test(new driver(options)) {}

world::~world() {
    if (limited_) lift_limit();
    const lariat::driver_stats stats = under_test->stats();
    CHECK(stats.in_flight == 0);
    CHECK(stats.lent == 0);
    CHECK(stats.submitted == stats.completed);
    while (!open_.empty()) close(open_.back());
    if (simulated()) CHECK(under_test->sim()->network().open_descriptors() == 0);
    delete under_test;
    CHECK(open_descriptors() == descriptors_before_);
}

bool world::start(recorded& o) {
    const std::size_t before = o.seen.size();
    const bool finished = under_test->submit(o);
    CHECK(o.seen.size() == before);
    if (finished) o.note();
    return finished;
}

void world::cancel(recorded& o) {
    const std::size_t before = o.seen.size();
    under_test->cancel(o);
    CHECK(o.seen.size() == before);
}

void world::settle() {
    for (int i = 0; i < 8; ++i) under_test->poll(lariat::no_wait);
}

std::pair<int, int> world::pair(std::size_t bytes) {
    if (simulated()) {
        const auto both = bytes == 0 ? under_test->sim()->network().socket_pair()
                                     : under_test->sim()->network().socket_pair(bytes);
        adopt(both.first);
        adopt(both.second);
        return both;
    }
    const int door = listener();
    const int one = socket();
    if (bytes != 0) {
        const int size = static_cast<int>(bytes);
        for (const int fd : {door, one}) {  // what is accepted inherits it
            checked(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), "SO_SNDBUF");
            checked(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), "SO_RCVBUF");
        }
    }
    const sockaddr_in address = address_of(door);
    checked(::connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
    const int other = checked(::accept4(door, nullptr, nullptr, SOCK_CLOEXEC), "accept");
    adopt(other);
    close(door);
    return {one, other};
}

int world::socket() {
    const int fd = simulated()
                       ? under_test->sim()->network().socket()
                       : checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    adopt(fd);
    return fd;
}

int world::listener(int backlog) {
    if (simulated()) {
        const int fd = under_test->sim()->network().listen(0, backlog);
        adopt(fd);
        return fd;
    }
    const int fd = socket();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    checked(::listen(fd, backlog), "listen");
    return fd;
}

sockaddr_in world::address_of(int listener) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (simulated()) {
        address.sin_family = AF_INET;
        address.sin_port = htons(under_test->sim()->network().port_of(listener));
    } else {
        checked(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size),
                "getsockname");
    }
    return address;
}

int world::call(int listener) {
    const sockaddr_in address = address_of(listener);
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    const int fd = socket();
    if (simulated())
        REQUIRE(under_test->sim()->network().connect(fd, to, sizeof address) == 0);
    else
        checked(::connect(fd, to, sizeof address), "connect");
    return fd;
}

int world::put(int fd, std::string_view bytes) {
    if (simulated()) {
        const int taken = under_test->sim()->network().send(fd, bytes.data(), bytes.size());
        return taken == lariat::detail::would_block ? -EAGAIN : taken;
    }
    const auto taken = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return taken < 0 ? -errno : static_cast<int>(taken);
}

std::string world::take(int fd, std::size_t most) {
    std::string bytes(most, '\0');
    const auto got = simulated() ? under_test->sim()->network().recv(fd, bytes.data(), most)
                                 : ::recv(fd, bytes.data(), most, MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

std::string world::take_all(int fd, std::size_t bytes) {
    std::string all;
    for (int turns = 0; all.size() < bytes && turns < 20'000; ++turns) {
        all += take(fd);
        under_test->poll(under_test->now() + 1ms);
    }
    return all;
}

void world::end_sending(int fd) {
    const int failed =
        simulated() ? under_test->sim()->network().shutdown(fd, SHUT_WR) : ::shutdown(fd, SHUT_WR);
    REQUIRE(failed == 0);
}

void world::close(int fd) {
    forget(fd);
    const int failed = simulated() ? under_test->sim()->network().close(fd) : ::close(fd);
    REQUIRE(failed == 0);
}

void world::reset(int fd) {
    if (simulated()) {
        REQUIRE(under_test->sim()->network().reset(fd) == 0);
    } else {
        const linger at_once{1, 0};
        checked(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), "SO_LINGER");
    }
    close(fd);
}

void world::limit_descriptors() {
    if (simulated()) {
        auto& network = under_test->sim()->network();
        network.limit_descriptors(network.open_descriptors());
        return;
    }
    checked(::getrlimit(RLIMIT_NOFILE, &limit_before_), "getrlimit");
    const int lowest_free = checked(::fcntl(0, F_DUPFD_CLOEXEC, 0), "dup");
    ::close(lowest_free);
    rlimit lowered = limit_before_;
    lowered.rlim_cur = static_cast<rlim_t>(lowest_free);
    checked(::setrlimit(RLIMIT_NOFILE, &lowered), "setrlimit");
    limited_ = true;
}

void world::lift_limit() {
    if (simulated()) {
        under_test->sim()->network().limit_descriptors(~std::size_t{0});
        return;
    }
    checked(::setrlimit(RLIMIT_NOFILE, &limit_before_), "setrlimit");
    limited_ = false;
}

}  // namespace driver_test

// What only the epoll driver has: the account it keeps of edges, and descriptors of foreign code.
#include "driver/epoll/epoll_driver.hpp"

#include "world.hpp"

#include <array>
#include <cerrno>
#include <deque>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace driver_test;

namespace {

std::array<int, 2> unix_pair(int type) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return ends;
}

/// A foreign library's doing: the number is closed, and another file gets it.
void replace(int fd, int with) {
    REQUIRE(::close(fd) == 0);
    REQUIRE(::fcntl(with, F_DUPFD_CLOEXEC, fd) == fd);
    REQUIRE(::close(with) == 0);
}

}  // namespace

#define LARIAT_EPOLL_TEST(sentence) LARIAT_EPOLL_TEST_AS(sentence, DOCTEST_ANONYMOUS(epoll_test_))
#define LARIAT_EPOLL_TEST_AS(sentence, body) \
    static void body(epoll& w);              \
    TEST_CASE("epoll: " sentence) {          \
        if (!epoll::here()) return;          \
        epoll w;                             \
        body(w);                             \
    }                                        \
    static void body(epoll& w)

LARIAT_EPOLL_TEST("a foreign descriptor closed and replaced between waits is watched anew") {
    auto ends = unix_pair(SOCK_STREAM);
    for (int round = 0; round < 20; ++round) {
        recorded watching = readiness(ends[0], POLLIN);
        w.start(watching);
        w.settle();
        CHECK(!watching.ended());
        CHECK(w.put(ends[1], "x") == 1);
        REQUIRE(w.finish(watching));
        const auto fresh = unix_pair(SOCK_STREAM);
        replace(ends[0], fresh[0]);
        replace(ends[1], fresh[1]);
    }
    ::close(ends[0]);
    ::close(ends[1]);
}

LARIAT_EPOLL_TEST("a foreign descriptor that lives on elsewhere does not speak for its number") {
    const auto ends = unix_pair(SOCK_STREAM);
    const auto fresh = unix_pair(SOCK_STREAM);
    recorded first = readiness(ends[0], POLLIN);
    w.start(first);
    w.cancel(first);
    REQUIRE(w.finish(first));
    const int elsewhere = ::fcntl(ends[0], F_DUPFD_CLOEXEC, 0);  // keeps its registration alive
    replace(ends[0], fresh[0]);
    recorded second = readiness(ends[0], POLLIN);
    w.start(second);
    CHECK(w.put(ends[1], "for the old file") > 0);
    w.settle();
    CHECK(!second.ended());
    CHECK(w.put(fresh[1], "for the new one") > 0);
    REQUIRE(w.finish(second));
    for (const int fd : {ends[0], ends[1], fresh[1], elsewhere}) ::close(fd);
}

LARIAT_EPOLL_TEST("a wait on a number that was given to somebody else ends with EBADF") {
    const auto ends = unix_pair(SOCK_STREAM);
    recorded orphan = readiness(ends[0], POLLIN);
    w.start(orphan);
    w.settle();
    const int door = w.listener();
    w.call(door);
    ::close(ends[0]);
    recorded accepting(op_code::accept, door);
    w.start(accepting);
    REQUIRE(w.finish(accepting));
    w.adopt(accepting.result());
    CHECK(accepting.result() == ends[0]);
    REQUIRE(w.finish(orphan));
    CHECK(orphan.result() == -EBADF);
    std::string buffer(4, '\0');
    recorded receiving = receive(accepting.result(), buffer);
    w.start(receiving);
    w.settle();
    CHECK(!receiving.ended());
    w.cancel(receiving);
    CHECK(w.finish(receiving));
    ::close(ends[1]);
}

LARIAT_EPOLL_TEST("two foreign waits for two events each get their own") {
    const auto [near, far] = w.pair(4096);
    std::string fill(1 << 20, '.');
    std::size_t filled = 0;
    for (int n = 0; (n = w.put(near, fill)) > 0;) filled += static_cast<std::size_t>(n);
    recorded readable = readiness(near, POLLIN);
    recorded writable = readiness(near, POLLOUT);
    w.start(readable);
    w.start(writable);
    w.settle();
    CHECK(!readable.ended());
    CHECK(!writable.ended());
    CHECK(w.put(far, "x") == 1);
    REQUIRE(w.finish(readable));
    CHECK(!writable.ended());
    CHECK(w.take_all(far, filled).size() == filled);
    REQUIRE(w.finish(writable));
    CHECK(writable.result() == POLLOUT);
}

LARIAT_EPOLL_TEST("a foreign wait and then a stream's receive on the same descriptor both hear") {
    const auto [near, far] = w.pair();
    recorded watching = readiness(near, POLLIN);
    w.start(watching);
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.put(far, "x");
    REQUIRE(w.finish(receiving));
    w.put(far, "y");
    REQUIRE(w.finish(watching));
    for (int i = 0; i < 3; ++i) {
        recorded again = receive(near, buffer);
        w.start(again);
        if (i > 0) w.put(far, "z");
        REQUIRE(w.finish(again));
        CHECK(again.result() == 1);
    }
}

LARIAT_EPOLL_TEST("datagrams that come together are all received, whatever their size") {
    const auto ends = unix_pair(SOCK_DGRAM);
    std::string buffer(64, '\0');
    recorded waiting = receive(ends[0], buffer);
    w.start(waiting);
    w.settle();
    for (const char* text : {"one", "three", "five5"}) CHECK(w.put(ends[1], text) > 0);
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == 3);
    for (int i = 0; i < 2; ++i) {
        recorded next = receive(ends[0], buffer);
        w.start(next);
        REQUIRE(w.finish(next));
        CHECK(next.result() == 5);
    }
    ::close(ends[0]);
    ::close(ends[1]);
}

LARIAT_EPOLL_TEST("bytes behind urgent data do not get stuck") {
    const auto [near, far] = w.pair();
    std::string buffer(64, '\0');
    recorded waiting = receive(near, buffer);
    w.start(waiting);
    w.settle();
    w.put(far, "before");
    REQUIRE(::send(far, "!", 1, MSG_OOB) == 1);
    w.put(far, "after");
    REQUIRE(w.finish(waiting));
    std::string all = buffer.substr(0, static_cast<std::size_t>(waiting.result()));
    while (all.size() < 11) {
        recorded next = receive(near, buffer);
        w.start(next);
        REQUIRE(w.finish(next));
        REQUIRE(next.result() > 0);
        all += buffer.substr(0, static_cast<std::size_t>(next.result()));
    }
    CHECK(all == "beforeafter");
}

LARIAT_EPOLL_TEST("a multishot receive on what is no socket is refused at once") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (const int fd : {ends[0], file}) {
        recorded doomed = repeated(op_code::recv, fd, &w.drive());
        w.start(doomed);
        REQUIRE(w.finish(doomed));
        CHECK(doomed.result() == -ENOTSOCK);
    }
    for (const int fd : {ends[0], ends[1], file}) ::close(fd);
}

LARIAT_EPOLL_TEST("ops that wait on one side are served in the order of their submission") {
    const auto [near, far] = w.pair();
    std::deque<std::string> buffers(4, std::string(1, '\0'));
    std::deque<recorded> receiving;
    for (std::size_t i = 0; i < 3; ++i) w.start(receiving.emplace_back(receive(near, buffers[i])));
    w.settle();
    w.put(far, "abcd");
    w.start(receiving.emplace_back(receive(near, buffers[3])));
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    CHECK(buffers[0] + buffers[1] + buffers[2] + buffers[3] == "abcd");
}

LARIAT_EPOLL_TEST("a turn lends so much and no more, and the rest comes without another edge") {
    std::deque<recorded> receiving;
    std::size_t waiting = 0;
    for (int i = 0; i < 12; ++i) {
        const auto [near, far] = w.pair();
        w.start(receiving.emplace_back(repeated(op_code::recv, near, &w.drive())));
        const int taken = w.put(far, std::string(48 * 1024, static_cast<char>('a' + i)));
        REQUIRE(taken > 0);
        waiting += static_cast<std::size_t>(taken);
    }
    const auto received = [&] {
        std::size_t bytes = 0;
        for (const recorded& each : receiving) bytes += each.received.size();
        return bytes;
    };
    std::size_t before = 0;
    for (int turns = 0; turns < 100 && received() < waiting; ++turns) {
        w.drive().poll(w.drive().now() + 1ms);
        CHECK(received() - before < (128 + 48) * 1024);
        before = received();
    }
    CHECK(received() == waiting);
    for (recorded& each : receiving) {
        w.cancel(each);
        REQUIRE(w.finish(each));
    }
}

LARIAT_EPOLL_TEST("one that always has more to read leaves the others their turns") {
    const auto [near, far] = w.pair();
    const auto [quiet, other] = w.pair();
    recorded bulk = repeated(op_code::recv, near, &w.drive());
    recorded small = repeated(op_code::recv, quiet, &w.drive());
    w.start(bulk);
    w.start(small);
    const std::string block(1 << 20, 'b');
    w.settle();
    for (int round = 0; round < 20; ++round) {
        while (w.put(far, block) > 0) {
        }
        const std::size_t before = bulk.received.size();
        const std::size_t seen = small.received.size();
        w.put(other, "?");
        w.drive().poll(w.drive().now() + 1s);
        w.drive().poll(lariat::no_wait);
        CHECK(small.received.size() == seen + 1);
        CHECK(bulk.received.size() - before <=
              4 * 256 * 1024);  // two turns, each at most twice 256 KiB
    }
    for (recorded* each : {&bulk, &small}) {
        w.cancel(*each);
        REQUIRE(w.finish(*each));
    }
}

LARIAT_EPOLL_TEST("a served request costs one receive, and none that finds nothing") {
    const auto [near, far] = w.pair();
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.start(receiving);
    const auto before = w.drive().stats().kernel_entries;
    for (std::size_t i = 1; i <= 50; ++i) {
        w.put(far, "request");
        REQUIRE(w.run_until([&] { return receiving.seen.size() == i; }));
    }
    CHECK(w.drive().stats().kernel_entries - before == 50);
    w.cancel(receiving);
    REQUIRE(w.finish(receiving));
}

LARIAT_EPOLL_TEST("a full Unix listener refuses with EAGAIN and does not spin") {
    const int door = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;  // and no name: the kernel picks one
    REQUIRE(::bind(door, reinterpret_cast<sockaddr*>(&name), sizeof name.sun_family) == 0);
    socklen_t size = sizeof name;
    REQUIRE(::getsockname(door, reinterpret_cast<sockaddr*>(&name), &size) == 0);
    REQUIRE(::listen(door, 0) == 0);
    w.adopt(door);
    std::deque<recorded> callers;
    for (int i = 0; i < 3; ++i) {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        w.adopt(fd);
        recorded& connecting = callers.emplace_back(op_code::connect, fd);
        connecting.address = &name;
        connecting.length = size;
        w.start(connecting);
        REQUIRE(w.finish(connecting));
    }
    CHECK(callers.front().result() == 0);
    CHECK(callers.back().result() == -EAGAIN);
}

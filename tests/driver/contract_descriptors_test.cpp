// Readiness, closing, and descriptors of every kind.
#include "world.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace driver_test;

LARIAT_CONTRACT_TEST("poll tells the events that hold, at once or later") {
    const auto [near, far] = w.pair();
    recorded writable = readiness(near, POLLOUT);
    w.start(writable);
    REQUIRE(w.finish(writable));
    CHECK(writable.result() == POLLOUT);
    recorded readable = readiness(near, POLLIN);
    w.start(readable);
    w.settle();
    CHECK(!readable.ended());
    w.put(far, "x");
    REQUIRE(w.finish(readable));
    CHECK((readable.result() & POLLIN) != 0);
    CHECK(w.take(near) == "x");
    recorded ended = readiness(near, POLLIN | POLLRDHUP);
    w.start(ended);
    w.settle();
    CHECK(!ended.ended());
    w.end_sending(far);
    REQUIRE(w.finish(ended));
    CHECK((ended.result() & POLLRDHUP) != 0);
}

LARIAT_CONTRACT_TEST("poll takes nothing: many may wait for one descriptor") {
    const auto [near, far] = w.pair();
    std::deque<recorded> waiting;
    for (int i = 0; i < 5; ++i) w.start(waiting.emplace_back(readiness(near, POLLIN)));
    w.settle();
    w.put(far, "x");
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    for (const recorded& each : waiting) CHECK((each.result() & POLLIN) != 0);
    CHECK(w.take(near) == "x");
}

LARIAT_CONTRACT_TEST("poll beside a receive loses neither") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    recorded watching = readiness(near, POLLIN);
    w.start(receiving);
    w.start(watching);
    w.settle();
    w.put(far, "both");
    REQUIRE(w.finish(receiving));
    w.put(far, "again");
    REQUIRE(w.finish(watching));
    CHECK(receiving.result() == 4);
    CHECK((watching.result() & POLLIN) != 0);
    recorded rest = receive(near, buffer);
    w.start(rest);
    REQUIRE(w.finish(rest));
    CHECK(rest.result() == 5);
}

LARIAT_CONTRACT_TEST("close frees the descriptor, whose number is another's at once") {
    for (int round = 0; round < 3; ++round) {
        const auto [near, far] = w.pair();
        std::string buffer(8, '\0');
        recorded receiving = receive(near, buffer);  // so that the driver knows the descriptor
        w.start(receiving);
        w.settle();
        w.put(far, "x");
        REQUIRE(w.finish(receiving));
        recorded closing(op_code::close, near);
        w.forget(near);
        w.start(closing);
        REQUIRE(w.finish(closing));
        CHECK(closing.result() == 0);
        const auto [again, other] = w.pair();
        CHECK(again == near);
        recorded next = receive(again, buffer);
        w.start(next);
        w.settle();
        CHECK(!next.ended());
        w.put(other, "fresh");
        REQUIRE(w.finish(next));
        CHECK(next.result() == 5);
        w.close(far);
    }
}

LARIAT_CONTRACT_TEST("an invalid descriptor is EBADF for every verb") {
    const int gone = w.socket();
    w.close(gone);
    std::string buffer(8, '\0');
    const sockaddr_in nowhere{};
    msghdr message{};
    for (const int fd : {gone, -1}) {
        for (std::size_t i = 1; i <= static_cast<std::size_t>(op_code::close); ++i) {
            recorded doomed = receive(fd, buffer);
            doomed.code = static_cast<op_code>(i);
            if (doomed.code == op_code::connect) doomed = link_to(fd, nowhere);
            if (doomed.code == op_code::poll) doomed = readiness(fd, POLLIN);
            if (doomed.code == op_code::recv_msg || doomed.code == op_code::send_msg)
                doomed.address = &message;
            CAPTURE(fd);
            CAPTURE(i);
            w.start(doomed);
            REQUIRE(w.finish(doomed));
            CHECK(doomed.result() == -EBADF);
        }
        for (const op_code code : {op_code::recv, op_code::accept}) {
            recorded doomed = repeated(code, fd, &w.drive());
            w.start(doomed);
            REQUIRE(w.finish(doomed));
            CHECK(doomed.result() == -EBADF);
            CHECK(doomed.seen.size() == 1);
        }
    }
}

LARIAT_CONTRACT_TEST(
    "accept on what is no listener is refused, recv on what is not connected too") {
    const int lone = w.socket();
    recorded accepting(op_code::accept, lone);
    w.start(accepting);
    REQUIRE(w.finish(accepting));
    CHECK(accepting.result() == -EINVAL);
    std::string buffer(8, '\0');
    recorded receiving = receive(lone, buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == -ENOTCONN);
}

LARIAT_CONTRACT_TEST(
    "a non-blocking descriptor waits like any other, and a blocking one stays so") {
    if (w.simulated()) return;
    const auto [near, far] = w.pair();
    for (const int flags : {O_NONBLOCK, 0}) {
        ::fcntl(near, F_SETFL, flags);
        std::string buffer(8, '\0');
        recorded receiving = receive(near, buffer);
        w.start(receiving);
        w.settle();
        CHECK(!receiving.ended());
        w.put(far, "x");
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == 1);
        CHECK((::fcntl(near, F_GETFL) & O_NONBLOCK) == flags);
    }
}

LARIAT_CONTRACT_TEST("read and write wait on blocking pipes, and end with them") {
    if (w.simulated()) return;
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    std::string buffer(8, '\0');
    recorded reading = receive(ends[0], buffer);
    reading.code = op_code::read;
    w.start(reading);
    w.settle();
    CHECK(!reading.ended());
    recorded writing = transmit(ends[1], "piped");
    writing.code = op_code::write;
    w.start(writing);
    REQUIRE(w.finish(writing));
    REQUIRE(w.finish(reading));
    CHECK(reading.result() == 5);
    for (const int end : {1, 0}) {
        recorded closing(op_code::close, ends[static_cast<std::size_t>(end)]);
        recorded last = end == 1 ? receive(ends[0], buffer) : recorded(op_code::nop, -1);
        if (end == 1) last.code = op_code::read;
        w.start(closing);
        REQUIRE(w.finish(closing));
        w.start(last);
        REQUIRE(w.finish(last));
        CHECK(last.result() == 0);
    }
}

LARIAT_CONTRACT_TEST("a write to a pipe that nobody reads is EPIPE") {
    if (w.simulated()) return;
    struct sigaction before{};
    struct sigaction ignored{};
    ignored.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignored, &before);
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    w.adopt(ends[1]);
    ::close(ends[0]);
    recorded writing = transmit(ends[1], "x");
    writing.code = op_code::write;
    w.start(writing);
    REQUIRE(w.finish(writing));
    CHECK(writing.result() == -EPIPE);
    ::sigaction(SIGPIPE, &before, nullptr);
}

LARIAT_CONTRACT_TEST("regular files are read and written at the position") {
    if (w.simulated()) return;
    std::string name = "/tmp/lariat-driver-XXXXXX";
    const int fd = ::mkostemp(name.data(), O_CLOEXEC);
    REQUIRE(fd >= 0);
    w.adopt(fd);
    ::unlink(name.c_str());
    const auto transfer = [&](op_code code, std::string& bytes) {
        recorded moving = receive(fd, bytes);
        moving.code = code;
        w.start(moving);
        REQUIRE(w.finish(moving));
        return moving.result();
    };
    std::string text = "0123456xyz";
    std::string read(4, '\0');
    CHECK(transfer(op_code::write, text) == 10);
    CHECK(transfer(op_code::read, read) == 0);
    REQUIRE(::lseek(fd, 0, SEEK_SET) == 0);
    CHECK(transfer(op_code::read, read) == 4);
    CHECK(read == "0123");
    CHECK(transfer(op_code::read, read) == 4);
    CHECK(read == "456x");
}

// What a stream socket can do, and how each verb fails.
#include "world.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

using namespace driver_test;

LARIAT_CONTRACT_TEST("connect and accept join two sockets") {
    const int door = w.listener();
    const sockaddr_in address = w.address_of(door);
    recorded accepting(op_code::accept, door);
    recorded connecting = link_to(w.socket(), address);
    w.start(accepting);
    w.start(connecting);
    REQUIRE(w.finish(connecting));
    REQUIRE(w.finish(accepting));
    CHECK(connecting.result() == 0);
    REQUIRE(accepting.result() >= 0);
    w.adopt(accepting.result());
    if (!w.simulated()) CHECK(::fcntl(accepting.result(), F_GETFD) == FD_CLOEXEC);
    CHECK(w.put(connecting.fd, "hello") == 5);
    std::string buffer(8, '\0');
    recorded receiving = receive(accepting.result(), buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 5);
    CHECK(buffer.substr(0, 5) == "hello");
}

LARIAT_CONTRACT_TEST("accepts on one listener share the callers") {
    const int door = w.listener();
    std::deque<recorded> accepting;
    for (int i = 0; i < 3; ++i) w.start(accepting.emplace_back(op_code::accept, door));
    w.settle();
    for (std::size_t i = 0; i < 3; ++i) {
        w.call(door);
        CHECK(w.run_until([&] { return w.drive().stats().in_flight == 2 - i; }));
    }
    for (const recorded& each : accepting) {
        CHECK(each.seen.size() == 1);
        REQUIRE(each.result() >= 0);
        w.adopt(each.result());
    }
}

LARIAT_CONTRACT_TEST("a connect that nobody answers is refused") {
    const int door = w.listener();
    const sockaddr_in address = w.address_of(door);
    w.close(door);
    recorded connecting = link_to(w.socket(), address);
    w.start(connecting);
    REQUIRE(w.finish(connecting));
    CHECK(connecting.result() == -ECONNREFUSED);
}

LARIAT_CONTRACT_TEST("recv gives what is there and waits for what is not") {
    const auto [near, far] = w.pair();
    std::string buffer(16, '\0');
    recorded receiving = receive(near, buffer);
    w.put(far, "early");
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 5);
    recorded later = receive(near, buffer);
    w.start(later);
    w.settle();
    CHECK(!later.ended());
    w.put(far, "late");
    REQUIRE(w.finish(later));
    CHECK(later.result() == 4);
    CHECK(buffer.substr(0, 4) == "late");
}

LARIAT_CONTRACT_TEST("two receives on one socket share its bytes") {
    const auto [near, far] = w.pair();
    std::string one(3, '\0');
    std::string two(3, '\0');
    recorded first = receive(near, one);
    recorded second = receive(near, two);
    w.start(first);
    w.start(second);
    w.settle();
    w.put(far, "abcdef");
    REQUIRE(w.finish(first));
    REQUIRE(w.finish(second));
    CHECK((one + two == "abcdef" || two + one == "abcdef"));
}

LARIAT_CONTRACT_TEST("the end of the stream is 0, after the bytes before it, and stays") {
    const auto [near, far] = w.pair();
    w.put(far, "last words");
    w.end_sending(far);
    std::string buffer(4, '\0');
    std::string all;
    for (int i = 0; i < 5; ++i) {
        recorded receiving = receive(near, buffer);
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        REQUIRE(receiving.result() >= 0);
        all += buffer.substr(0, static_cast<std::size_t>(receiving.result()));
    }
    CHECK(all == "last words");
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 0);
}

LARIAT_CONTRACT_TEST("a half-closed stream still goes the other way") {
    const auto [near, far] = w.pair();
    w.end_sending(far);
    std::string buffer(4, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 0);
    recorded sending = transmit(near, "answer");
    w.start(sending);
    REQUIRE(w.finish(sending));
    CHECK(sending.result() == 6);
    CHECK(w.take(far) == "answer");
}

LARIAT_CONTRACT_TEST("a waiting receive learns of the end") {
    const auto [near, far] = w.pair();
    std::string buffer(4, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.end_sending(far);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 0);
}

LARIAT_CONTRACT_TEST("bytes that came before a reset are delivered before it") {
    const auto [near, far] = w.pair();
    w.put(far, "left");
    w.reset(far);
    std::string buffer(16, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 4);
    recorded then = receive(near, buffer);
    w.start(then);
    REQUIRE(w.finish(then));
    CHECK(then.result() == -ECONNRESET);
}

LARIAT_CONTRACT_TEST("a waiting receive learns of a reset") {
    const auto [near, far] = w.pair();
    std::string buffer(4, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.reset(far);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == -ECONNRESET);
}

LARIAT_CONTRACT_TEST("a send to a peer that is gone is EPIPE, and no signal") {
    struct sigaction before{};
    struct sigaction fatal{};
    fatal.sa_handler = [](int) { std::abort(); };
    ::sigaction(SIGPIPE, &fatal, &before);
    const auto [near, far] = w.pair();
    w.close(far);
    int last = 0;
    for (int i = 0; i < 10 && last != -EPIPE; ++i) {  // the peer's reset comes after the first
        recorded sending = transmit(near, "anybody?");
        w.start(sending);
        REQUIRE(w.finish(sending));
        last = sending.result();
        CHECK((last == 8 || last == -EPIPE || last == -ECONNRESET));
    }
    CHECK(last == -EPIPE);
    ::sigaction(SIGPIPE, &before, nullptr);
}

LARIAT_CONTRACT_TEST("a send that finds no room waits for it, and every byte arrives") {
    const auto [near, far] = w.pair(4096);
    std::string sent;
    for (int i = 0; i < 200'000; ++i) sent += static_cast<char>('a' + i % 23);
    std::size_t done = 0;
    std::string arrived;
    bool waited = false;
    while (done < sent.size()) {
        recorded sending = transmit(near, std::string_view(sent).substr(done));
        w.start(sending);
        w.settle();
        while (!sending.ended()) {
            waited = true;
            arrived += w.take(far);
            w.drive().poll(w.drive().now() + 1ms);
        }
        REQUIRE(sending.result() > 0);
        done += static_cast<std::size_t>(sending.result());
    }
    CHECK(waited);
    for (std::string more; !(more = w.take(far)).empty();) arrived += more;
    CHECK(arrived.size() == sent.size());
    CHECK(arrived == sent);
}

LARIAT_CONTRACT_TEST("sends that wait on one socket are all sent, whole") {
    const auto [near, far] = w.pair(4096);
    std::string fill(1 << 20, '.');
    std::size_t filled = 0;
    for (int n = 0; (n = w.put(near, fill)) > 0;) filled += static_cast<std::size_t>(n);
    std::deque<recorded> sending;
    const std::string letters = "abcdefghij";
    for (std::size_t i = 0; i < letters.size(); ++i)
        w.start(sending.emplace_back(transmit(near, std::string_view(letters).substr(i, 1))));
    std::string arrived;
    arrived = w.take_all(far, filled + letters.size());
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    for (const recorded& each : sending) CHECK(each.result() == 1);
    std::string tail = arrived.substr(filled);
    std::sort(tail.begin(), tail.end());
    CHECK(tail == letters);
}

LARIAT_CONTRACT_TEST("send_msg gathers and recv_msg scatters") {
    const auto [near, far] = w.pair();
    std::string one = "gather";
    std::string two = "ed";
    std::array<iovec, 2> out{iovec{one.data(), one.size()}, iovec{two.data(), two.size()}};
    msghdr message{};
    message.msg_iov = out.data();
    message.msg_iovlen = 2;
    recorded sending(op_code::send_msg, near);
    sending.address = &message;
    w.start(sending);
    REQUIRE(w.finish(sending));
    CHECK(sending.result() == 8);
    std::string first(3, '\0');
    std::string second(16, '\0');
    std::array<iovec, 2> in{iovec{first.data(), first.size()}, iovec{second.data(), second.size()}};
    msghdr taken{};
    taken.msg_iov = in.data();
    taken.msg_iovlen = 2;
    recorded receiving(op_code::recv_msg, far);
    receiving.address = &taken;
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 8);
    CHECK(first + second.substr(0, 5) == "gathered");
    recorded waiting(op_code::recv_msg, far);
    waiting.address = &taken;
    w.start(waiting);
    w.settle();
    CHECK(!waiting.ended());
    w.put(near, "more");
    REQUIRE(w.finish(waiting));
    CHECK(waiting.result() == 4);
}

LARIAT_CONTRACT_TEST("read and write do for a socket what recv and send do") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded reading = receive(near, buffer);
    reading.code = op_code::read;
    w.start(reading);
    w.settle();
    CHECK(!reading.ended());
    recorded writing = transmit(far, "written");
    writing.code = op_code::write;
    w.start(writing);
    REQUIRE(w.finish(writing));
    REQUIRE(w.finish(reading));
    CHECK(writing.result() == 7);
    CHECK(reading.result() == 7);
    CHECK(buffer.substr(0, 7) == "written");
}

LARIAT_CONTRACT_TEST("MSG_PEEK leaves the bytes where they are") {
    const auto [near, far] = w.pair();
    w.put(far, "look");
    std::string buffer(8, '\0');
    for (const unsigned flags : {unsigned{MSG_PEEK}, 0U}) {
        recorded receiving = receive(near, buffer);
        receiving.argument = flags;
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == 4);
        CHECK(buffer.substr(0, 4) == "look");
    }
}

LARIAT_CONTRACT_TEST("MSG_DONTWAIT is answered with EAGAIN, not waited for") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    for (int i = 0; i < 3; ++i) {
        recorded receiving = receive(near, buffer);
        receiving.argument = MSG_DONTWAIT;
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == -EAGAIN);
    }
}

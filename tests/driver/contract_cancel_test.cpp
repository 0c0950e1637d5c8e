// Cancellation in every state: exactly one last completion, and no byte is lost.
#include "world.hpp"

#include "driver/random.hpp"

#include <cerrno>
#include <cstdlib>
#include <deque>

#include <poll.h>

using namespace driver_test;

namespace {

/// Rounds of the racing tests; LARIAT_TEST_LONG asks for more.
std::size_t rounds(std::size_t sample) {
    return std::getenv("LARIAT_TEST_LONG") != nullptr ? sample * 50 : sample;
}

void check_ended_once(const recorded& o) {
    std::size_t lasts = 0;
    for (const recorded::outcome& each : o.seen) lasts += each.more ? 0 : 1;
    CHECK(lasts == 1);
    CHECK(o.ended());
}

}  // namespace

LARIAT_CONTRACT_TEST("every verb that waits can be cancelled") {
    const int door = w.listener();
    const auto [near, far] = w.pair(4096);
    const auto [quiet, other] = w.pair();
    std::string fill(1 << 20, '.');
    while (w.put(near, fill) > 0) {
    }
    std::string buffer(8, '\0');
    std::string text = "never sent";
    iovec part{buffer.data(), buffer.size()};
    iovec full{text.data(), text.size()};
    msghdr in{};
    in.msg_iov = &part;
    in.msg_iovlen = 1;
    msghdr out{};
    out.msg_iov = &full;
    out.msg_iovlen = 1;
    std::deque<recorded> all;
    all.emplace_back(op_code::accept, door);
    all.push_back(repeated(op_code::accept, door, nullptr));
    all.push_back(receive(quiet, buffer));
    all.push_back(repeated(op_code::recv, other, nullptr));
    all.push_back(receive(quiet, buffer));
    all.back().code = op_code::read;
    all.emplace_back(op_code::recv_msg, quiet).address = &in;
    all.push_back(transmit(near, text));
    all.push_back(transmit(near, text));
    all.back().code = op_code::write;
    all.emplace_back(op_code::send_msg, near).address = &out;
    all.push_back(readiness(quiet, POLLIN));
    for (recorded& each : all) w.start(each);
    w.settle();
    for (const recorded& each : all) CHECK(each.seen.empty());
    for (recorded& each : all) w.cancel(each);
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        check_ended_once(all[i]);
        CHECK(all[i].result() == -ECANCELED);
    }
}

LARIAT_CONTRACT_TEST("a connect under way can be cancelled") {
    const int door = w.listener(1);
    const sockaddr_in address = w.address_of(door);
    // A full queue: the kernel takes one more than asked, and drops what comes after.
    for (int i = 0; i < (w.simulated() ? 1 : 2); ++i) w.call(door);
    recorded connecting = link_to(w.socket(), address);
    w.start(connecting);
    w.settle();
    CHECK(connecting.seen.empty());
    w.cancel(connecting);
    REQUIRE(w.finish(connecting));
    CHECK(connecting.result() == -ECANCELED);
}

LARIAT_CONTRACT_TEST("a cancel before the first turn still ends the op once") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.cancel(receiving);
    w.cancel(receiving);
    REQUIRE(w.finish(receiving));
    w.settle();
    check_ended_once(receiving);
    CHECK(receiving.result() == -ECANCELED);
}

LARIAT_CONTRACT_TEST("a cancel of one that is not in flight is nothing") {
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.cancel(receiving);
    w.settle();
    CHECK(receiving.seen.empty());
    w.put(far, "x");
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    w.cancel(receiving);
    w.settle();
    CHECK(receiving.seen.size() == 1);
    recorded next = receive(near, buffer);
    w.start(next);
    w.cancel(receiving);
    w.settle();
    CHECK(next.seen.empty());
    w.put(far, "y");
    CHECK(w.finish(next));
}

LARIAT_CONTRACT_TEST("a cancel leaves the others of the line") {
    const auto [near, far] = w.pair();
    std::deque<std::string> buffers(5, std::string(1, '\0'));
    std::deque<recorded> line;
    for (std::string& buffer : buffers) w.start(line.emplace_back(receive(near, buffer)));
    w.settle();
    w.cancel(line[0]);
    w.cancel(line[2]);
    w.cancel(line[4]);
    REQUIRE(w.finish(line[4]));
    w.put(far, "ab");
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
    CHECK(line[0].result() == -ECANCELED);
    CHECK(line[2].result() == -ECANCELED);
    CHECK(line[4].result() == -ECANCELED);
    CHECK(line[1].result() == 1);
    CHECK(line[3].result() == 1);
    CHECK((buffers[1] + buffers[3] == "ab" || buffers[1] + buffers[3] == "ba"));
}

LARIAT_CONTRACT_TEST("cancel and completion race: one outcome, and not a byte is lost or doubled") {
    const auto [near, far] = w.pair();
    lariat::detail::random_source random(7);
    std::string sent;
    std::string arrived;
    std::string buffer(16, '\0');
    std::size_t cancelled = 0;
    for (std::size_t round = 0; round < rounds(3000); ++round) {
        recorded receiving = receive(near, buffer);
        const std::string bytes(1 + random.below(8), static_cast<char>('a' + round % 26));
        const std::size_t order = random.below(7);
        const bool puts_first = order < 2;
        if (puts_first) w.put(far, bytes);
        w.start(receiving);
        if (order % 2 == 0) w.drive().poll(lariat::no_wait);
        if (order > 4) w.cancel(receiving);
        if (order == 6) w.drive().poll(lariat::no_wait);
        if (!puts_first) w.put(far, bytes);
        w.cancel(receiving);
        sent += bytes;
        REQUIRE(w.finish(receiving));
        check_ended_once(receiving);
        if (receiving.result() >= 0)
            arrived += buffer.substr(0, static_cast<std::size_t>(receiving.result()));
        else
            REQUIRE(receiving.result() == -ECANCELED);
        cancelled += receiving.result() < 0 ? 1 : 0;
        if (sent.size() - arrived.size() > 8192) arrived += w.take(near);
    }
    for (std::string rest; !(rest = w.take(near)).empty();) arrived += rest;
    CHECK(arrived.size() == sent.size());
    CHECK(arrived == sent);
    CHECK(cancelled > 0);
}

LARIAT_CONTRACT_TEST("cancel races an accept: no connection is lost") {
    const int door = w.listener();
    lariat::detail::random_source random(11);
    std::size_t called = 0;
    std::size_t taken = 0;
    const auto take_one = [&] {
        recorded accepting(op_code::accept, door);
        w.start(accepting);
        REQUIRE(w.finish(accepting));
        REQUIRE(accepting.result() >= 0);
        w.adopt(accepting.result());
        w.close(accepting.result());
        ++taken;
    };
    for (std::size_t round = 0; round < rounds(60); ++round) {
        recorded accepting(op_code::accept, door);
        const bool early = random.coin();
        int caller = early ? w.call(door) : -1;
        w.start(accepting);
        if (random.coin()) w.drive().poll(lariat::no_wait);
        if (!early) caller = w.call(door);
        ++called;
        w.cancel(accepting);
        REQUIRE(w.finish(accepting));
        check_ended_once(accepting);
        if (accepting.result() >= 0) {
            ++taken;
            w.adopt(accepting.result());
            w.close(accepting.result());
        }
        w.close(caller);
        if (called - taken > 8) take_one();  // the listener's backlog has an end
    }
    while (taken < called) take_one();
    recorded none(op_code::accept, door);
    w.start(none);
    w.settle();
    CHECK(none.seen.empty());
    w.cancel(none);
    CHECK(w.finish(none));
}

LARIAT_CONTRACT_TEST("cancel races a multishot receive: data may come first, and none is lost") {
    const auto [near, far] = w.pair();
    lariat::detail::random_source random(13);
    std::string sent;
    std::string arrived;
    for (std::size_t round = 0; round < rounds(1500); ++round) {
        recorded receiving = repeated(op_code::recv, near, &w.drive());
        w.start(receiving);
        for (std::size_t i = random.below(3); i > 0; --i) {
            const std::string bytes(1 + random.below(100), static_cast<char>('a' + round % 26));
            w.put(far, bytes);
            sent += bytes;
            if (random.coin()) w.drive().poll(lariat::no_wait);
        }
        w.cancel(receiving);
        REQUIRE(w.finish(receiving));
        check_ended_once(receiving);
        CHECK(receiving.result() == -ECANCELED);
        arrived += receiving.received;
        if (sent.size() - arrived.size() > 8192) arrived += w.take(near);
    }
    for (std::string rest; !(rest = w.take(near)).empty();) arrived += rest;
    CHECK(arrived.size() == sent.size());
    CHECK(arrived == sent);
}

LARIAT_CONTRACT_TEST("a cancelled send took all it says, and nothing when it says cancelled") {
    const auto [near, far] = w.pair(4096);
    lariat::detail::random_source random(17);
    std::string sent;
    std::string arrived;
    for (std::size_t round = 0; round < rounds(300); ++round) {
        const std::string bytes(1 + random.below(20000), static_cast<char>('a' + round % 26));
        recorded sending = transmit(near, bytes);
        w.start(sending);
        if (random.coin()) w.drive().poll(lariat::no_wait);
        if (random.coin()) arrived += w.take(far);
        w.cancel(sending);
        REQUIRE(w.finish(sending));
        check_ended_once(sending);
        if (sending.result() >= 0)
            sent += bytes.substr(0, static_cast<std::size_t>(sending.result()));
        else
            REQUIRE(sending.result() == -ECANCELED);
    }
    w.end_sending(near);
    arrived += w.take_all(far, sent.size() - arrived.size());
    CHECK(arrived == sent);
}

LARIAT_CONTRACT_TEST("after a cancel the same descriptor serves the next op, and can be closed") {
    for (int round = 0; round < 20; ++round) {
        const auto [near, far] = w.pair();
        std::string buffer(8, '\0');
        recorded first = receive(near, buffer);
        w.start(first);
        w.settle();
        w.cancel(first);
        REQUIRE(w.finish(first));
        recorded second = receive(near, buffer);
        w.start(second);
        w.put(far, "here");
        REQUIRE(w.finish(second));
        CHECK(second.result() == 4);
        recorded closing(op_code::close, near);
        w.forget(near);
        w.start(closing);
        REQUIRE(w.finish(closing));
        CHECK(closing.result() == 0);
    }
}

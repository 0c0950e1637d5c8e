// The seam by which tests of everything above make a driver misbehave within its contract.
#include "driver/fault.hpp"

#include "world.hpp"

#include <cerrno>
#include <deque>

using namespace driver_test;
using lariat::detail::fault;
using lariat::detail::fault_plan;

namespace {

/// A plan in its place, taken away before the world looks for leaks.
struct struck_world : sim {
    fault_plan plan;
    explicit struck_world(std::uint64_t seed = 1) : plan(seed) { drive().set_faults(&plan); }
    ~struck_world() { drive().set_faults(nullptr); }
};

}  // namespace

TEST_CASE("fault: the nth op of a code fails, the others do not, and nothing reaches the kernel") {
    struck_world w;
    w.plan.at(op_code::recv, 1, fault::fail(ENOBUFS));
    const auto [near, far] = w.pair();
    w.put(far, "abc");
    std::string buffer(1, '\0');
    std::string all;
    for (const int expected : {1, -ENOBUFS, 1, 1}) {
        recorded receiving = receive(near, buffer);
        w.start(receiving);
        if (expected < 0) {
            CHECK(receiving.seen.empty());
            CHECK(w.drive().stats().in_flight == 1);
        }
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == expected);
        if (expected > 0) all += buffer;
    }
    CHECK(all == "abc");
    CHECK(w.plan.struck() == 1);
}

TEST_CASE("fault: a failing op told to cancel fails all the same, once") {
    struck_world w;
    w.plan.at(op_code::accept, 0, fault::fail(ENFILE));
    recorded accepting = repeated(op_code::accept, w.listener(), nullptr);
    w.start(accepting);
    w.cancel(accepting);
    REQUIRE(w.finish(accepting));
    w.settle();
    CHECK(accepting.seen.size() == 1);
    CHECK(accepting.result() == -ENFILE);
}

TEST_CASE("fault: a cut transfer moves less and leaves the op as it was") {
    struck_world w;
    w.plan.at(op_code::send, 0, fault::shorten(3)).at(op_code::recv, 0, fault::shorten(2));
    const auto [near, far] = w.pair();
    recorded sending = transmit(far, "abcdef");
    w.start(sending);
    REQUIRE(w.finish(sending));
    CHECK(sending.op::result == 3);
    CHECK(sending.length == 6);
    std::string buffer(8, '\0');
    for (const int expected : {2, 1}) {
        recorded receiving = receive(near, buffer);
        w.start(receiving);
        REQUIRE(w.finish(receiving));
        CHECK(receiving.result() == expected);
        CHECK(receiving.length == 8);
        CHECK(receiving.address == buffer.data());
    }
}

TEST_CASE("fault: a cut gather sends the beginning of its first part") {
    struck_world w;
    w.plan.at(op_code::send_msg, 0, fault::shorten(2)).at(op_code::recv_msg, 0, fault::shorten(1));
    const auto [near, far] = w.pair();
    std::string one = "abc";
    std::string two = "def";
    std::array<iovec, 2> parts{iovec{one.data(), 3}, iovec{two.data(), 3}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = 2;
    recorded sending(op_code::send_msg, far);
    sending.address = &message;
    w.start(sending);
    REQUIRE(w.finish(sending));
    CHECK(sending.result() == 2);
    CHECK(sending.address == &message);
    CHECK(message.msg_iovlen == 2);
    recorded receiving(op_code::recv_msg, near);
    receiving.address = &message;
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 1);
    CHECK(w.take(near) == "b");
}

TEST_CASE("fault: a delayed completion comes so many turns later, its cancel too late") {
    struck_world w;
    w.plan.at(op_code::recv, 0, fault::delay(5));
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.put(far, "taken");
    int turns = 0;
    for (; !receiving.ended(); ++turns) {
        if (turns == 4) w.cancel(receiving);
        w.drive().poll(lariat::forever);
        REQUIRE(turns < 20);
    }
    CHECK(turns >= 5);
    CHECK(receiving.result() == 5);
    CHECK(w.take(near).empty());
}

TEST_CASE("fault: a completion may be held for a time") {
    struck_world w;
    w.plan.at(op_code::nop, 0, fault::delay_for(40ms));
    const auto start = w.drive().now();
    recorded nothing(op_code::nop, -1);
    w.start(nothing);
    CHECK(nothing.seen.empty());
    REQUIRE(w.finish(nothing));
    CHECK(w.drive().now() == start + 40ms);
}

TEST_CASE("fault: a late cancel finds the op completed") {
    struck_world w;
    w.plan.at(op_code::recv, 0, fault::late_cancel(10)).at(op_code::recv, 1, fault::late_cancel(3));
    const auto [near, far] = w.pair();
    std::string buffer(8, '\0');
    recorded receiving = receive(near, buffer);
    w.start(receiving);
    w.settle();
    w.cancel(receiving);
    w.put(far, "won");
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 3);
    recorded lonely = receive(near, buffer);
    w.start(lonely);
    w.cancel(lonely);
    int turns = 0;
    for (; !lonely.ended(); ++turns) w.drive().poll(lariat::forever);
    CHECK(lonely.result() == -ECANCELED);
    CHECK(turns >= 3);
}

TEST_CASE("fault: reordered completions keep each op's own order") {
    struct order : recorded {
        std::vector<int>* all;
        order(int from, driver* to, std::vector<int>* where)
            : recorded(repeated(op_code::recv, from, to)), all(where) {
            then = [](recorded& self) { static_cast<order&>(self).all->push_back(self.fd); };
        }
    };
    std::size_t different = 0;
    std::vector<int> first;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        struck_world w(seed);
        w.plan.reorder().sometimes(500, fault::delay(2), op_code::recv);
        std::vector<int> all;
        std::deque<order> receiving;
        std::vector<int> far;
        for (int i = 0; i < 6; ++i) {
            const auto both = w.pair();
            far.push_back(both.second);
            w.start(receiving.emplace_back(both.first, &w.drive(), &all));
        }
        for (const char* part : {"one ", "two ", "three"}) {
            for (const int fd : far) w.put(fd, part);
            w.drive().poll(lariat::no_wait);
        }
        for (const int fd : far) w.end_sending(fd);
        CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
        for (const order& each : receiving) {
            CHECK(each.received == "one two three");
            CHECK(each.result() == 0);
        }
        if (first.empty()) first = all;
        different += all != first ? 1 : 0;
    }
    CHECK(different > 10);
}

LARIAT_CONTRACT_TEST(
    "under a plan of many faults the contract holds, and every byte is accounted for") {
    fault_plan plan(3);
    plan.sometimes(100, fault::shorten(1))
        .sometimes(100, fault::delay(2))
        .sometimes(50, fault::delay_for(100us))
        .sometimes(200, fault::late_cancel(3))
        .sometimes(30, fault::fail(ENOMEM), op_code::recv)
        .reorder();
    w.drive().set_faults(&plan);
    const auto [near, far] = w.pair();
    std::string sent;
    std::string arrived;
    std::string buffer(16, '\0');
    std::size_t failed = 0;
    for (int round = 0; round < 1000; ++round) {
        const std::string bytes(static_cast<std::size_t>(1 + round % 9),
                                static_cast<char>('a' + round % 26));
        recorded sending = transmit(far, bytes);
        recorded receiving = receive(near, buffer);
        w.start(sending);
        w.start(receiving);
        if (round % 3 == 0) w.drive().poll(lariat::no_wait);
        if (round % 2 == 0) w.cancel(receiving);
        REQUIRE(w.finish(sending));
        if (sending.result() > 0)
            sent += bytes.substr(0, static_cast<std::size_t>(sending.result()));
        REQUIRE(w.finish(receiving));
        CHECK(sending.seen.size() == 1);
        CHECK(receiving.seen.size() == 1);
        if (receiving.result() > 0)
            arrived += buffer.substr(0, static_cast<std::size_t>(receiving.result()));
        else
            CHECK((receiving.result() == -ECANCELED || receiving.result() == -ENOMEM));
        failed += receiving.result() == -ENOMEM ? 1 : 0;
    }
    for (std::string rest; !(rest = w.take(near)).empty();) arrived += rest;
    CHECK(arrived == sent);
    CHECK(failed > 0);
    CHECK(plan.struck() > 200);
    w.drive().set_faults(nullptr);
}

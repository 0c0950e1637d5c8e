// Operations that complete many times, and the buffers they lend.
#include "world.hpp"

#include <algorithm>
#include <cerrno>
#include <deque>

using namespace driver_test;

namespace {

lariat::driver_options few_buffers(const driver_test::world& like) {
    lariat::driver_options options = like.options();
    options.lent_buffer_bytes = 1024;
    options.lent_buffer_count = 2;
    options.lent_spare_bytes = 0;
    return options;
}

}  // namespace

LARIAT_CONTRACT_TEST("a multishot receive lends what came, as it comes, and ends with 0") {
    const auto [near, far] = w.pair();
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.start(receiving);
    CHECK(receiving.seen.empty());
    std::string sent;
    for (int i = 0; i < 20; ++i) {
        const std::string bytes(100, static_cast<char>('a' + i));
        w.put(far, bytes);
        sent += bytes;
        REQUIRE(w.run_until([&] { return receiving.received.size() == sent.size(); }));
        CHECK(receiving.seen.back().more);
    }
    w.end_sending(far);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.result() == 0);
    CHECK(receiving.received == sent);
    CHECK(receiving.lent == 0);
}

LARIAT_CONTRACT_TEST("a multishot receive finds what was there before it") {
    const auto [near, far] = w.pair();
    w.put(far, "early");
    for (const char* more : {" bird", " worm"}) {
        recorded receiving = repeated(op_code::recv, near, &w.drive());
        w.start(receiving);
        REQUIRE(w.run_until([&] { return receiving.received.size() >= 5; }));
        w.cancel(receiving);
        REQUIRE(w.finish(receiving));
        w.put(far, more);
    }
    CHECK(w.take(near) == " worm");
}

LARIAT_CONTRACT_TEST("end and data together: the data first") {
    const auto [near, far] = w.pair();
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.start(receiving);
    w.settle();
    w.put(far, "last");
    w.end_sending(far);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.received == "last");
    CHECK(receiving.result() == 0);
}

LARIAT_CONTRACT_TEST("a reset ends a multishot receive, after the bytes before it") {
    const auto [near, far] = w.pair();
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.put(far, "left");
    w.reset(far);
    w.start(receiving);
    REQUIRE(w.finish(receiving));
    CHECK(receiving.received == "left");
    CHECK(receiving.result() == -ECONNRESET);
}

LARIAT_CONTRACT_TEST("a stream of megabytes comes through in order, others are not starved") {
    const auto [near, far] = w.pair();
    const auto [quiet, other] = w.pair();
    recorded bulk = repeated(op_code::recv, near, &w.drive());
    recorded small = repeated(op_code::recv, quiet, &w.drive());
    w.start(bulk);
    w.start(small);
    std::string sent;
    std::size_t answered = 0;
    for (int i = 0; sent.size() < (4U << 20); ++i) {
        std::string bytes(32768, static_cast<char>('a' + i % 26));
        const int taken = w.put(far, bytes);
        if (taken > 0) sent += bytes.substr(0, static_cast<std::size_t>(taken));
        if (i % 16 == 0) {
            w.put(other, "?");
            ++answered;
        }
        w.drive().poll(w.drive().now() + 1ms);
    }
    REQUIRE(w.run_until([&] { return small.received.size() == answered; }));
    REQUIRE(w.run_until([&] { return bulk.received.size() == sent.size(); }));
    CHECK(bulk.received == sent);
    for (recorded* each : {&bulk, &small}) {
        w.cancel(*each);
        REQUIRE(w.finish(*each));
    }
}

LARIAT_CONTRACT_TEST("all that waits already is drained, though nothing more arrives") {
    const auto [near, far] = w.pair();
    const std::string block(1 << 20, 'w');
    std::size_t waiting = 0;
    for (int n = 0; (n = w.put(far, block)) > 0;) waiting += static_cast<std::size_t>(n);
    recorded receiving = repeated(op_code::recv, near, &w.drive());
    w.start(receiving);
    REQUIRE(w.run_until([&] { return receiving.received.size() == waiting; }));
    w.cancel(receiving);
    REQUIRE(w.finish(receiving));
}

LARIAT_CONTRACT_TEST("a hundred callers at once are all accepted") {
    const int door = w.listener();
    for (int i = 0; i < 100; ++i) w.call(door);
    recorded accepting = repeated(op_code::accept, door, nullptr);
    w.start(accepting);
    REQUIRE(w.run_until([&] { return accepting.seen.size() == 100; }));
    for (const recorded::outcome& each : accepting.seen) w.adopt(each.result);
    w.cancel(accepting);
    REQUIRE(w.finish(accepting));
}

LARIAT_CONTRACT_TEST("a multishot receive cancelled inside its own completion lends no more") {
    const auto [near, far] = w.pair();
    struct once : recorded {
        world& in;
        once(world& where, int from)
            : recorded(repeated(op_code::recv, from, &where.drive())), in(where) {
            then = [](recorded& self) {
                if (self.more) static_cast<once&>(self).in.cancel(self);
            };
        }
    };
    once receiving(w, near);
    w.start(receiving);
    w.put(far, "one");
    REQUIRE(w.finish(receiving));
    CHECK(receiving.received == "one");
    CHECK(receiving.result() == -ECANCELED);
    w.put(far, "two");
    w.settle();
    CHECK(receiving.received == "one");
    CHECK(w.take(near) == "two");
}

LARIAT_CONTRACT_TEST("lent bytes stay as they are until they are given back, in any order") {
    const auto [near, far] = w.pair();
    recorded receiving = repeated(op_code::recv, near, nullptr);
    struct piece {
        const char* at;
        std::uint32_t name;
        std::string bytes;
    };
    std::deque<piece> pieces;
    w.start(receiving);
    for (int i = 0; i < 40; ++i) {
        const std::string bytes(200, static_cast<char>('A' + i));
        w.put(far, bytes);
        REQUIRE(w.run_until(
            [&] { return receiving.received.size() == 200U * (static_cast<unsigned>(i) + 1); }));
        while (pieces.size() < receiving.held.size())
            pieces.push_back({static_cast<const char*>(receiving.address),
                              receiving.held[pieces.size()], receiving.seen[pieces.size()].bytes});
        CHECK(w.drive().stats().lent == pieces.size());
        if (i % 8 == 7) {
            std::rotate(pieces.begin(), pieces.begin() + 3, pieces.end());
            for (const piece& each : pieces)
                CHECK(std::string(each.at, each.bytes.size()) == each.bytes);
            for (const piece& each : pieces) w.drive().give_back(each.name);
            pieces.clear();
            receiving.held.clear();
            receiving.seen.clear();
            CHECK(w.drive().stats().lent == 0);
        }
    }
    w.cancel(receiving);
    REQUIRE(w.finish(receiving));
}

LARIAT_CONTRACT_TEST("without a buffer a receive waits for one; nothing is lost, nobody is told") {
    world poor(few_buffers(w));
    std::deque<recorded> receiving;
    std::vector<int> far;
    for (std::size_t i = 0; i < 4; ++i) {
        const auto both = poor.pair();
        far.push_back(both.second);
        poor.start(receiving.emplace_back(repeated(op_code::recv, both.first, nullptr)));
    }
    std::string block(2048, '\0');
    for (std::size_t i = 0; i < 4; ++i) {
        std::fill(block.begin(), block.end(), static_cast<char>('a' + i));
        CHECK(poor.put(far[i], block) == 2048);
    }
    const auto total = [&] {
        std::size_t bytes = 0;
        for (const recorded& each : receiving) bytes += each.received.size();
        return bytes;
    };
    REQUIRE(poor.run_until([&] { return poor.drive().stats().starved > 0; }));
    poor.settle();
    CHECK(total() <= 2048);
    for (std::size_t turns = 0; total() < 8192; ++turns) {
        REQUIRE(turns < 200);
        for (recorded& each : receiving) {
            while (!each.held.empty()) {
                poor.drive().give_back(each.held.back());
                each.held.pop_back();
            }
        }
        poor.drive().poll(poor.drive().now() + 100ms);
    }
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(receiving[i].received == std::string(2048, static_cast<char>('a' + i)));
        for (const auto& each : receiving[i].seen) CHECK(each.more);
        poor.cancel(receiving[i]);
        REQUIRE(poor.finish(receiving[i]));
        for (const std::uint32_t name : receiving[i].held) poor.drive().give_back(name);
    }
}

LARIAT_CONTRACT_TEST("a receive that waits for a buffer can be cancelled") {
    world poor(few_buffers(w));
    const auto [near, far] = poor.pair();
    recorded hoarding = repeated(op_code::recv, near, nullptr);
    poor.start(hoarding);
    CHECK(poor.put(far, std::string(4096, 'x')) == 4096);
    REQUIRE(poor.run_until([&] { return poor.drive().stats().starved > 0; }));
    poor.cancel(hoarding);
    REQUIRE(poor.finish(hoarding));
    CHECK(hoarding.result() == -ECANCELED);
    CHECK(hoarding.received.size() + poor.take(near).size() == 4096);
    for (const std::uint32_t name : hoarding.held) poor.drive().give_back(name);
    recorded next = repeated(op_code::recv, near, &poor.drive());
    poor.start(next);
    poor.put(far, "again");
    REQUIRE(poor.run_until([&] { return next.received == "again"; }));
    poor.cancel(next);
    REQUIRE(poor.finish(next));
}

LARIAT_CONTRACT_TEST("a multishot accept takes every caller, also those before it") {
    const int door = w.listener();
    for (int i = 0; i < 5; ++i) w.call(door);
    recorded accepting = repeated(op_code::accept, door, nullptr);
    w.start(accepting);
    REQUIRE(w.run_until([&] { return accepting.seen.size() == 5; }));
    for (int i = 0; i < 5; ++i) {
        w.call(door);
        REQUIRE(
            w.run_until([&] { return accepting.seen.size() == static_cast<std::size_t>(6 + i); }));
    }
    for (const recorded::outcome& each : accepting.seen) {
        CHECK(each.more);
        REQUIRE(each.result >= 0);
        w.adopt(each.result);
    }
    w.cancel(accepting);
    REQUIRE(w.finish(accepting));
    CHECK(accepting.result() == -ECANCELED);
    const int late = w.call(door);
    w.settle();
    CHECK(accepting.seen.size() == 11);
    recorded next(op_code::accept, door);
    w.start(next);
    REQUIRE(w.finish(next));
    w.adopt(next.result());
    CHECK(w.put(late, "x") == 1);
}

LARIAT_CONTRACT_TEST("what is accepted can be used inside the completion") {
    const int door = w.listener();
    struct greeter : recorded {
        world& in;
        std::deque<recorded> receiving;
        greeter(world& where, int door_fd)
            : recorded(repeated(op_code::accept, door_fd, nullptr)), in(where) {
            then = [](recorded& self) {
                auto& greeting = static_cast<greeter&>(self);
                if (!self.more) return;
                greeting.in.adopt(self.op::result);
                recorded& fresh = greeting.receiving.emplace_back(
                    repeated(op_code::recv, self.op::result, &greeting.in.drive()));
                if (greeting.in.drive().submit(fresh)) fresh.note();
            };
        }
    };
    greeter accepting(w, door);
    w.start(accepting);
    for (std::size_t i = 0; i < 30; ++i) CHECK(w.put(w.call(door), "hello") == 5);
    REQUIRE(w.run_until([&] {
        return accepting.receiving.size() == 30 &&
               std::all_of(accepting.receiving.begin(), accepting.receiving.end(),
                           [](const recorded& each) { return each.received == "hello"; });
    }));
    w.cancel(accepting);
    for (recorded& each : accepting.receiving) w.cancel(each);
    CHECK(w.run_until([&] { return w.drive().stats().in_flight == 0; }));
}

LARIAT_CONTRACT_TEST("out of descriptors a multishot accept ends; armed again later it goes on") {
    const int door = w.listener();
    for (int i = 0; i < 3; ++i) w.call(door);
    w.limit_descriptors();
    recorded accepting = repeated(op_code::accept, door, nullptr);
    w.start(accepting);
    REQUIRE(w.finish(accepting));
    CHECK(accepting.result() == -EMFILE);
    CHECK(accepting.seen.size() == 1);
    recorded again = repeated(op_code::accept, door, nullptr);
    w.start(again);
    REQUIRE(w.finish(again));
    CHECK(again.result() == -EMFILE);
    w.lift_limit();
    w.settle();
    CHECK(again.seen.size() == 1);
    recorded third = repeated(op_code::accept, door, nullptr);
    w.start(third);
    REQUIRE(w.run_until([&] { return third.seen.size() == 3; }));
    for (const recorded::outcome& each : third.seen) w.adopt(each.result);
    w.cancel(third);
    REQUIRE(w.finish(third));
}

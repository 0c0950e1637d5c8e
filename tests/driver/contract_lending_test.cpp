// What becomes of receives while users hold every lent buffer.
#include "world.hpp"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <random>

using namespace driver_test;

namespace {

/// Two buffers of 1 KiB, and as many spare blocks as there is memory for.
lariat::driver_options small_pool(const world& like) {
    lariat::driver_options options = like.options();
    options.lent_buffer_bytes = 1024;
    options.lent_buffer_count = 2;
    return options;
}

/// A connection whose received bytes are kept, checked, and given back when the test says so.
struct holder : recorded {
    struct lease {
        const char* at;
        std::uint32_t name;
        std::string bytes;
    };
    driver& from;
    int far = -1;
    std::deque<lease> leases;

    explicit holder(world& in) : holder(in, in.pair()) {}
    holder(world& in, std::pair<int, int> ends)
        : recorded(repeated(op_code::recv, ends.first, nullptr)),
          from(in.drive()),
          far(ends.second) {
        then = [](recorded& self) {
            auto& mine = static_cast<holder&>(self);
            if (mine.lent == 0) return;
            mine.held.clear();
            mine.leases.push_back(
                {static_cast<const char*>(mine.address), mine.lent, mine.seen.back().bytes});
        };
        in.start(*this);
    }
    void give_back(std::size_t which) {
        const auto found = leases.begin() + static_cast<std::ptrdiff_t>(which);
        CHECK(std::string(found->at, found->bytes.size()) == found->bytes);
        from.give_back(found->name);
        leases.erase(found);
    }
    void give_all_back() {
        while (!leases.empty()) give_back(leases.size() - 1);
    }
};

/// Ends them and gives everything back; then the driver must count nothing.
void end_all(world& in, std::deque<holder>& all) {
    for (holder& each : all) in.cancel(each);
    for (holder& each : all) {
        REQUIRE(in.finish(each));
        CHECK(each.result() == -ECANCELED);
        each.give_all_back();
    }
    CHECK(in.drive().stats().lent == 0);
    CHECK(in.drive().stats().spare == 0);
}

}  // namespace

LARIAT_CONTRACT_TEST("with every buffer held, others still receive, and give back in any order") {
    world poor(small_pool(w));
    std::deque<holder> all;
    all.emplace_back(poor);
    poor.put(all.front().far, std::string(4096, 'h'));
    REQUIRE(poor.run_until([&] { return all.front().received.size() == 4096; }));
    CHECK(poor.drive().stats().spare != 0);
    CHECK(poor.drive().stats().starved != 0);
    for (int i = 0; i < 50; ++i) {
        holder& next = all.emplace_back(poor);
        const std::string bytes(static_cast<std::size_t>(20 + i), static_cast<char>('A' + i));
        poor.put(next.far, bytes);
        REQUIRE(poor.run_until([&] { return next.received == bytes; }));
    }
    CHECK(poor.drive().stats().spare >= 50);
    std::size_t held = 0;
    for (const holder& each : all) held += each.leases.size();
    CHECK(poor.drive().stats().lent == held);

    std::minstd_rand0 random(7);
    for (; held > 0; --held) {
        holder* from = &all[random() % all.size()];
        while (from->leases.empty()) from = &all[random() % all.size()];
        from->give_back(random() % from->leases.size());
    }
    CHECK(poor.drive().stats().lent == 0);
    end_all(poor, all);
}

LARIAT_CONTRACT_TEST("as soon as buffers are back, receives return to them") {
    world poor(small_pool(w));
    std::deque<holder> all;
    for (int i = 0; i < 20; ++i) {
        all.emplace_back(poor);
        poor.put(all.back().far, std::string(1024, 'x'));
    }
    const auto all_have = [&](std::size_t bytes) {
        return std::all_of(all.begin(), all.end(),
                           [&](const holder& each) { return each.received.size() == bytes; });
    };
    REQUIRE(poor.run_until([&] { return all_have(1024); }));
    for (holder& each : all) each.give_all_back();
    poor.settle();
    const std::uint64_t starved = poor.drive().stats().starved;
    for (int round = 0; round < 3; ++round) {
        for (holder& each : all) {
            const std::size_t before = each.received.size();
            poor.put(each.far, "again");
            REQUIRE(poor.run_until([&] { return each.received.size() == before + 5; }));
            CHECK(poor.drive().stats().spare == 0);
            each.give_all_back();
        }
    }
    CHECK(poor.drive().stats().starved == starved);
    end_all(poor, all);
}

LARIAT_CONTRACT_TEST("a long stream comes through in order while another holds every buffer") {
    world poor(small_pool(w));
    std::deque<holder> all;
    for (int i = 0; i < 2; ++i) all.emplace_back(poor);
    holder& stuck = all.front();
    holder& bulk = all.back();
    poor.put(stuck.far, std::string(4096, 's'));
    REQUIRE(poor.run_until([&] { return stuck.received.size() == 4096; }));
    std::string sent;
    for (int i = 0; sent.size() < (1U << 20); ++i) {
        const std::string bytes(24'000, static_cast<char>('a' + i % 26));
        const int taken = poor.put(bulk.far, bytes);
        if (taken > 0) sent += bytes.substr(0, static_cast<std::size_t>(taken));
        poor.drive().poll(poor.drive().now() + 1ms);
        bulk.give_all_back();
    }
    REQUIRE(poor.run_until([&] {
        bulk.give_all_back();
        return bulk.received.size() == sent.size();
    }));
    CHECK(bulk.received == sent);
    poor.end_sending(bulk.far);
    REQUIRE(poor.finish(bulk));
    CHECK(bulk.result() == 0);
    bulk.give_all_back();
    all.pop_back();
    end_all(poor, all);
}

LARIAT_CONTRACT_TEST("a receive that goes on without buffers can be cancelled, at any moment") {
    world poor(small_pool(w));
    std::deque<holder> stuck;
    stuck.emplace_back(poor);
    poor.put(stuck.front().far, std::string(4096, 's'));
    REQUIRE(poor.run_until([&] { return stuck.front().received.size() == 4096; }));
    for (int turns = 0; turns < 6; ++turns) {
        std::deque<holder> one;
        one.emplace_back(poor);
        for (int i = 0; i < turns; ++i) poor.drive().poll(lariat::no_wait);
        poor.put(one.front().far, "bytes");
        for (int i = 0; i < turns; ++i) poor.drive().poll(lariat::no_wait);
        poor.cancel(one.front());
        REQUIRE(poor.finish(one.front()));
        CHECK(one.front().result() == -ECANCELED);
        const std::string left = poor.take(one.front().fd);
        CHECK(one.front().received + left == "bytes");
        one.front().give_all_back();
    }
    end_all(poor, stuck);
}

LARIAT_CONTRACT_TEST("where spare blocks are limited, receives go on up to it and then wait") {
    lariat::driver_options options = small_pool(w);
    options.lent_spare_bytes = 300;
    world poor(options);
    std::deque<holder> all;
    all.emplace_back(poor);
    poor.put(all.front().far, std::string(4096, 'h'));
    // Up to the last bytes of a buffer, which may be too few for the driver to use.
    REQUIRE(poor.run_until([&] { return all.front().received.size() >= 2048 + 300; }));
    poor.settle();
    CHECK(all.front().received.size() == 2048 + 300);
    REQUIRE(poor.run_until([&] {
        all.front().give_all_back();
        return all.front().received.size() == 4096;
    }));
    end_all(poor, all);
}

LARIAT_CONTRACT_TEST("any mixture of holding and giving back loses nothing") {
    for (unsigned seed = 1; seed <= 4; ++seed) {
        lariat::driver_options options = small_pool(w);
        options.lent_spare_bytes = seed % 2 == 0 ? 5000 : ~std::uint64_t{0};
        world poor(options);
        std::minstd_rand0 random(seed);
        std::deque<holder> all;
        std::deque<std::string> sent(12);
        for (int i = 0; i < 12; ++i) all.emplace_back(poor);
        for (int step = 0; step < 600; ++step) {
            const std::size_t which = random() % all.size();
            holder& chosen = all[which];
            const std::string bytes(1 + random() % 900, static_cast<char>('a' + random() % 26));
            switch (random() % 3) {
                case 0: {
                    const int taken = poor.put(chosen.far, bytes);
                    if (taken > 0) sent[which] += bytes.substr(0, static_cast<std::size_t>(taken));
                    break;
                }
                case 1:
                    if (!chosen.leases.empty()) chosen.give_back(random() % chosen.leases.size());
                    break;
                default: poor.drive().poll(lariat::no_wait);
            }
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
            REQUIRE(poor.run_until([&] {
                for (holder& each : all) each.give_all_back();
                return all[i].received.size() == sent[i].size();
            }));
            CHECK(all[i].received == sent[i]);
        }
        end_all(poor, all);
    }
}

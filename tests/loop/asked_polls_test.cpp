#include "loop/asked_polls.hpp"

#include <doctest/doctest.h>

#include <array>
#include <utility>

#include <poll.h>

namespace {

using lariat::op;
using lariat::detail::asked_polls;

/// A poll that says when it was completed, and may ask again.
struct asker : op {
    asker() {
        code = lariat::op_code::poll;
        argument = POLLIN;
        complete = [](op& done) noexcept {
            auto& self = static_cast<asker&>(done);
            ++self.looks;
            CHECK(done.result == POLLIN);
            if (self.forgets != nullptr)
                CHECK(self.home->forget(*std::exchange(self.forgets, nullptr)));
            if (self.stays) self.home->add(self);
        };
    }
    asked_polls* home = nullptr;
    asker* forgets = nullptr;
    bool stays = false;
    int looks = 0;
};

TEST_CASE("asked_polls: a look completes each that is there once, also one that stays") {
    asked_polls polls;
    std::array<asker, asked_polls::most> all;
    for (asker& each : all) {
        CHECK_FALSE(polls.full());
        each.home = &polls;
        polls.add(each);
    }
    CHECK(polls.full());
    all[1].stays = true;
    polls.look();
    for (const asker& each : all) CHECK(each.looks == 1);
    CHECK_FALSE(polls.empty());
    all[1].stays = false;
    polls.look();
    CHECK(all[0].looks == 1);
    CHECK(all[1].looks == 2);
    CHECK(polls.empty());
}

TEST_CASE("asked_polls: what is forgotten is there no more, and nothing else is") {
    asked_polls polls;
    std::array<asker, 3> all;
    CHECK_FALSE(polls.forget(all[0]));
    for (asker& each : all) polls.add(each);
    CHECK(polls.forget(all[1]));
    CHECK_FALSE(polls.forget(all[1]));
    CHECK(&polls.take() == &all[0]);
    CHECK(polls.forget(all[2]));
    CHECK(polls.empty());
}

TEST_CASE("asked_polls: one that is looked at may take another away") {
    asked_polls polls;
    std::array<asker, 3> all;
    for (asker& each : all) {
        each.home = &polls;
        each.stays = true;
        polls.add(each);
    }
    all[0].forgets = &all[2];
    polls.look();
    CHECK(all[0].looks >= 1);
    CHECK(all[1].looks == 1);
    CHECK(all[2].looks == 0);
    CHECK(polls.forget(all[0]));
    CHECK(polls.forget(all[1]));
    CHECK(polls.empty());
}

}  // namespace

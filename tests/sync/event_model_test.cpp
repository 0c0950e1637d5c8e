// Events, barriers and the like under random schedules.
#include "schedule.hpp"

#include <lariat/base/result.hpp>
#include <lariat/sync/auto_reset_event.hpp>
#include <lariat/sync/barrier.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/sync/latch.hpp>
#include <lariat/sync/once.hpp>
#include <lariat/task/nothrow.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

using namespace sync_test;

class event_world : public world {
    using world::world;

    void serve() override {
        while (set_ && !line.empty()) grant_front();
    }
    void set() {
        ready_.set();
        set_ = true;
        serve();
    }
    task<> operate(seat& me) override {
        expect(ready_.is_set() == set_, me, "found it as the model has it not");
        const std::size_t what = random.below(6);
        if (what == 0) {
            disturb();
        } else if (what == 1) {
            set();
        } else if (what == 2) {
            ready_.clear();
            set_ = false;
        } else if (what == 3) {
            co_await pause();
        } else {
            co_await attempt(me, ready_.wait());
        }
    }
    void wind_up() override { set(); }

    event ready_;
    bool set_ = false;
};

TEST_CASE("event: random schedules go as the model says") { run_schedules<event_world>(); }

class auto_reset_world : public world {
    using world::world;

    void serve() override {
        if (!set_ || line.empty()) return;
        set_ = false;
        grant_front();
    }
    void set() {
        bell_.set();
        set_ = true;
        serve();
    }
    task<> operate(seat& me) override {
        expect(bell_.is_set() == set_, me, "found it as the model has it not");
        const std::size_t what = random.below(7);
        if (what == 0) {
            disturb();
        } else if (what == 1) {
            set();
        } else if (what == 2) {
            if (random.coin()) {
                expect(bell_.try_wait() == set_, me, "tried it with no right");
            } else {
                bell_.clear();
            }
            set_ = false;
        } else if (what == 3) {
            co_await pause();
        } else {
            co_await attempt(me, bell_.wait());
        }
    }
    void wind_up() override { set(); }

    auto_reset_event bell_;
    bool set_ = false;
};

TEST_CASE("auto_reset_event: random schedules go as the model says") {
    run_schedules<auto_reset_world>();
}

class latch_world : public world {
 public:
    latch_world(std::uint64_t seed, test_loop& its_loop)
        : world(seed, its_loop), left_(random.below(8)), gate_(left_) {}

 private:
    void serve() override {
        while (left_ == 0 && !line.empty()) grant_front();
    }
    void ask(seat& me) override {
        left_ -= me.wants;  // 1 if it arrives before it waits
        world::ask(me);
        serve();
    }
    task<> operate(seat& me) override {
        expect(gate_.try_wait() == (left_ == 0), me, "found it as the model has it not");
        const std::size_t what = random.below(8);
        me.wants = 0;
        if (what == 0) {
            disturb();
        } else if (what == 1 && left_ != 0) {
            const std::size_t count = random.below(std::min<std::size_t>(left_, 2) + 1);
            gate_.count_down(count);
            left_ -= count;
            serve();
        } else if (what == 2 && left_ != 0) {
            me.wants = 1;
            co_await attempt(me, gate_.arrive_and_wait());
        } else if (what < 5) {
            co_await pause();
        } else {
            co_await attempt(me, gate_.wait());
        }
    }
    void wind_up() override {
        gate_.count_down(left_);
        left_ = 0;
        serve();
    }

    std::size_t left_;
    latch gate_;
};

TEST_CASE("latch: random schedules go as the model says") { run_schedules<latch_world>(); }

class barrier_world : public world {
 public:
    barrier_world(std::uint64_t seed, test_loop& its_loop)
        : world(seed, its_loop), parties_(1 + random.below(4)), line_up_(parties_) {}

 private:
    static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

    void serve() override {
        if (broken_) send_away();
        if (line.size() != parties_) return;
        for (std::size_t index = 0; index < parties_; ++index) grant_front().wants = index;
    }
    void send_away() {
        while (!line.empty()) grant_front().wants = none;
    }
    void abort() {
        line_up_.abort();
        broken_ = true;
        send_away();
    }
    task<> operate(seat& me) override {
        expect(line_up_.waiting() == line.size() && line_up_.broken() == broken_, me,
               "found it as the model has it not");
        const std::size_t what = random.below(16);
        if (what == 0) {
            if (random.coin()) abort();
        } else if (what == 1) {
            line_up_.reset();
            broken_ = false;
            send_away();
        } else if (what < 4) {
            disturb();
        } else if (what < 6) {
            co_await pause();
        } else {
            const auto got = co_await attempt(me, nothrow(line_up_.wait()));
            if (!got) co_return;
            expect(got->error() == (me.wants == none ? make_error_code(errc::broken_barrier)
                                                     : std::error_code()),
                   me, "was told what the model was not");
            if (got->has_value()) expect(**got == me.wants, me, "was given another's index");
        }
    }
    void wind_up() override { abort(); }

    std::size_t parties_;
    barrier line_up_;
    bool broken_ = false;
};

TEST_CASE("barrier: random schedules go as the model says") { run_schedules<barrier_world>(); }

class once_world : public world {
    using world::world;

    void serve() override {
        while (done_ && !line.empty()) grant_front();
        if (runner_ == nullptr && !line.empty()) runner_ = &grant_front();
    }
    void end_run(bool success) {
        done_ = success;
        runner_ = nullptr;
        serve();
    }
    // It awaits a task that does.
    [[nodiscard]] bool asks_at_once() const override { return false; }
    // Its turn came and it was cancelled before it had begun, or failed: the next one tries.
    void gave_up(seat& me) override {
        if (runner_ == &me) end_run(false);
    }
    task<> run_it(seat& me) {
        expect(runner_ == &me && !done_, me, "runs it, and another by the model");
        const bool works = random.chance(300);
        bool success = false;
        const at_exit ends([&] { end_run(success); });
        co_await pause();
        expect(runner_ == &me && !done_, me, "runs it, and another by the model");
        if (!works) throw std::runtime_error("not this time");
        success = true;
    }
    task<> operate(seat& me) override {
        expect(made_.done() == done_, me, "found it as the model has it not");
        const std::size_t what = random.below(6);
        if (what == 0) {
            disturb();
        } else if (what == 1) {
            co_await pause();
        } else {
            auto runs = [&]() -> task<> { return run_it(me); };
            try {
                co_await attempt(me, made_.call(runs));
            } catch (const std::runtime_error&) {
                me.at = place::away;
            }
        }
    }

    once made_;
    seat* runner_ = nullptr;
    bool done_ = false;
};

TEST_CASE("once: random schedules go as the model says") { run_schedules<once_world>(); }

}  // namespace

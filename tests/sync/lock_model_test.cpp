// Locks under random schedules.
#include "schedule.hpp"

#include <lariat/sync/bounded_semaphore.hpp>
#include <lariat/sync/condition.hpp>
#include <lariat/sync/mutex.hpp>
#include <lariat/sync/recursive_mutex.hpp>
#include <lariat/sync/rw_mutex.hpp>
#include <lariat/sync/semaphore.hpp>

#include <cstddef>
#include <type_traits>
#include <vector>

namespace {

using namespace sync_test;

/// Whose primitive has one holder at a time.
class world_of_one : public world {
 protected:
    using world::world;

    void serve() override {
        if (holder_ == nullptr && !line.empty()) holder_ = &grant_front();
    }
    void leave() {
        holder_ = nullptr;
        serve();
    }
    void check_inside(seat& me) {
        expect(holder_ == &me, me, "is inside, and another by the model");
    }
    task<> stay(seat& me) {
        check_inside(me);
        co_await pause();
        check_inside(me);
    }

    seat* holder_ = nullptr;
};

class mutex_world : public world_of_one {
    using world_of_one::world_of_one;

    task<> operate(seat& me) override {
        if (random.chance(170)) {
            auto held = door_.try_lock();
            expect(static_cast<bool>(held) == (holder_ == nullptr), me, "tried it with no right");
            if (!held) co_return;
            holder_ = &me;
            const at_exit leaves([&] {
                held.unlock();
                leave();
            });
            co_await stay(me);
        } else {
            auto held = co_await attempt(me, door_.lock());
            if (!held) co_return;
            const at_exit leaves([&] {
                held->unlock();
                leave();
            });
            co_await stay(me);
        }
    }
    void check_end() override { expect(!door_.locked(), seats[0], "left it locked"); }

    mutex door_;
};

TEST_CASE("mutex: random schedules go as the model says") { run_schedules<mutex_world>(); }

class recursive_world : public world_of_one {
    using world_of_one::world_of_one;

    void ask(seat& me) override {
        if (holder_ != &me) return world::ask(me);
        ++levels_above_first_;
        me.at = place::granted;
    }
    task<> enter(seat& me, int levels) {
        auto held = co_await attempt(me, door_.lock());
        if (!held) co_return;
        const at_exit leaves([&] {
            held.reset();
            if (levels_above_first_ == 0) return leave();
            --levels_above_first_;
        });
        co_await stay(me);
        if (levels > 0) co_await enter(me, levels - 1);
        co_await stay(me);
    }
    task<> operate(seat& me) override {
        if (random.chance(250)) {
            const auto held = door_.try_lock();
            expect(static_cast<bool>(held) == (holder_ == nullptr), me, "tried it with no right");
        } else {
            co_await enter(me, static_cast<int>(random.below(3)));
        }
    }
    void check_end() override { expect(!door_.locked(), seats[0], "left it locked"); }

    recursive_mutex door_;
    int levels_above_first_ = 0;
};

TEST_CASE("recursive_mutex: random schedules go as the model says") {
    run_schedules<recursive_world>();
}

class rw_world : public world {
    using world::world;

    static constexpr std::size_t to_read = 0;
    static constexpr std::size_t to_write = 1;

    void serve() override {
        while (!line.empty() && writer_ == nullptr) {
            if (line.front()->wants == to_read) {
                ++readers_;
                grant_front();
            } else {
                if (readers_ != 0) return;
                writer_ = &grant_front();
            }
        }
    }
    template <class Guard>
    void leave(const seat& me, Guard& held) {
        held.unlock();
        if (me.wants == to_read) {
            --readers_;
        } else {
            writer_ = nullptr;
        }
        serve();
    }
    task<> stay(seat& me) {
        check_inside(me);
        co_await pause();
        check_inside(me);
    }
    void check_inside(seat& me) {
        expect(me.wants == to_read ? readers_ != 0 && writer_ == nullptr
                                   : readers_ == 0 && writer_ == &me,
               me, "is inside, and may not by the model");
    }
    task<> try_one(seat& me) {
        if (me.wants == to_read) {
            auto held = table_.try_lock_shared();
            expect(static_cast<bool>(held) == (writer_ == nullptr && line.empty()), me,
                   "tried to read with no right");
            if (!held) co_return;
            ++readers_;
            const at_exit leaves([&] { leave(me, held); });
            co_await stay(me);
        } else {
            auto held = table_.try_lock();
            expect(static_cast<bool>(held) == (writer_ == nullptr && readers_ == 0), me,
                   "tried to write with no right");
            if (!held) co_return;
            writer_ = &me;
            const at_exit leaves([&] { leave(me, held); });
            co_await stay(me);
        }
    }
    task<> operate(seat& me) override {
        me.wants = random.chance(600) ? to_read : to_write;
        if (random.chance(170)) {
            co_await try_one(me);
        } else if (me.wants == to_read) {
            auto held = co_await attempt(me, table_.lock_shared());
            if (!held) co_return;
            const at_exit leaves([&] { leave(me, *held); });
            co_await stay(me);
        } else {
            auto held = co_await attempt(me, table_.lock());
            if (!held) co_return;
            const at_exit leaves([&] { leave(me, *held); });
            co_await stay(me);
        }
    }
    void check_end() override {
        expect(static_cast<bool>(table_.try_lock()), seats[0], "left it locked");
    }

    rw_mutex table_;
    std::size_t readers_ = 0;
    seat* writer_ = nullptr;
};

TEST_CASE("rw_mutex: random schedules go as the model says") { run_schedules<rw_world>(); }

template <class Semaphore>
class semaphore_world : public world {
 public:
    semaphore_world(std::uint64_t seed, test_loop& its_loop)
        : world(seed, its_loop), all_(3 + random.below(3)), permits_(all_), free_(all_) {}

 private:
    void serve() override {
        while (!line.empty() && line.front()->wants <= free_) free_ -= grant_front().wants;
    }
    void release(std::size_t count) {
        permits_.release(count);
        released(count);
    }
    void released(std::size_t count) {
        free_ += count;
        serve();
    }
    task<> keep_in_guard(seat& me) {
        me.wants = 1;
        auto held = co_await attempt(me, permits_.scoped_acquire());
        if (!held) co_return;
        const at_exit releases([&] {
            held.reset();
            released(1);
        });
        co_await pause();
    }
    task<> operate(seat& me) override {
        expect(permits_.available() == free_, me, "found another count than the model's");
        const std::size_t what = random.below(6);
        me.wants = random.chance(700) ? 1 : 1 + random.below(3);
        if (what == 0) {
            const bool taken = permits_.try_acquire(me.wants);
            expect(taken == (line.empty() && me.wants <= free_), me, "tried it with no right");
            if (!taken) co_return;
            free_ -= me.wants;
            const at_exit releases([&] { release(me.wants); });
            co_await pause();
        } else if (what == 1) {
            co_await keep_in_guard(me);
        } else {
            const auto got = co_await attempt(me, permits_.acquire(me.wants));
            if (!got) co_return;
            const at_exit releases([&] { release(me.wants); });
            co_await pause();
        }
    }
    void check_end() override {
        expect(permits_.available() == all_ && free_ == all_, seats[0],
               "lost a permit, or won one");
    }

    std::size_t all_;
    Semaphore permits_;
    std::size_t free_;
};

TEST_CASE("semaphore: random schedules go as the model says") {
    run_schedules<semaphore_world<semaphore>>();
}

TEST_CASE("bounded_semaphore: random schedules go as the model says") {
    run_schedules<semaphore_world<bounded_semaphore>>();
}

template <class Lock>
class condition_world : public world_of_one {
    using world_of_one::world_of_one;

    void ask(seat& me) override {
        if (holder_ != &me) return world::ask(me);
        me.at = place::waiting;  // it holds the lock: so it is the condition that it waits for
        sleepers_.push_back(&me);
        leave();
    }
    void cut(seat& who) override {
        if (std::erase(sleepers_, &who) == 0) return world::cut(who);
        relock(who, place::cut);
    }
    void relock(seat& who, place with) {
        who.at = place::beyond_cut;
        who.when_served = with;
        line.push_back(&who);
        serve();
    }
    void notify(std::size_t n) {
        changed_.notify(n);
        for (; n != 0 && !sleepers_.empty(); --n) {
            seat& first = *sleepers_.front();
            sleepers_.erase(sleepers_.begin());
            relock(first, place::granted);
        }
    }
    task<> wait_inside(seat& me, guard<Lock>& held) {
        guard<Lock> again;  // one more level, where there are any
        if constexpr (std::is_same_v<Lock, recursive_mutex>) {
            if (random.chance(500)) again = lock_.try_lock();
        }
        for (std::size_t waits = random.below(3); waits > 0; --waits) {
            // Whether by a notify, cut, or not begun: it has the lock.
            const at_exit after([&] {
                expect(holder_ == &me && held && lock_.locked(), me, "has come back unlocked");
            });
            co_await attempt(me, changed_.wait(held));
        }
        if (random.chance(300)) notify(1 + random.below(2));
        co_await stay(me);
    }
    task<> operate(seat& me) override {
        if (random.chance(250)) {
            notify(random.below(4));
        } else {
            auto held = co_await attempt(me, lock_.lock());
            if (!held) co_return;
            const at_exit leaves([&] {
                held.reset();
                leave();
            });
            co_await wait_inside(me, *held);
        }
    }
    void wind_up() override { notify(seats.size()); }
    void check_end() override { expect(!lock_.locked(), seats[0], "left it locked"); }

    condition changed_;
    Lock lock_;
    std::vector<seat*> sleepers_;
};

TEST_CASE("condition: random schedules go as the model says, with a mutex") {
    run_schedules<condition_world<mutex>>();
}

TEST_CASE("condition: random schedules go as the model says, with a recursive_mutex") {
    run_schedules<condition_world<recursive_mutex>>();
}

}  // namespace

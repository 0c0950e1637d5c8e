// What the processes of a campaign do: every verb of what lies in shared memory, in any order.
#include "campaign_support.hpp"

#include <lariat/process/pipe.hpp>
#include <lariat/process/pool.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>

namespace lariat::test {

namespace {

using namespace std::chrono_literals;

void nothing() {}
int twice(int number) { return 2 * number; }

void expect(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}

/// What both kinds of processes do alike, without a wait.
class actor {
 public:
    actor(stage on, std::uint32_t author, std::uint64_t seed)
        : on_(std::move(on)), author_(author), chance_(seed) {}

 protected:
    // Also when the tester was killed: nobody feeds it any more.
    [[nodiscard]] bool is_over() const { return on_.over.get() != 0 || ::kill(tester_, 0) != 0; }

    void finish_job(std::uint32_t job) {
        on_.jobs_done.fetch_add(job, 1);
        on_.jobs.task_done();
    }
    [[nodiscard]] delivery next_delivery() {
        delivery next;
        next.author = author_;
        next.number = delivered_;
        return next;
    }
    void has_delivered() { on_.delivered.set(author_, ++delivered_); }

    void exchange_texts() {
        (void)on_.texts.try_put(sound_text(chance_.below(2000)));
        if (const auto text = on_.texts.try_get()) {
            check_text(*text);
            on_.texts.task_done();
        }
    }
    void exchange_handles() {
        (void)on_.handles.try_put(shm::value<int>(4711));
        if (const auto handle = on_.handles.try_get()) {
            expect(handle->get() == 4711, "another object came");
            on_.handles.task_done();
        }
    }
    void make_and_drop() {
        const shm::array<std::uint64_t> large(1 + chance_.below(20'000), 7);
        const shm::rw_mutex lock;
        const shm::value<int> copies;
        const auto other = copies;
        expect(large.get(large.size() - 1) == 7, "new memory");
    }
    void try_locks() {
        try {
            if (auto held = on_.mutex.try_lock()) work_inside(on_, pair_of::mutex);
            if (auto held = on_.readers_and_writers.try_lock()) work_inside(on_, pair_of::rw_mutex);
            if (auto held = on_.readers_and_writers.try_lock_shared())
                look_inside(on_, pair_of::rw_mutex);
        } catch (const owner_died&) {
        }
        if (chance_.below(2) == 0) {
            on_.now_and_then.set();
        } else {
            on_.now_and_then.clear();
        }
    }
    /// Adds a token, or takes one. Pre: under the tokens' lock.
    void add_token() {
        on_.tokens.set(on_.tokens.get() + 1);
        on_.tokens_changed.notify();
    }
    void take_token() {
        if (on_.tokens.get() > 0) on_.tokens.set(on_.tokens.get() - 1);
    }

    stage on_;
    const std::uint32_t author_;
    const int tester_ = this_process::parent_pid();
    dice chance_;

 private:
    std::uint32_t delivered_ = 0;
};

/// Waits as threads do.
class thread_actor : actor {
 public:
    using actor::actor;
    void act() {
        while (!is_over()) act_once(chance_.below(15));
    }

 private:
    void act_once(std::uint32_t what) {
        switch (what) {
            case 0:
            case 1:
                if (const auto job = on_.jobs.get_blocking()) finish_job(*job);
                break;
            case 2:
            case 3: deliver(); break;
            case 4: lock(on_.mutex, pair_of::mutex); break;
            case 5: lock(on_.recursive, pair_of::recursive); break;
            case 6: permit(); break;
            case 7: write(); break;
            case 8: read(); break;
            case 9: wait_for_token(); break;
            case 10: meet(); break;
            case 11: exchange_texts(); break;
            case 12: exchange_handles(); break;
            case 13: make_and_drop(); break;
            default: seldom(); break;
        }
    }
    void deliver() {
        if (on_.deliveries.put_blocking(next_delivery(), 20ms)) has_delivered();
    }
    template <class Lock>
    void lock(const Lock& which, pair_of inside) {
        try {
            const auto held = which.lock_blocking();
            work_inside(on_, inside);
        } catch (const owner_died&) {
            auto held = which.lock_to_repair_blocking();
            if (!held.owner_died()) return;
            repair_inside(on_, inside);
            held.make_consistent();
        }
    }
    void permit() {
        try {
            const auto alone = on_.one_at_a_time.scoped_acquire_blocking();
            work_inside(on_, pair_of::semaphore);
        } catch (const owner_died&) {  // the tester repairs it
        }
        try {
            const auto held = on_.at_most.scoped_acquire_blocking();
            try_locks();
        } catch (const owner_died&) {
        }
    }
    void write() { lock(on_.readers_and_writers, pair_of::rw_mutex); }
    void read() {
        try {
            const auto held = on_.readers_and_writers.lock_shared_blocking();
            look_inside(on_, pair_of::rw_mutex);
        } catch (const owner_died&) {
        }
    }
    void wait_for_token() {
        try {
            auto held = on_.tokens_lock.lock_blocking();
            if (chance_.below(2) == 0) return add_token();
            on_.tokens_changed.wait_blocking(held,
                                             [this] { return on_.tokens.get() > 0 || is_over(); });
            take_token();
        } catch (const owner_died&) {
            auto held = on_.tokens_lock.lock_to_repair_blocking();
            held.make_consistent();
        }
    }
    void meet() {
        try {
            (void)on_.two.wait_blocking(300us);
        } catch (const broken_barrier&) {
            on_.two.reset();
        }
        (void)on_.now_and_then.wait_blocking(100us);
    }
    void seldom() {
        if (chance_.below(4) != 0) return try_locks();
        lariat::pipe<shm::value<int>> both;
        both.first.send_blocking(shm::value<int>(12));
        if (chance_.below(2) == 0) {
            const auto got = both.second.recv_blocking();
            expect(got && got->get() == 12, "through a pipe");
        }
        if (chance_.below(4) == 0) process::start(nothing).join_blocking().check();
    }
};

/// Waits as tasks do, and is cancelled now and then.
class task_actor : actor {
 public:
    using actor::actor;
    task<> act() {
        while (!is_over()) {
            co_await act_once(chance_.below(15));
            co_await yield_now();
        }
    }

 private:
    task<> act_once(std::uint32_t what) {
        switch (what) {
            case 0:
            case 1: return work();
            case 2:
            case 3: return deliver();
            case 4: return lock(on_.mutex, pair_of::mutex);
            case 5: return lock(on_.recursive, pair_of::recursive);
            case 6: return permit();
            case 7: return lock(on_.readers_and_writers, pair_of::rw_mutex);
            case 8: return read();
            case 9: return wait_for_token();
            case 10: return meet();
            case 11: exchange_texts(); break;
            case 12: exchange_handles(); break;
            case 13: make_and_drop(); break;
            default: return seldom();
        }
        return yield();
    }
    static task<> yield() { co_await yield_now(); }
    [[nodiscard]] duration short_time() { return std::chrono::microseconds(chance_.below(200)); }

    task<> work() {
        if (chance_.below(2) == 0) {
            auto job = co_await on_.jobs.get();
            if (job) finish_job(*job);
        } else {
            auto waiting = timeout(short_time(), on_.jobs.get());
            auto job = co_await nothrow(std::move(waiting));
            if (job && *job) finish_job(**job);
        }
    }
    task<> deliver() {
        auto waiting = timeout(chance_.below(2) == 0 ? 20ms : short_time(),
                               on_.deliveries.put(next_delivery()));
        const auto done = co_await nothrow(std::move(waiting));
        if (done) has_delivered();
    }
    template <class Lock>
    task<> lock(const Lock& which, pair_of inside) {
        bool died = false;
        try {
            const auto held = co_await which.lock();
            work_inside(on_, inside);
        } catch (const owner_died&) {
            died = true;
        }
        if (!died) co_return;
        auto held = co_await which.lock_to_repair();
        if (!held.owner_died()) co_return;
        repair_inside(on_, inside);
        held.make_consistent();
    }
    task<> permit() {
        try {
            const auto alone = co_await on_.one_at_a_time.scoped_acquire();
            work_inside(on_, pair_of::semaphore);
        } catch (const owner_died&) {  // the tester repairs it
        }
        try {
            auto waiting = timeout(short_time(), on_.at_most.scoped_acquire());
            const auto held = co_await std::move(waiting);
            try_locks();
        } catch (const owner_died&) {
        } catch (const timeout_error&) {
        }
    }
    task<> read() {
        try {
            auto waiting = timeout(short_time(), on_.readers_and_writers.lock_shared());
            const auto held = co_await std::move(waiting);
            look_inside(on_, pair_of::rw_mutex);
        } catch (const owner_died&) {
        } catch (const timeout_error&) {
        }
    }
    task<> wait_for_token() {
        bool died = false;
        try {
            auto held = co_await on_.tokens_lock.lock();
            if (chance_.below(2) == 0) {
                add_token();
                co_return;
            }
            auto there = [this] { return on_.tokens.get() > 0 || is_over(); };
            auto waiting = on_.tokens_changed.wait(held, there);
            co_await std::move(waiting);
            take_token();
        } catch (const owner_died&) {
            died = true;
        }
        if (!died) co_return;
        auto held = co_await on_.tokens_lock.lock_to_repair();
        held.make_consistent();
    }
    task<> meet() {
        auto waiting = timeout(300us, on_.two.wait());
        const auto met = co_await nothrow(std::move(waiting));
        if (!met && met.error() == errc::broken_barrier) on_.two.reset();
        auto pausing = timeout(100us, on_.now_and_then.wait());
        const auto set = co_await nothrow(std::move(pausing));
        (void)set;
    }
    task<> seldom() {
        if (chance_.below(4) != 0) {
            try_locks();
            co_return;
        }
        lariat::pipe<shm::value<int>> both;
        const shm::value<int> twelve(12);
        co_await both.first.send(twelve);
        const auto got = co_await both.second.recv();
        expect(got && got->get() == 12, "through a pipe");
        if (chance_.below(8) == 0) co_await call_pool();
    }
    static task<> call_pool() {
        process_pool pool(1);
        const int four = co_await pool.run(twice, 2);
        expect(four == 4, "from a pool");
        co_await pool.close();
    }
};

}  // namespace

void act_in_thread(stage on, std::uint32_t actor_number, std::uint64_t seed) {
    const auto author = static_cast<std::uint32_t>(actor_number * tasks_a_seat);
    thread_actor(std::move(on), author, seed).act();
}

task<> act_on_loop(stage on, std::uint32_t actor_number, std::uint64_t seed) {
    const auto author = static_cast<std::uint32_t>(actor_number * tasks_a_seat);
    task_actor one(on, author, seed);
    task_actor two(on, author + 1, seed + 1);
    task_actor three(std::move(on), author + 2, seed + 2);
    auto first = one.act();
    auto second = two.act();
    auto third = three.act();
    co_await gather(std::move(first), std::move(second), std::move(third));
}

}  // namespace lariat::test

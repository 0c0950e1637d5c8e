// Managers that die, their users that do, and what is given back.
#include <lariat/process/manager.hpp>

#include "manager_support.hpp"
#include "program.hpp"

#include <lariat/process/pipe.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace lariat::test {

/// Says when it goes.
class tell_tale {
 public:
    explicit tell_tale(shm::event gone) : gone_(std::move(gone)) {}
    tell_tale(const tell_tale&) = delete;
    tell_tale& operator=(const tell_tale&) = delete;
    ~tell_tale() { gone_.set(); }
    void touch() const noexcept {}

 private:
    shm::event gone_;
};

/// What its method is called says nothing about connections.
class turtle {
 public:
    std::uint64_t left(std::uint64_t by) { return at_ += by; }
    /// And its manager with it.
    int halt() { return ::raise(SIGSTOP); }
    [[nodiscard]] std::uint64_t where() const noexcept { return at_; }

 private:
    std::uint64_t at_ = 0;
};

/// Its manager hangs while this is made.
class late_riser {
 public:
    late_riser() { (void)::raise(SIGSTOP); }
    void touch() const noexcept {}
};

}  // namespace lariat::test

namespace {

using namespace lariat;
using namespace lariat::test;

task<std::string> get_one(managed_queue<std::string> from) {
    std::string got;
    try {
        std::optional<std::string> item = co_await from.get();
        got = item.value_or("nothing");
    } catch (const manager_died& error) {
        got = "died of " + std::to_string(error.signal());
    } catch (const closed_error&) {
        got = "closed";
    }
    co_return got;
}

TEST_CASE_FIXTURE(manager_check, "manager: it is killed, and everybody hears of it") {
    run([]() -> task<> {
        manager m = manager::start();
        auto queue = co_await m.make<managed_queue<std::string>>();
        auto first = spawn(get_one(queue));
        auto second = spawn(get_one(queue));
        (void)co_await queue.size();
        ::kill(m.pid(), SIGKILL);
        std::string heard = co_await first;
        CHECK(heard == "died of 9");
        heard = co_await second;
        CHECK(heard == "died of 9");
        int pid = 0;
        try {
            (void)co_await queue.size();
        } catch (const manager_died& error) {
            pid = error.pid();
        }
        CHECK(pid == m.pid());
        CHECK_THROWS_AS((void)co_await m.make<managed_event>(), manager_died);
    }());
}

TEST_CASE_FIXTURE(manager_check, "manager: shut down under those who wait") {
    run([]() -> task<> {
        manager m = manager::start();
        auto queue = co_await m.make<managed_queue<std::string>>();
        auto waiting = spawn(get_one(queue));
        (void)co_await queue.size();
        co_await m.shutdown();
        const std::string heard = co_await waiting;
        CHECK(heard == "closed");
    }());
}

task<> hold_until_killed(managed_mutex lock, managed_semaphore permits, shm::event held) {
    auto guard = co_await lock.lock();
    co_await permits.acquire();
    held.set();
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(manager_check, "manager: what a killed process held is given back") {
    with_manager([](manager& m) -> task<> {
        auto lock = co_await m.make<managed_mutex>();
        auto permits = co_await m.make<managed_semaphore>(1);
        const shm::event held;
        process child = process::start(hold_until_killed, lock, permits, held);
        co_await held.wait();
        auto perhaps = co_await lock.try_lock();
        CHECK(!perhaps);
        bool there = co_await permits.try_acquire();
        CHECK(!there);
        child.kill();
        auto guard = co_await lock.lock();
        CHECK(guard);
        co_await permits.acquire();
        (void)co_await child.join();
    });
}

task<> keep_until_killed(proxy<tell_tale> object, shm::event kept) {
    co_await object.call<&tell_tale::touch>();
    kept.set();
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(manager_check, "manager: the proxies of a killed process count no more") {
    with_manager([](manager& m) -> task<> {
        const shm::event gone;
        const shm::event kept;
        std::optional<proxy<tell_tale>> object = co_await m.make<proxy<tell_tale>>(gone);
        process child = process::start(keep_until_killed, *object, kept);
        co_await kept.wait();
        object.reset();
        auto other = co_await m.make<managed_event>();  // the manager has heard of the reset
        CHECK(!gone.is_set());
        child.kill();
        co_await gone.wait();
        (void)co_await child.join();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a proxy that is lost on its way gives its object back") {
    with_manager([](manager& m) -> task<> {
        const shm::event gone;
        {
            lariat::pipe<proxy<tell_tale>> way(pipe_mode::one_way);
            auto object = co_await m.make<proxy<tell_tale>>(gone);
            co_await way.second.send(object);
        }
        co_await gone.wait();
    });
}

const role owns_manager("owns manager", [] {
    start_fork_server();
    run([]() -> task<> {
        manager m = manager::start();
        auto queue = co_await m.make<managed_queue<std::string>>();
        say("manager " + std::to_string(m.pid()));
        (void)co_await queue.get();
    }());
    return 0;
});

TEST_CASE("manager: it goes when the process that started it is killed") {
    program owner("owns manager");
    const std::string line = owner.line();
    const int pid = std::stoi(line.substr(line.find(' ')));
    CHECK(is_there(pid));
    owner.kill(SIGKILL);
    CHECK(goes(pid));
}

TEST_CASE_FIXTURE(manager_check, "manager: it hangs, and what it does too late is undone") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>();
        auto lock = co_await m.make<managed_mutex>();
        co_await queue.put(1);
        ::kill(m.pid(), SIGSTOP);
        tick_count time;
        auto take = [](managed_queue<int> from) -> task<bool> {
            bool cut = false;
            try {
                (void)co_await timeout(5ms, from.get_nowait());
            } catch (const timeout_error&) {
                cut = true;
            }
            co_return cut;
        };
        auto hold = [](managed_mutex which) -> task<bool> {
            bool cut = false;
            try {
                auto guard = co_await timeout(5ms, which.try_lock());
            } catch (const timeout_error&) {
                cut = true;
            }
            co_return cut;
        };
        auto both = co_await gather(take(queue), hold(lock));
        CHECK(std::get<0>(both));
        CHECK(std::get<1>(both));
        CHECK(time.ticks() < 90);
        co_await time.stop();
        ::kill(m.pid(), SIGCONT);
        const std::optional<int> item = co_await queue.get();
        CHECK(item == 1);
        auto guard = co_await lock.lock();
        CHECK(guard);
    });
}

task<> hold_beside(managed_mutex lock, proxy<turtle> beside, shm::event ready) {
    auto guard = co_await lock.lock();
    (void)co_await beside.call<&turtle::where>();
    ready.set();
    co_await sleep(1h);
}

TEST_CASE_FIXTURE(manager_check, "manager: a user's method is not called for its name") {
    with_manager([](manager& m) -> task<> {
        auto lock = co_await m.make<managed_mutex>();
        auto slow = co_await m.make<proxy<turtle>>();
        shm::event ready;
        process child = process::start(&hold_beside, lock, slow, ready);
        co_await ready.wait();
        child.kill();
        (void)co_await child.join();
        auto guard = co_await lock.lock();  // the manager has seen the connection's end
        const std::uint64_t where = co_await slow.call<&turtle::where>();
        CHECK(where == 0);
    });
}

/// Whether a wait that is cut soon was.
template <class Operation>
task<bool> was_cut(Operation operation) {
    bool cut = false;
    try {
        (void)co_await timeout(5ms, std::move(operation));
    } catch (const timeout_error&) {
        cut = true;
    }
    co_return cut;
}
template <class Operation>
task<bool> put_was_cut(Operation operation) {
    bool cut = false;
    try {
        co_await timeout(5ms, std::move(operation));
    } catch (const timeout_error&) {
        cut = true;
    }
    co_return cut;
}

TEST_CASE_FIXTURE(manager_check, "manager: it hangs, and what was withdrawn is never begun") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>();
        ::kill(m.pid(), SIGSTOP);
        auto all = co_await gather(was_cut(m.make_named<managed_mutex>("lock")),
                                   put_was_cut(queue.put_nowait(1)), put_was_cut(queue.put(2)));
        ::kill(m.pid(), SIGCONT);
        CHECK(std::get<0>(all));
        CHECK(std::get<1>(all));
        CHECK(std::get<2>(all));
        const std::size_t items = co_await queue.size();
        CHECK(items == 0);
        auto lock = co_await m.make_named<managed_mutex>("lock");
        CHECK(lock);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: what was withdrawn behind one that took long, too") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>();
        auto halts = co_await m.make<proxy<turtle>>();
        auto both =
            co_await gather(was_cut(halts.call<&turtle::halt>()), put_was_cut(queue.put_nowait(1)));
        CHECK(std::get<0>(both));
        CHECK(std::get<1>(both));
        std::optional<std::size_t> items;
        while (!items) {
            ::kill(m.pid(), SIGCONT);  // it may be that slow to halt
            try {
                const std::size_t size = co_await timeout(50ms, queue.size());
                items = size;
            } catch (const timeout_error&) {
            }
        }
        CHECK(items == std::size_t{0});
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: the name of what was made too late is given up") {
    with_manager([](manager& m) -> task<> {
        auto kept = co_await m.make_named<managed_mutex>("kept");
        const bool cut = co_await was_cut(m.make_named<proxy<late_riser>>("late"));
        CHECK(cut);
        managed_mutex lock;
        for (int turn = 0; turn < 5000 && !lock; ++turn) {
            ::kill(m.pid(), SIGCONT);
            try {
                lock = co_await m.make_named<managed_mutex>("late");
            } catch (const std::invalid_argument&) {  // the late answer is on its way
            }
            co_await sleep(1ms);
        }
        CHECK(lock);
        auto found = co_await m.get<managed_mutex>("kept");
        CHECK(found == kept);
    });
}

}  // namespace

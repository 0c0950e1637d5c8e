#include <lariat/process/arena.hpp>

#include "process/arena_memory.hpp"
#include "process/slots.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace lariat::detail;

struct counter {
    guarded guard;
    std::atomic<std::uint64_t> first{0};
    std::atomic<std::uint64_t> second{0};
    std::atomic<std::uint32_t> third{0};
};
constexpr cell_kind counter_kind{"counter", +[](void* body) noexcept -> guarded* {
                                     return &static_cast<counter*>(body)->guard;
                                 }};
constexpr cell_kind other_kind{"something else"};

/// How often a sweep came by, in all and while the arena was held once.
struct visits {
    int all = 0;
    int in_one_hold = 0;
    int most_in_one_hold = 0;
};
constinit visits visited;
constexpr cell_kind visited_kind{
    "visited", nullptr,
    +[](void*, owner_id) noexcept {
        ++visited.all;
        ++visited.in_one_hold;
        visited.most_in_one_hold = std::max(visited.most_in_one_hold, visited.in_one_hold);
    },
    +[](void* body, owner_id) noexcept { return static_cast<counter*>(body)->first != 0; }};
/// No change is open where the arena's lock was just taken, or is about to be given up.
void watch_holds() noexcept {
    if (arena().guard.changes.load() == 0) visited.in_one_hold = 0;
}

bool same(const lariat::arena_stats& a, const lariat::arena_stats& b) {
    return a.cells == b.cells && a.references == b.references && a.processes == b.processes;
}

/// A member of the family for the length of a test, by hand: forked here, swept here.
class member {
 public:
    explicit member(const std::function<void()>& body) : owner_(open_slot()) {
        REQUIRE(owner_ != nobody);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            enter_slot(owner_);
            body();
            ::_exit(0);
        }
        set_pid(owner_, pid_);
    }
    /// Returns how it ended: 0, or the signal.
    int swept() {
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, 0) == pid_);
        sweep_process(owner_);
        return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }

 private:
    owner_id owner_;
    pid_t pid_ = 0;
};

constinit int steps_left = 0;
void kill_at_step() noexcept {
    if (--steps_left == 0) ::raise(SIGKILL);
}

/// Runs `body` in members of the family that are killed at its first step, its second, ... until
/// one comes to its end; returns how many were killed. After each, `check`.
int kill_at_every_step(const std::function<void()>& body, const std::function<void()>& check) {
    for (int step = 1;; ++step) {
        member victim([&] {
            steps_left = step;
            between_steps.store(&kill_at_step);
            body();
        });
        const int ended = victim.swept();
        check();
        if (ended == 0) return step - 1;
        REQUIRE(ended == SIGKILL);
    }
}

}  // namespace

TEST_CASE("arena: an object goes with its last handle, and its memory is used again") {
    const auto before = lariat::shared_memory_stats();
    std::uintptr_t address = 0;
    {
        const cell_ref made = make_cell<counter>(counter_kind);
        address = reinterpret_cast<std::uintptr_t>(&made.body<counter>());
        const cell_ref copy = made;  // NOLINT(performance-unnecessary-copy-initialization)
        CHECK(copy == made);
        CHECK(lariat::shared_memory_stats().cells == before.cells + 1);
        CHECK(lariat::shared_memory_stats().references == before.references + 1);
        made.body<counter>().first = 7;
    }
    CHECK(same(lariat::shared_memory_stats(), before));
    const cell_ref again = make_cell<counter>(counter_kind);
    CHECK(reinterpret_cast<std::uintptr_t>(&again.body<counter>()) == address);
    CHECK(again.body<counter>().first == 0);
}

TEST_CASE("arena: a reference under way keeps its object until it is taken or dropped") {
    const auto before = lariat::shared_memory_stats();
    transit_ref message;
    {
        const cell_ref made = make_cell<counter>(counter_kind);
        made.body<counter>().first = 41;
        message = made.share();
    }
    CHECK(lariat::shared_memory_stats().cells == before.cells + 1);
    {
        const cell_ref taken = cell_ref::take(std::move(message), counter_kind);
        CHECK(taken.body<counter>().first == 41);
        message = taken.share();
        const cell_ref second = cell_ref::take(std::move(message), counter_kind);
        CHECK(second == taken);
        CHECK(lariat::shared_memory_stats().references == before.references + 1);
        message = taken.share();
    }
    message = transit_ref();
    CHECK(same(lariat::shared_memory_stats(), before));
}

TEST_CASE("arena: what is no reference, or one to another kind, is refused") {
    const cell_ref made = make_cell<counter>(counter_kind);
    CHECK_THROWS_AS((void)cell_ref::take(transit_ref(12345), counter_kind), std::system_error);
    CHECK_THROWS_AS((void)cell_ref::take(made.share(), other_kind), std::system_error);
}

TEST_CASE("arena: what a message held goes with the object that carried it") {
    const auto before = lariat::shared_memory_stats();
    {
        const cell_ref pipe = make_cell<counter>(counter_kind);
        const cell_ref inner = make_cell<counter>(counter_kind);
        transit_ref message = inner.share();
        entrust(message, pipe);
        (void)message.release();
    }
    CHECK(same(lariat::shared_memory_stats(), before));
}

TEST_CASE("arena: objects that lie in one another go in a stack of any size, however deep") {
    const auto before = lariat::shared_memory_stats();
    constexpr int depth = 50'000;
    constexpr rlim_t stack_bytes = 1'000'000;
    for (const bool dies : {false, true}) {
        member child([dies] {
            const rlimit small{stack_bytes, RLIM_INFINITY};
            (void)::setrlimit(RLIMIT_STACK, &small);
            cell_ref outermost = make_cell<counter>(counter_kind);
            for (int i = 0; i < depth; ++i) {
                cell_ref around = make_cell<counter>(counter_kind);
                transit_ref message = outermost.share();
                entrust(message, around);
                (void)message.release();
                outermost = std::move(around);
            }
            if (dies) ::raise(SIGKILL);
        });
        CHECK(child.swept() == (dies ? SIGKILL : 0));
        CHECK(same(lariat::shared_memory_stats(), before));
    }
}

constinit std::uint64_t last_promised = 0;
constinit int times_promised = 0;
void watch_promises() noexcept {
    const std::uint64_t now = arena().committed.load();
    if (now != last_promised) ++times_promised;
    last_promised = now;
}

TEST_CASE("arena: while a large object's memory is promised, others get theirs") {
    const auto before = lariat::shared_memory_stats();
    {
        constexpr std::size_t bytes = 40'000'000;
        last_promised = arena().committed.load();
        between_steps.store(&watch_promises);
        const cell_ref large = make_cell_with(other_kind, bytes, [](void*, void*) {}, nullptr);
        between_steps.store(nullptr);
        CHECK(times_promised > 10);  // a piece each, between which the arena's lock is free
        CHECK(lariat::shared_memory_stats().used_bytes >= bytes);
    }
    const auto used = lariat::shared_memory_stats().used_bytes;
    const cell_ref again = make_cell_with(other_kind, 40'000'000, [](void*, void*) {}, nullptr);
    CHECK(lariat::shared_memory_stats().used_bytes == used);
    CHECK(lariat::shared_memory_stats().cells == before.cells + 1);
}

TEST_CASE("arena: a killed process gives back what it held") {
    const auto before = lariat::shared_memory_stats();
    const cell_ref mine = make_cell<counter>(counter_kind);
    transit_ref arguments = mine.share();
    const std::uint64_t id = arguments.release();
    member child([&] {
        const cell_ref given = cell_ref::take(transit_ref(id), counter_kind);
        const cell_ref own = make_cell<counter>(counter_kind);
        given.body<counter>().first = 1;
        ::raise(SIGKILL);
    });
    CHECK(child.swept() == SIGKILL);
    CHECK(mine.body<counter>().first == 1);
    CHECK(lariat::shared_memory_stats().cells == before.cells + 1);
    CHECK(lariat::shared_memory_stats().references == before.references + 1);
}

TEST_CASE("arena: killed at any step, a process leaves no object and no reference") {
    const cell_ref carrier = make_cell<counter>(counter_kind);
    const auto before = lariat::shared_memory_stats();
    const int killed = kill_at_every_step(
        [&] {
            cell_ref own = make_cell<counter>(counter_kind);
            const cell_ref large =
                make_cell_with(other_kind, 3'000'000, [](void*, void*) {}, nullptr);
            transit_ref innermost = make_cell<counter>(counter_kind).share();
            entrust(innermost, large);
            (void)innermost.release();
            transit_ref first = own.share();
            own = cell_ref();
            own = cell_ref::take(std::move(first), counter_kind);
            transit_ref second = own.share();
            transit_ref nested = large.share();
            entrust(nested, own);
            (void)nested.release();
        },
        [&] { CHECK(same(lariat::shared_memory_stats(), before)); });
    CHECK(killed > 100);
}

TEST_CASE("transaction: killed at any step, it happened all or not at all") {
    const cell_ref shared = make_cell<counter>(counter_kind);
    auto& body = shared.body<counter>();
    int happened = 0;
    const int killed = kill_at_every_step(
        [&] {
            transaction change(body.guard);
            change.set(body.first, body.first + 1);
            change.set(body.second, body.second + 2);
            change.set(body.third, body.third + 3);
            change.commit();
        },
        [&] {
            // The test's process sweeps, so it need not wait for the lock.
            body.guard.recover(body.guard.lock.holder());
            if (body.first == 1) ++happened;
            CHECK(body.second == body.first * 2);
            CHECK(body.third == body.first * 3);
            body.first = 0;
            body.second = 0;
            body.third = 0;
        });
    CHECK(killed == 8);
    CHECK(happened >= 2);  // killed after the commit, and not killed
}

TEST_CASE("transaction: one that is not committed is undone") {
    const cell_ref shared = make_cell<counter>(counter_kind);
    auto& body = shared.body<counter>();
    {
        transaction change(body.guard);
        change.set(body.first, 5);
        change.set(body.first, 6);
    }
    CHECK(body.first == 0);
    CHECK(body.guard.lock.holder() == nobody);
}

TEST_CASE("robust lock: one at a time, also between processes") {
    const cell_ref shared = make_cell<counter>(counter_kind);
    auto& body = shared.body<counter>();
    constexpr int each = 20'000;
    const auto work = [&] {
        for (int i = 0; i < each; ++i) {
            transaction change(body.guard);
            change.set(body.first, body.first + 1);
            change.set(body.third, body.third + 1);
            change.commit();
        }
    };
    std::vector<member> members;
    for (int i = 0; i < 4; ++i) members.emplace_back(work);
    for (member& each_member : members) CHECK(each_member.swept() == 0);
    CHECK(body.first == 4 * each);
    CHECK(body.third == 4 * each);
}

TEST_CASE("robust lock: without a sweeper, who waits finds out that the holder is dead") {
    const cell_ref shared = make_cell<counter>(counter_kind);
    auto& body = shared.body<counter>();
    member holder([&] {
        transaction change(body.guard);
        change.set(body.first, 9);
        ::raise(SIGKILL);
    });
    while (body.guard.lock.holder() == nobody) ::sched_yield();
    {
        transaction change(body.guard);  // not swept yet: the dead child is a zombie
        CHECK(body.first == 0);
        change.commit();
    }
    CHECK(holder.swept() == SIGKILL);
}

TEST_CASE("arena: the end of a process visits what it could use, one object at a time") {
    const auto before = lariat::shared_memory_stats();
    {
        std::vector<cell_ref> others;
        for (int i = 0; i < 1'000; ++i) others.push_back(make_cell<counter>(visited_kind));
        constexpr int given = 50;
        std::vector<std::uint64_t> names;
        for (std::size_t i = 0; i < given; ++i) names.push_back(others[i].share().release());
        member child([&] {
            forget_local_cells();  // they are the parent's
            std::vector<cell_ref> taken;
            for (const std::uint64_t name : names)
                taken.push_back(cell_ref::take(transit_ref(name), visited_kind));
            ::raise(SIGKILL);
        });
        visited = visits();
        between_steps.store(&watch_holds);
        CHECK(child.swept() == SIGKILL);
        between_steps.store(nullptr);
        CHECK(visited.all == given);
        CHECK(visited.most_in_one_hold == 1);
        CHECK(lariat::shared_memory_stats().references == before.references + 1'000);
    }
    CHECK(same(lariat::shared_memory_stats(), before));
}

TEST_CASE("arena: what a process keeps in an object without a handle is found at its end") {
    const auto before = lariat::shared_memory_stats();
    {
        const cell_ref mine = make_cell<counter>(visited_kind);
        const cell_ref other = make_cell<counter>(visited_kind);
        const std::uint64_t name = mine.share().release();
        const std::uint64_t unused = other.share().release();
        member child([&] {
            forget_local_cells();
            {
                const cell_ref kept = cell_ref::take(transit_ref(name), visited_kind);
                const cell_ref looked_at = cell_ref::take(transit_ref(unused), visited_kind);
                kept.body<counter>().first = 1;
            }
            ::raise(SIGKILL);
        });
        visited = visits();
        CHECK(child.swept() == SIGKILL);
        CHECK(visited.all == 1);
        // It is on the list until it goes, for whoever keeps something in it next.
        member next([] { ::raise(SIGKILL); });
        CHECK(next.swept() == SIGKILL);
        CHECK(visited.all == 2);
    }
    visited = visits();
    member last([] { ::raise(SIGKILL); });
    CHECK(last.swept() == SIGKILL);
    CHECK(visited.all == 0);
    CHECK(same(lariat::shared_memory_stats(), before));
}

TEST_CASE("arena: killed at any step while an object is left or goes, nothing stays") {
    const auto before = lariat::shared_memory_stats();
    const int killed = kill_at_every_step(
        [&] {
            const cell_ref one = make_cell<counter>(visited_kind);
            transit_ref second = one.share();
            one.body<counter>().first = 1;
            second = transit_ref();  // not the last reference: it becomes loose
            const cell_ref other = make_cell<counter>(visited_kind);
        },
        [&] { CHECK(same(lariat::shared_memory_stats(), before)); });
    CHECK(killed > 50);
    visited = visits();
    member last([] { ::raise(SIGKILL); });
    CHECK(last.swept() == SIGKILL);
    CHECK(visited.all == 0);
}

TEST_CASE("arena: used up, it refuses by name and goes on") {
    const auto before = lariat::shared_memory_stats();
    CHECK_THROWS_AS((void)make_cell_with(
                        other_kind, before.capacity_bytes * 2, [](void*, void*) {}, nullptr),
                    std::system_error);
    // Smaller than all of it, but not than what is left: no memory is promised in vain.
    CHECK_THROWS_AS(
        (void)make_cell_with(
            other_kind, before.capacity_bytes - sizeof(cell), [](void*, void*) {}, nullptr),
        std::system_error);
    CHECK(lariat::shared_memory_stats().used_bytes == before.used_bytes);
    CHECK(same(lariat::shared_memory_stats(), before));
    const cell_ref made = make_cell<counter>(counter_kind);
    CHECK(lariat::shared_memory_stats().cells == before.cells + 1);
}

TEST_CASE("arena: a child forked by hand is told that it is no member") {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        try {
            (void)make_cell<counter>(counter_kind);
            ::_exit(1);
        } catch (const std::logic_error& refused) {
            const std::string words = refused.what();
            ::_exit(words.find("forked by hand") == std::string::npos ? 2 : 0);
        }
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
}

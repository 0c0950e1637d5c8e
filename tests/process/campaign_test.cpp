// Processes that are killed at random moments while they do everything at once. By number of kills
// (LARIAT_TEST_KILLS) and seed (LARIAT_TEST_SEED), which a failure names.
#include "campaign_support.hpp"

#include "family_support.hpp"
#include "killed.hpp"
#include "program.hpp"

#include <lariat/process/arena.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using namespace lariat::test;

constexpr std::uint32_t kills_a_round = 25;

std::size_t entries(const std::string& folder) {
    std::error_code none;
    const std::filesystem::directory_iterator all(folder, none);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void be_busy(duration time) {
    const time_point end = clock::now() + time;
    while (clock::now() < end) {
    }
}

/// The processes of one round, and whom they deliver to.
class round {
 public:
    round(std::uint64_t seed, int server) : chance_(seed), server_(server) {}

    void play() {
        for (std::size_t seat = 0; seat < seats; ++seat) take_seat(seat);
        for (std::uint32_t i = 0; i < kills_a_round; ++i) kill_one();
        come_to_an_end();
        check_jobs();
        check_deliveries();
        check_locks();
    }

 private:
    void take_seat(std::size_t seat) {
        const auto number = actors_++;
        const std::uint64_t seed = chance_();
        switch (chance_.below(16)) {
            case 0: sitting_[seat] = process::spawn_fresh(act_on_loop, on_, number, seed); break;
            case 1: sitting_[seat] = process::spawn_fresh(act_in_thread, on_, number, seed); break;
            default:
                sitting_[seat] = number % 2 == 0 ? process::start(act_on_loop, on_, number, seed)
                                                 : process::start(act_in_thread, on_, number, seed);
        }
    }

    void kill_one() {
        for (int i = 0; i < 3 && jobs_ < most_jobs; ++i)
            if (on_.jobs.try_put(jobs_)) ++jobs_;
        take_deliveries();
        be_busy(std::chrono::microseconds(chance_.below(300)));
        const std::size_t seat = chance_.below(seats);
        sitting_[seat].kill();
        await_end(seat);
        const process_status status = *sitting_[seat].exit_status();
        check_end(status, SIGKILL);
        (void)on_.at_most.repair();
        repair_pair_of_semaphore();
        give_token();
        take_seat(seat);
    }
    void check_end(const process_status& status, int signal) {
        const auto failed = status.exception();
        const std::string text(failed ? failed->text : std::string_view());
        CHECK_MESSAGE(!failed, text);
        if (!failed) CHECK(status.signal() == signal);
    }
    void await_end(std::size_t seat) {
        std::array<int, seats + 1> family{};
        for (std::size_t i = 0; i < seats; ++i)
            family[i] = sitting_[i].is_alive() ? sitting_[i].pid() : 0;
        family[seats] = server_;
        const bool ended = ends(sitting_[seat], family);
        REQUIRE_MESSAGE(ended, "process ", sitting_[seat].pid(), " hangs");
    }

    // Nobody gets in before this: what the dead has left is still there.
    void repair_pair_of_semaphore() {
        if (on_.one_at_a_time.available() != 0) return;
        try {
            if (on_.one_at_a_time.try_acquire()) on_.one_at_a_time.release();
        } catch (const owner_died&) {
            repair_inside(on_, pair_of::semaphore);
            (void)on_.one_at_a_time.repair();
        }
    }
    void give_token() {
        auto held = on_.tokens_lock.lock_to_repair_blocking();
        if (held.owner_died()) held.make_consistent();
        on_.tokens.set(on_.tokens.get() + 1);
        on_.tokens_changed.notify();
    }

    void take_deliveries() {
        while (const auto got = on_.deliveries.try_get()) {
            REQUIRE(got->author < arrived_.size());
            CHECK_MESSAGE(got->number == arrived_[got->author], "delivery of ", got->author);
            ++arrived_[got->author];
            on_.deliveries.task_done();
        }
    }

    void come_to_an_end() {
        {
            auto held = on_.tokens_lock.lock_to_repair_blocking();
            if (held.owner_died()) held.make_consistent();
            on_.over.set(1);
            on_.tokens_changed.notify_all();
        }
        on_.jobs.close();
        for (std::size_t seat = 0; seat < seats; ++seat) {
            await_end(seat);
            check_end(*sitting_[seat].exit_status(), 0);
        }
        take_deliveries();
    }

    // A job is done once, or was in the hands of one that was killed: each had as many as it has
    // tasks.
    void check_jobs() {
        while (const auto job = on_.jobs.try_get()) {
            on_.jobs_done.fetch_add(*job, 1);
            on_.jobs.task_done();
        }
        std::uint32_t missing = 0;
        for (std::uint32_t job = 0; job < jobs_; ++job) {
            const std::uint32_t times = on_.jobs_done.get(job);
            CHECK_MESSAGE(times <= 1, "job ", job, " was done ", times, " times");
            missing += times == 0 ? 1 : 0;
        }
        const auto stats = on_.jobs.stats();
        CHECK(stats.put == jobs_);
        CHECK(stats.size == 0);
        CHECK(stats.unfinished == 0);
        CHECK(missing <= stats.lost);
        CHECK(stats.lost <= kills_a_round * tasks_a_seat);
        CHECK(on_.jobs.join_blocking(1s));
    }
    // Who put one and was killed before it noted that has put one more.
    void check_deliveries() {
        for (std::uint32_t author = 0; author < arrived_.size(); ++author) {
            const std::uint32_t noted = on_.delivered.get(author);
            CHECK_MESSAGE((arrived_[author] == noted || arrived_[author] == noted + 1), "author ",
                          author, ": ", arrived_[author], " of ", noted);
        }
        CHECK(on_.deliveries.stats().unfinished == 0);
    }
    void check_locks() {
        look_after(on_.mutex, pair_of::mutex);
        look_after(on_.recursive, pair_of::recursive);
        look_after(on_.readers_and_writers, pair_of::rw_mutex);
        repair_pair_of_semaphore();
        look_inside(on_, pair_of::semaphore);
        (void)on_.at_most.repair();
        CHECK(on_.one_at_a_time.available() == 1);
        CHECK(on_.at_most.available() == permits);
        while (const auto text = on_.texts.try_get()) check_text(*text);
        while (const auto handle = on_.handles.try_get()) CHECK(handle->get() == 4711);
    }
    template <class Lock>
    void look_after(const Lock& which, pair_of inside) {
        auto held = which.lock_to_repair_blocking();
        if (held.owner_died()) {
            repair_inside(on_, inside);
            held.make_consistent();
        }
        look_inside(on_, inside);
    }

    stage on_;
    dice chance_;
    const int server_;
    std::uint32_t actors_ = 0;
    std::uint32_t jobs_ = 0;
    std::array<process, seats> sitting_;
    std::array<std::uint32_t, most_actors * tasks_a_seat> arrived_{};
};

/// What the system keeps for a family.
struct kept_by_system {
    std::size_t processes = 1;
    std::size_t server_descriptors = 0;
    std::size_t own_descriptors = 0;
    std::size_t in_shared_folder = 0;  ///< where shared memory with a name would lie
    std::string children;              ///< of the fork server, zombies among them

    [[nodiscard]] static kept_by_system now(int server) {
        kept_by_system seen;
        seen.processes = shared_memory_stats().processes;
        seen.server_descriptors = entries("/proc/" + std::to_string(server) + "/fd");
        seen.own_descriptors = entries("/proc/self/fd");
        seen.in_shared_folder = entries("/dev/shm");
        seen.children = children_of(server);
        return seen;
    }
    bool operator==(const kept_by_system&) const = default;
};

/// The fork server closes what it has of a process after it has told its end; and children's
/// children end by themselves.
bool comes_to_be(const kept_by_system& wanted, int server) {
    const time_point end = clock::now() + 5s;
    while (kept_by_system::now(server) != wanted) {
        if (clock::now() > end) return false;
        be_busy(200us);
    }
    return true;
}

TEST_CASE("campaign: processes are killed at random moments under load") {
    const std::uint64_t kills = asked_for("LARIAT_TEST_KILLS", usual_kills);
    const std::uint64_t seed = asked_for("LARIAT_TEST_SEED", 20261121);
    const int server = fork_server();
    process::start(nothing).join_blocking().check();
    kept_by_system before = kept_by_system::now(server);
    before.children.clear();
    before.processes = 1;
    const auto at_rest = [&] {  // nobody but us and the fork server
        const kept_by_system now = kept_by_system::now(server);
        before.server_descriptors = now.server_descriptors;
        return now.children.empty() && now.processes == 1;
    };
    while (!at_rest()) be_busy(1ms);
    be_busy(20ms);
    (void)at_rest();
    dice seeds(seed);
    for (std::uint64_t done = 0; done < kills; done += kills_a_round) {
        const std::uint64_t own_seed = seeds();
        CAPTURE(seed);
        CAPTURE(done);
        const family_check nothing_is_left;
        {
            round now(own_seed, server);
            now.play();
        }
        const bool all_gone = comes_to_be(before, server);
        REQUIRE(all_gone);
    }
}

}  // namespace

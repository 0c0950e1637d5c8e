// Random submits, cancels and shutdowns on small pools, by loops and plain threads at once: nothing
// runs twice, nothing is lost, nothing that was taken back runs.
#include <lariat/offload/thread_pool.hpp>

#include "leak_check.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/offload/offload.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>

#include "driver/random.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using detail::random_source;
using lariat::test::leak_check;
using lariat::test::long_tests;

/// One piece of work, and what became of it as its asker heard.
struct piece {
    enum class heard : std::uint8_t { nothing, value, taken_back, closed, refused, given_up };
    std::atomic<int> runs{0};
    heard end = heard::nothing;
};

/// One run: a pool and who uses it.
struct world {
    world(std::uint64_t seed, const thread_pool_options& options) : random(seed), pool(options) {}

    piece& new_piece() { return pieces.emplace_back(); }

    random_source random;
    std::deque<piece> pieces;  // of the loop's thread
    thread_pool pool;
};

thread_pool_options options_of(random_source& random) {
    thread_pool_options options;
    options.most_threads = 1 + random.below(3);
    options.most_queued = random.below(4);
    options.idle_after = random.below(4) == 0 ? duration::zero() : duration(std::chrono::hours(1));
    return options;
}

/// Hears how an await of work ended.
template <class Awaitable>
task<> hear(piece& of, Awaitable work) {
    try {
        co_await std::move(work);
        of.end = piece::heard::value;
    } catch (const closed_error&) {
        of.end = piece::heard::closed;
    } catch (const task_cancelled&) {
        of.end = piece::heard::taken_back;
    } catch (const cancelled&) {
        of.end = piece::heard::given_up;
        throw;
    }
}

task<> by_run(world& w) {
    piece& mine = w.new_piece();
    co_await hear(mine, w.pool.run([&mine] { ++mine.runs; }));
}

task<> by_offload(world& w) {
    piece& mine = w.new_piece();
    auto offloaded = [&] {
        const use_pool chosen(w.pool);
        return offload(abandon_on_cancel, [&mine] { ++mine.runs; });
    };
    auto waits = offloaded();
    co_await hear(mine, std::move(waits));
}

task<> by_submit(world& w) {
    piece& mine = w.new_piece();
    const bool cancels = w.random.below(3) == 0;
    pool_future<> work;
    try {
        work = co_await w.pool.submit([&mine] { ++mine.runs; });
    } catch (const closed_error&) {
        mine.end = piece::heard::refused;
        co_return;
    } catch (const cancelled&) {
        mine.end = piece::heard::taken_back;
        throw;
    }
    mine.end = piece::heard::given_up;  // unless it is awaited
    if (cancels) {
        co_await yield_now();
        (void)work.cancel();
    }
    co_await hear(mine, std::move(work));
}

task<> by_try(world& w) {
    piece& mine = w.new_piece();
    std::optional<pool_future<>> work;
    try {
        work = w.pool.try_submit([&mine] { ++mine.runs; });
    } catch (const closed_error&) {
    }
    if (!work) {
        mine.end = piece::heard::refused;
        co_return;
    }
    mine.end = piece::heard::given_up;  // unless it is awaited
    co_await hear(mine, std::move(*work));
}

task<> by_map(world& w) {
    piece& mine = w.new_piece();
    auto count = [&mine](int) { ++mine.runs; };
    co_await hear(mine, w.pool.map(std::views::iota(0, 5), count));
    if (mine.end == piece::heard::value) {
        CHECK(mine.runs.load() == 5);
        mine.runs = 1;  // all of them are one to the model
    }
}

/// What must be true of a piece when all has ended. A map, and work that was given up while it may
/// have run, may have run or not; `value` and what was taken back are exact.
bool is_right(const piece& of) {
    switch (of.end) {
        case piece::heard::value: return of.runs.load() == 1;
        case piece::heard::taken_back:
        case piece::heard::refused: return of.runs.load() == 0;
        case piece::heard::closed:
        case piece::heard::given_up: return of.runs.load() <= 5;
        case piece::heard::nothing:
            return of.runs.load() == 0;  // its task was cancelled before it began
    }
    return false;
}

task<> on_the_loop(world& w) {
    std::vector<join_handle<>> all;
    const std::size_t many = 3 + w.random.below(8);
    const std::size_t closes_at = w.random.below(2 * many);
    std::optional<join_handle<>> ends;
    for (std::size_t i = 0; i < many; ++i) {
        if (i == closes_at) {
            ends = spawn(w.pool.shutdown(w.random.below(2) == 0 ? pool_shutdown::finish
                                                                : pool_shutdown::cancel_queued));
        }
        switch (w.random.below(5)) {
            case 0: all.push_back(spawn(by_run, std::ref(w))); break;
            case 1: all.push_back(spawn(by_offload, std::ref(w))); break;
            case 2: all.push_back(spawn(by_submit, std::ref(w))); break;
            case 3: all.push_back(spawn(by_try, std::ref(w))); break;
            default: all.push_back(spawn(by_map, std::ref(w)));
        }
        if (w.random.below(2) == 0) co_await yield_now();
        if (w.random.below(3) == 0) all[w.random.below(all.size())].cancel();
    }
    for (join_handle<>& each : all) {
        try {
            co_await each;
        } catch (const task_cancelled&) {
        }
    }
    if (ends) co_await *ends;
}

/// A plain thread beside the loop.
void on_a_thread(thread_pool& pool, std::latch& both, int& asked, std::atomic<int>& ran, int& got) {
    both.arrive_and_wait();
    try {
        for (int i = 0; i < 3; ++i) {
            auto work = pool.submit_blocking([&ran] { ++ran; });
            ++asked;
            work.get_blocking();
            ++got;
        }
    } catch (const closed_error&) {
    }
}

TEST_CASE_FIXTURE(leak_check, "thread_pool: random use loses nothing and doubles nothing") {
    const std::uint64_t runs = long_tests() ? 50'000 : 10'000;
    loop own;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
        random_source dice(seed);
        const thread_pool_options options = options_of(dice);
        world w(seed, options);
        const bool threaded = dice.below(4) == 0;
        std::latch both(2);
        int asked = 0;
        int got = 0;
        std::atomic<int> ran = 0;
        std::thread beside;
        if (threaded) {
            beside = std::thread([&] { on_a_thread(w.pool, both, asked, ran, got); });
            both.arrive_and_wait();
        }
        own.run(on_the_loop(w));
        if (threaded) beside.join();
        w.pool.shutdown_blocking();
        const thread_pool_stats last = w.pool.stats();
        INFO("seed ", seed);
        CHECK(last.threads == 0);
        CHECK(last.running + last.queued + last.waiting == 0);
        CHECK(last.submitted == last.ended + last.taken_back);
        CHECK(got == ran.load());
        CHECK(asked - got <= 1);
        for (const piece& each : w.pieces) CHECK(is_right(each));
    }
}

}  // namespace

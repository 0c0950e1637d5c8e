// No wait of a primitive allocates, neither from the heap nor a frame: a waiter lies in the frame
// that waits. Two tasks go through some rounds; what is taken in the middle ones is counted.
#include "heap_fault.hpp"
#include "test_loop.hpp"

#include <lariat/base/frame_allocator.hpp>
#include <lariat/sync/auto_reset_event.hpp>
#include <lariat/sync/barrier.hpp>
#include <lariat/sync/channel.hpp>
#include <lariat/sync/condition.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/sync/mutex.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/sync/recursive_mutex.hpp>
#include <lariat/sync/rw_mutex.hpp>
#include <lariat/sync/select.hpp>
#include <lariat/sync/semaphore.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <utility>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::test_loop;

constexpr int rounds = 50;

/// What is taken from the tenth round to the fortieth, of the heap and of frames.
class window {
 public:
    void round(int which) noexcept {
        if (which == 10) {
            blocks_ = lariat::test::blocks_taken();
            (void)fail_frame_after(many);
        } else if (which == 40) {
            blocks_ = lariat::test::blocks_taken() - blocks_;
            frames_ = many - fail_frame_after(0);
        }
    }
    void check() const {
        CHECK(blocks_ == 0);
        CHECK(frames_ == 0);
    }

 private:
    static constexpr std::size_t many = 1'000'000;
    std::size_t blocks_ = 0;
    std::size_t frames_ = many;
};

template <class First, class Second>
void check_rounds(test_loop& loop, First first, Second second) {
    window seen;
    loop.run([&]() -> task<> {
        auto both = gather(first(seen), second());
        co_await std::move(both);
    });
    seen.check();
}

/// Two tasks that take the same lock, and wait for it in turn.
template <class Lock>
void check_lock(test_loop& loop) {
    Lock door;
    auto enter = [&](window* seen) -> task<> {
        for (int i = 0; i < rounds; ++i) {
            if (seen != nullptr) seen->round(i);
            const auto inside = co_await door.lock();
            co_await yield_now();
        }
    };
    check_rounds(loop, [&](window& seen) { return enter(&seen); }, [&] { return enter(nullptr); });
}

TEST_CASE_FIXTURE(test_loop, "waits: for locks, permits and rounds they allocate nothing") {
    check_lock<mutex>(*this);
    check_lock<recursive_mutex>(*this);
    check_lock<rw_mutex>(*this);
    semaphore permits(1);
    auto acquire = [&](window* seen) -> task<> {
        for (int i = 0; i < rounds; ++i) {
            if (seen != nullptr) seen->round(i);
            co_await permits.acquire();
            co_await yield_now();
            permits.release();
        }
    };
    check_rounds(
        *this, [&](window& seen) { return acquire(&seen); }, [&] { return acquire(nullptr); });
    barrier both(2);
    auto arrive = [&](window* seen) -> task<> {
        for (int i = 0; i < rounds; ++i) {
            if (seen != nullptr) seen->round(i);
            (void)co_await both.wait();
        }
    };
    check_rounds(
        *this, [&](window& seen) { return arrive(&seen); }, [&] { return arrive(nullptr); });
}

TEST_CASE_FIXTURE(test_loop, "waits: for events and conditions they allocate nothing") {
    auto_reset_event ping;
    event pong;
    check_rounds(
        *this,
        [&](window& seen) -> task<> {
            for (int i = 0; i < rounds; ++i) {
                seen.round(i);
                ping.set();
                co_await pong.wait();
                pong.clear();
            }
        },
        [&]() -> task<> {
            for (int i = 0; i < rounds; ++i) {
                co_await ping.wait();
                pong.set();
            }
        });
    mutex door;
    condition changed;
    int value = 0;
    check_rounds(
        *this,
        [&](window& seen) -> task<> {
            for (int i = 0; i < rounds; ++i) {
                seen.round(i);
                auto inside = co_await door.lock();
                while (value == i) co_await changed.wait(inside);
            }
        },
        [&]() -> task<> {
            for (int i = 0; i < rounds; ++i) {
                co_await yield_now();
                const auto inside = co_await door.lock();
                ++value;
                changed.notify();
            }
        });
}

TEST_CASE_FIXTURE(test_loop, "waits: for items they allocate nothing, in a timeout or a select") {
    for (const std::size_t room : {std::size_t{1}, std::size_t{3}}) {
        queue<int> way(room);
        check_rounds(
            *this,
            [&](window& seen) -> task<> {
                for (int i = 0; i < rounds; ++i) {
                    seen.round(i);
                    co_await way.put(i);
                }
            },
            [&]() -> task<> {
                for (int i = 0; i < rounds; ++i) {
                    const auto item = co_await timeout(1s, way.get());
                    CHECK(item == i);
                }
            });
    }
    channel<int> meeting(0);
    event never;
    check_rounds(
        *this,
        [&](window& seen) -> task<> {
            for (int i = 0; i < rounds; ++i) {
                seen.round(i);
                co_await meeting.send(i);
            }
        },
        [&]() -> task<> {
            for (int i = 0; i < rounds; ++i) {
                const auto got = co_await select(meeting.receive(), never.wait(), after(1s));
                CHECK(got.index == 0);
            }
        });
}

}  // namespace

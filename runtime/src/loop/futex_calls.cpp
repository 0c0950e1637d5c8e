#include "loop/futex_calls.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>

#include <sys/syscall.h>
#include <unistd.h>

namespace lariat::detail {

static_assert(sizeof(futex_word) == 4 && futex_word::is_always_lock_free);

namespace {

int outcome(long result) noexcept { return result < 0 ? -errno : static_cast<int>(result); }

}  // namespace

futex_deadline::futex_deadline(time_point until) noexcept : none_(until == forever) {
    // The kernel takes no time before the clock's beginning.
    const duration since = std::max(until.time_since_epoch(), duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
    time_.tv_sec = seconds.count();
    time_.tv_nsec = (since - seconds).count();
}

int futex_sleep(const futex_word& word, std::uint32_t expected, std::uint32_t bits,
                time_point until) noexcept {
    const futex_deadline deadline(until);
    return outcome(
        ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, deadline.get(), nullptr, bits));
}

void futex_wake_bits(const futex_word& word, std::uint32_t bits) noexcept {
    (void)::syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, INT_MAX, nullptr, nullptr, bits);
}

int futex_sleep_any(const ::futex_waitv* words, std::size_t count, time_point until) noexcept {
    const futex_deadline deadline(until);
    return outcome(::syscall(SYS_futex_waitv, words, static_cast<unsigned>(count), 0U,
                             deadline.get(), CLOCK_MONOTONIC));
}

bool has_futex_waitv() noexcept {
    // Of nothing: EINVAL where it is known.
    return futex_sleep_any(nullptr, 0, forever) == -EINVAL;
}

int futex_wake(const futex_word& word, int count) noexcept {
    return std::max(outcome(::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0)),
                    0);
}

futex_end futex_wait_blocking(const futex_word& word, std::uint32_t expected,
                              time_point deadline) noexcept {
    for (;;) {
        const int result = futex_sleep(word, expected, futex_plain_bits, deadline);
        if (result == 0) return futex_end::woken;
        if (result == -ETIMEDOUT) return futex_end::timed_out;
        if (result == -EINTR) continue;
        require(result == -EAGAIN, "a word that is waited for lies in memory that stays mapped");
        const bool late = deadline != forever && clock::now() >= deadline;
        return late ? futex_end::timed_out : futex_end::changed;
    }
}

}  // namespace lariat::detail

#include "shared/futex.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// The address of the plain word that the kernel looks at.
const std::uint32_t* plain(const std::atomic<std::uint32_t>& word) noexcept {
    return reinterpret_cast<const std::uint32_t*>(&word);
}

timespec to_timespec(time_point until) noexcept {
    using namespace std::chrono;
    // The kernel refuses a time before zero; that one has passed as well.
    const auto since = std::max(until.time_since_epoch(), duration::zero());
    const auto whole = duration_cast<seconds>(since);
    timespec time{};
    time.tv_sec = static_cast<std::time_t>(whole.count());
    time.tv_nsec = static_cast<long>(duration_cast<nanoseconds>(since - whole).count());
    return time;
}

}  // namespace

bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point until) noexcept {
    // WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC unless told otherwise (futex(2)).
    const timespec deadline = to_timespec(until);
    const timespec* const limit = until == forever ? nullptr : &deadline;
    const long waited = ::syscall(SYS_futex, plain(word), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                                  expected, limit, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (waited == 0) return true;
    if (errno == ETIMEDOUT) return false;
    require(errno == EAGAIN || errno == EINTR, "the kernel refuses to let a thread wait: futex(2)");
    return true;
}

void futex_wake_one(const std::atomic<std::uint32_t>& word) noexcept {
    // EFAULT, when the page is gone as well, is as good as nobody to wake.
    (void)::syscall(SYS_futex, plain(word), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

}  // namespace lariat::detail

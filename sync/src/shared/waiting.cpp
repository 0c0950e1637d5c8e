#include <lariat/sync/shared/waiting.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/loop/loop.hpp>

#include "shared/futex.hpp"

#include <cstdio>
#include <cstdlib>

namespace lariat::detail {

void loop_wait::set_out() noexcept {
    home_ = this_scheduler;
    box_ = &loop::current().box();
}

void loop_wait::come_back() noexcept {
    if (this_scheduler == home_) {
        wake();
        return;
    }
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> box = *box_;
    const bool taken = box->post(*this);
    require(taken, "a loop was closed while a task of its waited");
}

void loop_wait::arrived(posted& message, end how) {
    if (how == end::call) static_cast<loop_wait&>(message).wake();
}

bool thread_wait::sleep(time_point until) noexcept {
    std::uint32_t now = is_awake;
    // Acquires, as the load below, what was done before wake().
    if (!state_.compare_exchange_strong(now, is_asleep, std::memory_order_acquire,
                                        std::memory_order_acquire) &&
        now == is_over) {
        return true;
    }
    bool in_time = true;
    while (in_time && state_.load(std::memory_order_acquire) != is_over)
        in_time = futex_wait(state_, is_asleep, until);
    return in_time || state_.load(std::memory_order_acquire) == is_over;
}

void thread_wait::wake() noexcept {
    // From the exchange on the thread may be gone, and its stack with it: only the address is used.
    const std::atomic<std::uint32_t>& address = state_;
    if (state_.exchange(is_over, std::memory_order_release) == is_asleep) futex_wake_one(address);
}

void require_no_loop(const char* verb, const char* instead, std::source_location where) noexcept {
    if (this_scheduler == nullptr) [[likely]]
        return;
    std::fprintf(stderr,
                 "lariat: %s:%u: broken rule: %s is for threads without a loop; here it would stop "
                 "all tasks of the loop that runs on this thread.\n"
                 "  wrong: x.%s()\n"
                 "  right: %s\n",
                 where.file_name(), static_cast<unsigned>(where.line()), verb, verb, instead);
    std::abort();
}

}  // namespace lariat::detail

#include "driver/uring/uring_driver.hpp"

#include "driver/file_ops.hpp"
#include "driver/would_block.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

/// The kernel had no memory for a request: what waits may give some back, and spinning would not.
constexpr std::chrono::milliseconds refusal_pause{1};
/// Emulated receives armed again in one turn after a shortage; see buffer_ring::servings.
constexpr std::uint32_t emulated_servings = 64;

/// For what may be refused, reads and writes aside.
uring_feature needed_by(op_code code) noexcept {
    switch (code) {
        case op_code::truncate: return uring_feature::truncate;
        case op_code::futex_wait: return uring_feature::futex;
        default: return uring_feature::file_operations;
    }
}

int make_wake_fd() {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw std::system_error(errno, std::system_category(), "eventfd");
    return fd;
}

}  // namespace

uring_driver::uring_driver(const driver_options& options, const uring_seam& seam)
    : ring_(options, seam), buffers_(ring_, options), lender_(options), wake_fd_(make_wake_fd()) {
    style_.multishot_accept = ring_.has(uring_feature::multishot_accept);
    style_.multishot_recv = buffers_.registered();
    if (seam.drop_more_seed != 0) early_end_.emplace(seam.drop_more_seed);
}

uring_driver::~uring_driver() {
    if (!home_.at_home()) {  // the parent's ring lives on and must not hear of this
        buffers_.abandon();
        ring_.abandon();
        return;
    }
    require(submitted_ == completed_, "a driver is destroyed only when nothing is in flight");
    require(leases() == 0, "a driver is destroyed only when every lent buffer was given back");
}

bool uring_driver::submit(op& operation) noexcept {
    home_.require_home();
    require(stage_of(operation) == idle, "an op is submitted once, until its last completion");
    ++submitted_;
    operation.state = idle;
    if (may_be_refused(operation) && finish_unqueued(operation)) [[unlikely]] {
        ++completed_;
        return true;
    }
    start(operation);
    return false;
}

/// At once, without an entry: what is in memory, and what this kernel's rings do not do.
bool uring_driver::finish_unqueued(op& operation) noexcept {
    const bool moves = operation.code == op_code::read || operation.code == op_code::write;
    int result = read_cached(operation);
    if (!moves && !ring_.has(needed_by(operation.code))) result = -EOPNOTSUPP;
    if (result == would_block) return false;
    operation.result = result;
    operation.more = false;
    operation.lent = 0;
    return true;
}

void uring_driver::start(op& operation) noexcept {
    uring_stage first = issued;
    if (operation.multishot && operation.code == op_code::recv) {
        // With the kernel's buffers this also stocks them, before it looks for one.
        if (!style_.multishot_recv || buffers_.servings() == 0) first = polling;
    }
    start(operation, first);
}

void uring_driver::start(op& operation, uring_stage stage) noexcept {
    set_stage(operation, stage);
    // Behind those that wait already: order is kept.
    io_uring_sqe* entry = backlog_.empty() ? next_entry() : nullptr;
    if (entry != nullptr) [[likely]] {
        write_entry(*entry, operation);
    } else {
        set_mark(operation, unqueued);
        backlog_.push_back(operation);
    }
}

io_uring_sqe* uring_driver::next_entry() noexcept {
    io_uring_sqe* entry = ring_.next_entry();
    if (entry != nullptr) [[likely]]
        return entry;
    ring_.submit();  // refused: the queue stays full, and the caller waits for the next turn
    return ring_.next_entry();
}

void uring_driver::write_entry(io_uring_sqe& entry, op& operation) noexcept {
    if (stage_of(operation) == polling)
        prepare_readiness(entry, operation);
    else
        prepare_op(entry, operation, style_);
    entry.user_data = user_data_of(operation);
}

void uring_driver::write_cancel(io_uring_sqe& entry, const op& operation) noexcept {
    entry.opcode = IORING_OP_ASYNC_CANCEL;
    entry.fd = -1;
    entry.addr = user_data_of(operation);
    entry.user_data = cancel_tag;
    if (ring_.skips_success()) entry.flags = IOSQE_CQE_SKIP_SUCCESS;
}

void uring_driver::cancel(op& operation) noexcept {
    home_.require_home();
    if (stage_of(operation) == idle || is_marked(operation, cancelling)) return;
    set_mark(operation, cancelling);
    if (stage_of(operation) == finished) return;
    if (stage_of(operation) == starved) {
        starved_.remove(operation);
        finish_soon(operation);
    } else if (is_marked(operation, unqueued)) {
        backlog_.remove(operation);
        clear_mark(operation, unqueued);
        finish_soon(operation);
    } else if (io_uring_sqe* entry = cancels_.empty() ? next_entry() : nullptr) {
        write_cancel(*entry, operation);
    } else {
        set_mark(operation, cancel_unqueued);
        cancels_.push_back(operation);
    }
}

void uring_driver::finish_soon(op& operation) noexcept {
    set_stage(operation, finished);
    finished_.push_back(operation);
}

void uring_driver::starve(op& operation) noexcept {
    ++starvations_;
    if (style_.multishot_recv) buffers_.ran_out();
    set_stage(operation, starved);
    starved_.push_back(operation);
}

std::uint32_t uring_driver::servings() noexcept {
    if (style_.multishot_recv) return buffers_.servings();
    return lender_.room().bytes != 0 ? emulated_servings : 0;
}

/// For a recv(2) of our own. While the kernel has buffers to fill, others come to it.
lent_space uring_driver::room() noexcept {
    return style_.multishot_recv ? lender_.spare_room() : lender_.room();
}

std::uint64_t uring_driver::leases() const noexcept {
    return lender_.leases() + (style_.multishot_recv ? buffers_.leases() : 0);
}

void uring_driver::give_back(std::uint32_t lent) noexcept {
    home_.require_home();
    // The next turn feeds whoever starves.
    if (style_.multishot_recv && !spare_blocks::names(lent)) [[likely]]
        buffers_.give_back(lent);
    else
        static_cast<void>(lender_.give_back(lent));
}

void uring_driver::poll(time_point until) {
    home_.require_home();
    if (until <= time_point()) until = no_wait;  // before the clock began; the kernel takes no such
    bool refused = false;
    for (;;) {
        restock();
        const int code = enter(until, refused);
        if (reap() != 0 || until == no_wait) return;
        if (until != forever && now() >= until) return;
        refused = code == -EAGAIN || code == -EBUSY;
    }
}

/// One kernel entry, or none when it would bring nothing.
int uring_driver::enter(time_point until, bool refused) noexcept {
    if (ring_.overflowed()) [[unlikely]]
        ++overflows_;
    const bool feed_more = !starved_.empty() && servings() != 0;
    const bool wait =
        until != no_wait && finished_.empty() && !feed_more && !ring_.completions_ready();
    if (wait && refused) [[unlikely]]
        return ring_.reap_only(std::min(until, saturating_add(now(), refusal_pause)));
    if (!wait && ring_.unsubmitted() == 0 && !ring_.kernel_holds_completions()) return 0;
    return ring_.submit_and_reap(wait ? until : no_wait);
}

/// Gives entries to all that wait for one: cancellations first, they make room.
void uring_driver::restock() noexcept {
    if (!wake_armed_) [[unlikely]]
        wake_armed_ = arm_wake();
    while (!cancels_.empty()) {
        io_uring_sqe* entry = next_entry();
        if (entry == nullptr) return;
        op& operation = cancels_.pop_front();
        clear_mark(operation, cancel_unqueued);
        write_cancel(*entry, operation);
    }
    while (!backlog_.empty()) {
        io_uring_sqe* entry = next_entry();
        if (entry == nullptr) return;
        op& operation = backlog_.pop_front();
        clear_mark(operation, unqueued);
        write_entry(*entry, operation);
    }
    if (!starved_.empty()) [[unlikely]]
        feed_starved();
}

/// As many as there are buffers for: the rest would only find that there is none. One that found
/// none twice in a row gets on with a spare block, however fast others take what comes back.
void uring_driver::feed_starved() noexcept {
    std::uint32_t left = servings();
    const bool held = left == 0;
    for (op_list waiting = starved_.take(); !waiting.empty();) {
        op& operation = waiting.pop_front();
        const bool again = is_marked(operation, in_need);
        if ((held || again) && room().bytes != 0) {
            start(operation, polling);
        } else if (left != 0) {
            --left;
            set_mark(operation, in_need);
            start(operation);
        } else {
            starved_.push_back(operation);
        }
    }
}

/// One multishot poll for the life of the ring. The eventfd is never read while it is armed: each
/// write is an event of its own, and its counter lasts for 2^64 of them.
bool uring_driver::arm_wake() noexcept {
    io_uring_sqe* entry = next_entry();
    if (entry == nullptr) return false;
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = wake_fd_.get();
    entry->len = IORING_POLL_ADD_MULTI;  // 5.13
    entry->poll32_events = POLLIN;
    entry->user_data = wake_tag;
    return true;
}

void uring_driver::wake() noexcept {
    home_.require_home();
    // Pairs with the exchange in on_wake: whoever finds it set was early enough to be seen there.
    if (wake_pending_.exchange(true, std::memory_order_acq_rel)) return;
    const int kept = errno;  // a signal handler's caller has its own
    const std::uint64_t one = 1;
    // It cannot fail: the counter is far from full.
    [[maybe_unused]] const auto written = ::write(wake_fd_.get(), &one, sizeof one);
    errno = kept;
}

driver_stats uring_driver::stats() const noexcept {
    driver_stats counters;
    counters.backend = backend::uring;
    counters.in_flight = submitted_ - completed_;
    counters.submitted = submitted_;
    counters.completed = completed_;
    counters.kernel_entries = ring_.entries_made();
    counters.lent = leases();
    counters.spare = lender_.spares_lent();
    counters.starved = starvations_ + lender_.spares();
    counters.overflows = overflows_;
    return counters;
}

}  // namespace lariat::detail

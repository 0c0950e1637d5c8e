#include "driver/uring/uring_driver.hpp"

#include "driver/file_ops.hpp"
#include "driver/uring/abi.hpp"
#include "driver/would_block.hpp"

#include <algorithm>
#include <cerrno>

#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

/// EAGAIN comes for descriptors with O_NONBLOCK, depending on the kernel and the kind of file.
bool waits_for_readiness(const op& operation, std::int32_t result) noexcept {
    if (is_file_op(operation)) return false;
    switch (operation.code) {
        case op_code::nop:
        case op_code::poll:
        case op_code::close:
        case op_code::futex_wait: return false;
        case op_code::connect:
            // Under way; EAGAIN says the same, or that a unix socket's queue is full, which no
            // readiness tells of: the second time it is the answer.
            return result == -EINPROGRESS || result == -EALREADY ||
                   (result == -EAGAIN && !is_marked(operation, tried_again));
        default: return result == -EAGAIN && !never_waits(operation);
    }
}

/// EINTR, in whichever of the kernel's words for it.
bool is_interruption(std::int32_t result) noexcept {
    return result == -EINTR || result == -abi::restart_sys || result == -abi::restart_no_intr ||
           result == -abi::restart_no_handler || result == -abi::restart_restart_block;
}

/// What a cancelled op's refusal means: nothing happened. EINTR is what a worker thread of the
/// kernel means when it is interrupted to cancel; EINPROGRESS never reached the caller as
/// success.
std::int32_t final_result(const op& operation, std::int32_t refusal) noexcept {
    const std::int32_t result = is_interruption(refusal) ? -EINTR : refusal;
    if (operation.code == op_code::close && result == -EINTR) return 0;  // it is gone: close(2)
    if (operation.code == op_code::connect && result == -EISCONN &&
        is_marked(operation, tried_again))
        return 0;
    const bool nothing_happened = result == -EAGAIN || result == -EINTR || result == -ENOBUFS ||
                                  result == -EINPROGRESS || result == -EALREADY;
    return is_marked(operation, cancelling) && nothing_happened ? -ECANCELED : result;
}

}  // namespace

/// Calls what completed, up to what is there now: completions called may queue more for the next
/// turn, and cannot keep this one from ending. Returns how many events there were.
unsigned uring_driver::reap() noexcept {
    unsigned events = 0;
    for (op_list ended = finished_.take(); !ended.empty();) {
        events += deliver(ended.pop_front(), -ECANCELED, false);
    }
    const std::uint32_t tail = ring_.completion_tail();
    ring::completion done{};
    while (ring_.take_completion(tail, done)) {
        if (done.user_data == wake_tag)
            events += on_wake(done.flags);
        else if (done.user_data != cancel_tag)
            events += on_completion(*reinterpret_cast<op*>(done.user_data), done);
    }
    return events;
}

unsigned uring_driver::on_wake(std::uint32_t flags) noexcept {
    if ((flags & IORING_CQE_F_MORE) == 0) {
        // What is left in the counter would wake the poll that is armed next. It is read before the
        // flag is cleared, so that no write of a later wake is taken.
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = ::read(wake_fd_.get(), &count, sizeof count);
        wake_armed_ = false;
    }
    // Pairs with the exchange in wake: what was done before it is seen after this.
    wake_pending_.exchange(false, std::memory_order_acq_rel);
    return 1;
}

unsigned uring_driver::on_completion(op& operation, const ring::completion& done) noexcept {
    const bool more = (done.flags & IORING_CQE_F_MORE) != 0;
    if (!more && is_marked(operation, cancel_unqueued)) [[unlikely]] {
        cancels_.remove(operation);
        clear_mark(operation, cancel_unqueued);
    }
    if (stage_of(operation) == polling && done.result >= 0) return on_ready(operation);
    if (done.result < 0 && !more) return on_failure(operation, done.result);
    if (operation.multishot) return on_multishot(operation, done);
    return deliver(operation, done.result, false);
}

/// A refusal that the caller need not know of leads to another try.
unsigned uring_driver::on_failure(op& operation, std::int32_t result) noexcept {
    if (stage_of(operation) == issued && !is_marked(operation, cancelling)) {
        if (waits_for_readiness(operation, result)) {
            set_mark(operation, tried_again);
            start(operation, polling);
            return 0;
        }
        if (result == -ENOBUFS && operation.multishot && operation.code == op_code::recv) {
            starve(operation);
            return 0;
        }
        if (result == -EOPNOTSUPP && operation.code == op_code::write && !is_file_op(operation) &&
            !is_marked(operation, tried_again)) {
            style_.quiet_writes = false;  // RWF_NOSIGNAL is not known here
            set_mark(operation, tried_again);
            start(operation, issued);
            return 0;
        }
    }
    return deliver(operation, final_result(operation, result), false);
}

unsigned uring_driver::on_ready(op& operation) noexcept {
    if (is_marked(operation, cancelling)) return deliver(operation, -ECANCELED, false);
    if (operation.multishot && operation.code == op_code::recv) {
        // Buffers are back, or it only had to wait as O_NONBLOCK demands.
        const bool stocked = style_.multishot_recv && buffers_.servings() != 0;
        if (!stocked || is_marked(operation, in_need)) return receive_ready(operation);
    }
    start(operation, issued);
    return 0;
}

/// Emulated multishot recv: the memory is taken only now that there are bytes for it.
unsigned uring_driver::receive_ready(op& operation) noexcept {
    const lent_space into = room();
    if (into.bytes == 0) {
        starve(operation);
        return 0;
    }
    const auto got = ::recv(operation.fd, into.at, into.bytes,
                            static_cast<int>(operation.argument) | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        start(operation, polling);
        return 0;
    }
    if (got <= 0) return deliver(operation, got < 0 ? -errno : 0, false);
    const lent_piece piece = lender_.lend(into, static_cast<std::uint32_t>(got));
    clear_mark(operation, in_need);
    start(operation);  // before the call: it may cancel
    return deliver(operation, static_cast<std::int32_t>(got), true, piece);
}

unsigned uring_driver::on_multishot(op& operation, const ring::completion& done) noexcept {
    bool more = (done.flags & IORING_CQE_F_MORE) != 0;
    lent_piece piece;
    if ((done.flags & IORING_CQE_F_BUFFER) != 0) {
        const auto bytes = static_cast<std::uint32_t>(std::max(done.result, 0));
        piece = buffers_.filled(static_cast<std::uint16_t>(done.flags >> IORING_CQE_BUFFER_SHIFT),
                                bytes);
        clear_mark(operation, in_need);
    }
    if (operation.code == op_code::accept && !style_.multishot_accept &&
        !is_marked(operation, cancelling)) {
        start(operation, issued);  // before the call: it may cancel
        more = true;
    }
    return deliver(operation, done.result, more, piece);
}

unsigned uring_driver::deliver(op& operation, std::int32_t result, bool more,
                               lent_piece piece) noexcept {
    if (early_end_.has_value() && operation.multishot) [[unlikely]]
        return deliver_early_end(operation, result, more, piece);
    return hand_over(operation, result, more, piece);
}

unsigned uring_driver::deliver_early_end(op& operation, std::int32_t result, bool more,
                                         lent_piece piece) noexcept {
    unsigned events = 0;
    if (const auto held = early_end_->take(operation)) {
        if (result < 0) return hand_over(operation, held->result, false, held->piece);
        events = hand_over(operation, held->result, true, held->piece);
        if (!more) return events + hand_over(operation, result, false, piece);
        early_end_->hold(operation, {result, piece});
        return events;
    }
    if (!more || !early_end_->strikes()) return hand_over(operation, result, more, piece);
    early_end_->hold(operation, {result, piece});
    cancel(operation);
    return events;
}

unsigned uring_driver::hand_over(op& operation, std::int32_t result, bool more,
                                 lent_piece piece) noexcept {
    operation.result = result;
    operation.more = more;
    operation.lent = piece.name;
    if (piece.name != 0) operation.address = piece.address;
    if (!more) {
        operation.state = idle;
        ++completed_;
    }
    operation.complete(operation);  // it may be gone now
    return 1;
}

}  // namespace lariat::detail

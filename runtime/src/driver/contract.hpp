#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include <concepts>
#include <cstdint>

namespace lariat::detail {

/// The contract of a driver, kept by uring, epoll and sim, and tested by one suite on all three.
///
/// submit(op)      Starts it. True: it has finished already, `result` is set and `complete` is not
///                 called. False: `complete` is called later, from `poll` and from nowhere else.
///                 Never fails: a refusal is a result. The op's descriptor may be blocking or not.
/// cancel(op)      Asks that it end soon. It still completes through `complete`, with what
///                 happened: -ECANCELED (nothing happened) or its own result. One not in flight:
///                 nothing.
/// poll(until)     One turn: hands everything submitted to the kernel and waits until something
///                 completed, `wake` was called, or `until` has come (`no_wait`: does not wait;
///                 `forever`); a wake may be reported once more. Calls `complete` for what
///                 completed; a completion may submit and cancel, and an op that completed for the
///                 last time may be freed inside it. At most one kernel entry, unless a queue was
///                 full.
/// wake()          Any thread: the present or next `poll` returns. Coalesced; safe in a signal
///                 handler.
/// give_back(lent) Returns a lent buffer. Order is free.
/// stats()         Counters; `in_flight` counts submitted ops without their last completion.
/// now()           The clock that `poll` obeys: CLOCK_MONOTONIC, virtual under sim.
///
/// Order           Completions come in the order in which the kernel reported them. Of several ops
///                 that wait on the same side of one descriptor, any may be served first:
///                 io_uring's waiters are no queue. So a stream has one receive and one send in
///                 flight.
/// Cancel race     The op's own completion decides; a multishot op that is cancelled may complete
///                 with data first and -ECANCELED after.
/// Close           `close` is submitted only when no other op is in flight on the descriptor. A
///                 descriptor that any op but `poll` has named is closed by `close` and by nothing
///                 else: drivers keep account of it. One that `poll` alone has named is foreign,
///                 and its owner may close it unseen while nothing waits on it.
/// Multishot       A refusal may come as submit's true, with `more` false. While every buffer
///                 is held a receive gets a block of its own; without memory for that it waits for
///                 give_back and is told nothing. `starved` counts both.
/// Flags           MSG_DONTWAIT: -EAGAIN instead of a wait; of an accept under io_uring before
///                 Linux 6.10 -EINVAL, and it took none. SIGPIPE is not raised (a `write` to a
///                 pipe before Linux 6.18 may raise it under io_uring).
/// Files           What asks a file system (file_ops.hpp) may block where it is done, and waits for
///                 no readiness. A driver that cannot do it beside its loop answers -EOPNOTSUPP, at
///                 once, as submit's true: the caller does the same on another thread. So what a
///                 driver can do costs no eighth call, and may differ from one op to the next. A
///                 small read of what is in memory is done by every driver of a kernel, at once.
///                 Drivers keep no account of a descriptor for them: one that nothing else has
///                 named may be closed by anyone.
/// Futex           Waits for a FUTEX_WAKE by any thread of any process that maps the word; one wake
///                 ends one wait, and -ECANCELED has taken none. The word stays mapped until the
///                 poll after submit has returned. Refused as what is asked of files is.
/// Connect         A Unix listener whose queue is full may answer -EAGAIN: nothing tells when there
///                 is room.
/// Destruction     Only with in_flight == 0 and nothing lent; asserted.
template <class Driver>
concept driver_contract = requires(Driver driver, const Driver fixed, op& operation,
                                   time_point until, std::uint32_t lent) {
    { driver.submit(operation) } noexcept -> std::same_as<bool>;
    { driver.cancel(operation) } noexcept;
    { driver.poll(until) };
    { driver.wake() } noexcept;
    { driver.give_back(lent) } noexcept;
    { fixed.stats() } noexcept -> std::same_as<driver_stats>;
    { fixed.now() } noexcept -> std::same_as<time_point>;
};

}  // namespace lariat::detail

#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/list.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/net/stream_state.hpp>
#include <lariat/task/timer_queue.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// One listening socket of a loop.
///
/// States       idle -> armed (accept waits) -> idle (pause, error, close); short of descriptors or
///              memory: armed -> resting (timer) -> armed
/// States, life open -> closing -> released, as in stream_state
struct listener_state : io_object, op, timer_entry {
    explicit listener_state(int descriptor, bool shared = false) noexcept;
    ~listener_state();

    void arm() noexcept;
    void pause() noexcept;
    /// Takes what is there after a pause, without waiting: a wake-up meant for whoever waits may
    /// have gone to the accept that was cancelled (accept's are exclusive, and io_uring does not
    /// pass them on), and others that hold the same socket would never hear of that connection.
    void look() noexcept;
    /// Whether everything that the kernel gave has been handed on.
    [[nodiscard]] bool at_rest() const noexcept {
        return !armed && promised == taken_count && nothing_left;
    }
    void close() noexcept;
    /// Somebody may have a connection that waits here already.
    [[nodiscard]] bool has_spare() const noexcept { return !holds_back && promised < taken_count; }
    /// Pre: promised != 0.
    [[nodiscard]] stream_state& take() noexcept;
    /// Accepting pauses for want of memory to use what was accepted: what is taken already waits
    /// too.
    void rest_for_memory() noexcept;
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }

    wait_queue acceptors;
    waiter* last_call = nullptr;  ///< asks for what the kernel had given when accepting stopped
    list<stream_state> taken;     ///< accepted; no task has them yet
    std::size_t taken_count = 0;
    std::size_t promised = 0;  ///< of these, the ones that tasks which are ready will take
    std::int32_t failure = 0;  ///< a negated errno that ended listening
    std::uint32_t refs = 1;
    bool armed = false;
    /// Other processes accept from the same socket, which never blocks. io_uring waits for an
    /// accept exclusively: one waiter is woken, and if that is the ring of a process that was
    /// killed just now, nobody hears of the connection (seen on Linux 6.18). So this one is polled,
    /// which wakes all, and then accepted from until nothing is left.
    const bool shared;
    bool nothing_left = false;     ///< look() said so
    bool last_call_given = false;  ///< what it was woken for: one of the promised
    bool resting = false;
    bool holds_back = false;  ///< while it rests: nobody could use what is taken
    bool closing = false;
    time_point quiet_until = no_wait;  ///< a shortage that goes on was spoken of

 private:
    static void accepted(op& done) noexcept;
    static void rested(timer_entry& due) noexcept;
    static void closed(op& done) noexcept;
    static void loop_closes(io_object& self) noexcept;
    void take_in(const op& done) noexcept;
    void keep(int descriptor) noexcept;
    void hand_out() noexcept;
    void serve_waiting() noexcept;
    void answer_last_call() noexcept;
    void accept_now() noexcept;
    void note_refusal(std::int32_t failed) noexcept;
    [[nodiscard]] bool is_look() const noexcept {
        return op::code == op_code::accept && op::argument != 0;
    }
    void rest(std::int32_t cause) noexcept;
    void close_descriptor() noexcept;
    void finish_close() noexcept;
};

}  // namespace lariat::detail

#pragma once

#include "process/frame_input.hpp"
#include "process/frame_output.hpp"

#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// One end of a message stream: what it has received and what it has yet to send.
///
/// It waits by poll alone and calls recvmsg and sendmsg itself, without a wait: so the memory that
/// the kernel sees is never lent beyond the call, a cancelled verb knows at once what has happened,
/// nothing of the descriptor is left with a driver when it moves to another process, and a thread
/// without a loop does the same.
///
/// States, sending   idle -> armed (the socket is full) -> idle; scheduled: a flush comes up this
///                   turn
/// States, life      open -> closing (close) -> closed (what had begun is out, or cannot go)
/// Invariant 1  the descriptor is closed only when no operation waits on it
/// Invariant 2  this record lives while a handle, a verb, an operation or a flush refers to it
/// Invariant 3  it is attached to a loop only while one of them is under way: between, it may be
///              used on another
struct message_state final : io_object {
    message_state(unique_fd owned, cell_ref carrier_cell) noexcept;
    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        deallocate_frame(memory, size);
    }

    /// A task waits: `waiting` is in its frame. waited() follows.
    [[nodiscard]] bool wait(op& waiting) noexcept;
    void waited() noexcept;
    /// Ends the wait, maybe before this returns. Pre: reading.
    void end_wait() noexcept;

    /// Sends what the socket takes; what is left goes out when it takes more. Pre: a loop runs
    /// here, or `armed`.
    void flush() noexcept;
    /// The same, when what is ready now has run: by then it may be more.
    void flush_later() noexcept;
    /// A loop that ended in the middle of a message left the rest of it: it goes out from here.
    void resume_output() noexcept {
        if (!out.empty() && !armed && !scheduled) [[unlikely]]
            flush();
    }
    /// Takes back what has not begun. Pre: it is queued.
    void take_back(outgoing& item) noexcept;
    /// Why nothing can be sent: 0 if it can.
    [[nodiscard]] std::error_code refusal() const noexcept;
    void fail_output(std::int32_t why) noexcept;

    void close() noexcept;
    void add_ref() noexcept { ++refs; }
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }
    /// No verb, operation or flush is under way.
    [[nodiscard]] bool idle() const noexcept {
        return reading == nullptr && !armed && !scheduled && out.empty() && rooms.empty();
    }

    unique_fd socket;
    cell_ref carrier;  ///< what holds the references that are under way
    frame_input in;
    frame_output out;
    op* reading = nullptr;           ///< in the frame of the task that receives
    list<line_waiter> rooms;         ///< message_room's
    std::int32_t sending_error = 0;  ///< a negated errno that ended sending
    std::uint32_t refs = 1;
    bool armed = false;
    bool scheduled = false;
    bool closing = false;

 private:
    struct write_op : op {
        message_state* of = nullptr;
    };
    struct flush_call : runnable {
        message_state* of = nullptr;
    };

    void send_out() noexcept;
    /// True if it waits.
    [[nodiscard]] bool arm() noexcept;
    void tell_rooms() noexcept;
    void settle() noexcept;
    static void writable(op& done) noexcept;
    static void flush_now(runnable& self) noexcept;
    static void loop_closes(io_object& self) noexcept;

    write_op writing_;
    flush_call flusher_;
    bool abandoned_ = false;  // its loop has closed
};

}  // namespace lariat::detail

#pragma once

#include <lariat/base/list.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/process/pool_call.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/timer_queue.hpp>

#include "process/pool_board.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lariat::detail {

class process_pool_core;

/// One worker, as its pool sees it: what was sent there, in a process that may be gone at any
/// moment.
///
/// Invariant 1  `calls` are those with a slot of the board, in the order of sending
/// Invariant 2  `plain` of them are functions, `plain_bytes` their arguments
struct pool_worker {
    /// Starts the process. Errors: those of process::start.
    pool_worker(process_pool_core& of, std::size_t place);
    pool_worker(const pool_worker&) = delete;
    pool_worker& operator=(const pool_worker&) = delete;
    ~pool_worker();

    /// Whether it takes another call of this kind.
    [[nodiscard]] bool has_room(bool for_task) const noexcept;
    /// Nothing would wait there for a function that runs.
    [[nodiscard]] std::size_t tasks() const noexcept { return size - plain; }

    /// Errors: std::system_error, std::bad_alloc: the call is still the caller's.
    void send(worker_call& call);
    /// What was sent goes out. False if the worker has gone.
    [[nodiscard]] bool flush();
    void cancel(const worker_call& call);
    void stop();
    /// The call is not here any more: its answer came, or it was withdrawn.
    void release(worker_call& call) noexcept;
    /// Whether the call was still there to be taken; then it is released.
    [[nodiscard]] bool withdraw(worker_call& call) noexcept;
    [[nodiscard]] worker_call* find(std::uint32_t slot, std::uint64_t id) const noexcept;

    /// Asks it to end; it is killed after the grace period, or at once.
    void terminate() noexcept;
    /// Kills it, if this call, which was cancelled, is still there after the grace period.
    void kill_unless_ended(worker_call& call) noexcept;
    /// It is well: what it was sent it may begin yet.
    void was_heard() noexcept {
        late = false;
        noted_ = 0;
    }
    /// Each late_after, while it has calls: whether it could have begun one of them and has not.
    void note_delay() noexcept;
    /// Pre: it has ended. Whether it had begun a call at least.
    [[nodiscard]] bool has_begun() noexcept;

    process_pool_core& pool;
    std::size_t place;
    cell_ref board_ref;
    pool_board* board = nullptr;
    message_stream stream;
    process child;
    list<pool_link> calls;
    std::size_t size = 0;
    std::size_t plain = 0;
    std::size_t plain_bytes = 0;
    std::size_t taken = 0;  ///< calls, in all; those that were withdrawn do not count
    bool answered = false;  ///< it has ended a call at least
    bool late = false;      ///< note_delay() found so, and it was not heard of since
    bool stopping = false;  ///< it was told to end
    bool gone = false;      ///< it has ended, or is made to
    int exit_code = 0;      ///< when it has
    std::optional<answer_header> awaited;  ///< its answer is the next message
    std::string last_words;

 private:
    struct timer : timer_entry {
        using timer_entry::timer_entry;
        pool_worker* of = nullptr;
    };
    friend class process_pool_core;

    [[nodiscard]] std::uint32_t take_slot();
    void kill_if_due() noexcept;
    [[nodiscard]] bool calls_a_function() noexcept;

    timer look_;
    timer delay_;
    std::uint64_t noted_ = 0;       // a call that it had not begun: its id, or 0
    std::uint32_t noted_slot_ = 0;  // and its slot
    std::size_t noted_output_ = 0;  // what was on its way there
    timer killer_;
    parcel orders_;
    std::vector<worker_call*> slots_;
    std::vector<std::uint32_t> free_slots_;
};

}  // namespace lariat::detail

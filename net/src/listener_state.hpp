#pragma once

#include <lariat/loop/io.hpp>
#include <lariat/task/timer_queue.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>

namespace lariat::detail {

/// One listening socket of a loop.
///
/// States       idle -> armed (accept waits) -> idle (pause, error, close); short of descriptors:
///              armed -> resting (timer) -> armed
/// States, life open -> closing -> released, as in stream_state
struct listener_state : io_object, op, timer_entry {
    explicit listener_state(int descriptor) noexcept;
    ~listener_state();

    void arm() noexcept;
    void pause() noexcept;
    void close() noexcept;
    /// Pre: promised != 0.
    [[nodiscard]] int take() noexcept;
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }

    wait_queue acceptors;
    std::deque<int> taken;     ///< accepted descriptors that no task has yet
    std::size_t promised = 0;  ///< of these, the ones that tasks which are ready will take
    std::int32_t failure = 0;  ///< a negated errno that ended listening
    std::uint32_t refs = 1;
    bool armed = false;
    bool resting = false;
    bool said_short = false;  ///< of descriptors; said once until it is over
    bool closing = false;

 private:
    static void accepted(op& done) noexcept;
    static void rested(timer_entry& due) noexcept;
    static void closed(op& done) noexcept;
    static void loop_closes(io_object& self) noexcept;
    void take_in(const op& done) noexcept;
    void keep(int descriptor) noexcept;
    void rest(std::int32_t cause) noexcept;
    void close_descriptor() noexcept;
    void finish_close() noexcept;
};

}  // namespace lariat::detail

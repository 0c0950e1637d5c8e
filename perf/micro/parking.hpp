#pragma once

#include <lariat/lariat.hpp>
#include <lariat/task/wait_queue.hpp>

#include <coroutine>

namespace bench {

/// Waits in a line, as every primitive does: what a wait costs without the primitive's own work.
class parked_in : public lariat::line_point {
 public:
    explicit parked_in(lariat::wait_queue& line) : line_point(kind_of_wait), line_(&line) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        line_->add(*this);
        park(party_of(frame), frame);
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static constexpr lariat::wait_kind kind_of_wait{"a benchmark to go on",
                                                    &lariat::wait_queue::leave};

    lariat::wait_queue* line_;
};

}  // namespace bench

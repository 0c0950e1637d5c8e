#pragma once

#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>

namespace lariat::test {

/// The smallest primitive: a line to wait in until somebody wakes the first of it.
class parking {
 public:
    class awaiter : public line_point {
     public:
        explicit awaiter(wait_queue& line) noexcept : line_point(kind_of_wait), line_(&line) {}

        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
            park(party_of(frame), frame);
            line_->add(*this);
        }
        void await_resume() const { throw_if_cut(); }

     private:
        static constexpr wait_kind kind_of_wait{"a place in the test's line", &wait_queue::leave};
        wait_queue* line_;
    };

    [[nodiscard]] awaiter park() noexcept { return awaiter(line_); }
    bool wake_one() noexcept { return line_.wake_one(); }
    std::size_t wake_all() noexcept { return line_.wake_all(); }
    [[nodiscard]] bool empty() const noexcept { return line_.empty(); }

 private:
    wait_queue line_;
};

}  // namespace lariat::test

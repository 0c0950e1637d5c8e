#pragma once

#include "driver/op_list.hpp"

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// Polls that a loop has not handed to its driver, as it looks for their answer itself, awake
/// (brief_spin). To look is to complete one as if it were ready: whoever polls asks the descriptor
/// then, finds it so or polls again. That is one system call a look instead of the two or three
/// that arm a poll and hear of it.
///
/// Lifetime     a poll is here until it is completed, handed over or forgotten
/// Cost         a look asks every one of them, so there are `most`; more go to the driver
class asked_polls {
 public:
    static constexpr std::size_t most = 4;

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool full() const noexcept { return size_ == most; }

    /// Pre: not full().
    void add(op& poll) noexcept {
        polls_.push_back(poll);
        ++size_;
    }
    /// The oldest. Pre: not empty().
    op& take() noexcept {
        --size_;
        return polls_.pop_front();
    }
    /// False if it is not here.
    [[nodiscard]] bool forget(op& poll) noexcept {
        std::size_t left = size_;
        for (op* each = left == 0 ? nullptr : &polls_.front(); left != 0; --left) {
            if (each == &poll) {
                polls_.remove(poll);
                --size_;
                return true;
            }
            each = &op_list::after(*each);
        }
        return false;
    }
    /// Completes each of those that are here now as ready; one that adds itself again waits for the
    /// next look, unless its neighbour was forgotten meanwhile.
    void look() noexcept {
        for (std::size_t left = size_; left != 0 && size_ != 0; --left) {
            op& poll = take();
            poll.result = static_cast<std::int32_t>(poll.argument);
            poll.complete(poll);
        }
    }

 private:
    op_list polls_;
    std::size_t size_ = 0;
};

}  // namespace lariat::detail

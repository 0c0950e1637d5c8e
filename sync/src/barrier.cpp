#include <lariat/sync/barrier.hpp>

#include <exception>

namespace lariat {

bool barrier::awaiter::arrive() noexcept {
    broken_ = barrier_->broken_;
    if (broken_) return false;
    if (barrier_->waiting_ + 1 == barrier_->parties_) {
        index_ = barrier_->waiting_;
        failure_ = barrier_->act();
        if (failure_)
            barrier_->abort();
        else
            barrier_->open();
        return false;
    }
    ++barrier_->waiting_;
    barrier_->line_.add(*this);
    return true;
}

void barrier::awaiter::leave(waiter& w) noexcept {
    --static_cast<awaiter&>(w).barrier_->waiting_;
    wait_queue::leave(w);
}

const wait_kind barrier::awaiter::kind_of_wait{"a barrier", &awaiter::leave};

/// What went wrong in it.
std::exception_ptr barrier::act() const noexcept {
    if (!action_) return nullptr;
    try {
        action_();
        return nullptr;
    } catch (...) {
        return std::current_exception();
    }
}

// Counted now and not on arrival: some may have left from between.
void barrier::open() noexcept {
    for (std::size_t index = 0; !line_.empty(); ++index) {
        static_cast<awaiter&>(line_.front()).index_ = index;
        line_.wake_one();
    }
    waiting_ = 0;
}

void barrier::break_round() noexcept {
    while (!line_.empty()) {
        static_cast<awaiter&>(line_.front()).broken_ = true;
        line_.wake_one();
    }
    waiting_ = 0;
}

void barrier::abort() noexcept {
    broken_ = true;
    break_round();
}

void barrier::reset() noexcept {
    broken_ = false;
    break_round();
}

}  // namespace lariat

#include <lariat/sync/rw_mutex.hpp>

namespace lariat {

void rw_mutex::let_in() noexcept {
    while (!line_.empty() && !writing_) {
        if (static_cast<wait&>(line_.front()).shared_) {
            ++readers_;
        } else {
            if (readers_ != 0) return;
            writing_ = true;
        }
        line_.wake_one();
    }
}

void rw_mutex::wait::leave(waiter& w) noexcept {
    rw_mutex& left = *static_cast<wait&>(w).mutex_;
    wait_queue::leave(w);
    left.let_in();  // a writer at the front may have held up readers
}

const wait_kind rw_mutex::lock_awaiter::kind_of_wait{"an rw_mutex, to write", &wait::leave};
const wait_kind rw_mutex::shared_awaiter::kind_of_wait{"an rw_mutex, to read", &wait::leave};

}  // namespace lariat

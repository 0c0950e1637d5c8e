#include <lariat/sync/semaphore.hpp>

namespace lariat {

void semaphore::serve() noexcept {
    while (!line_.empty()) {
        const std::size_t asked = static_cast<wait&>(line_.front()).count_;
        if (asked > free_) return;
        free_ -= asked;
        line_.wake_one();
    }
}

void semaphore::wait::leave(waiter& w) noexcept {
    semaphore& left = *static_cast<wait&>(w).from_;
    wait_queue::leave(w);
    left.serve();  // one that asked for many may have held up some that ask for few
}

const wait_kind semaphore::wait::kind_of_wait{"a permit of a semaphore", &wait::leave};

}  // namespace lariat

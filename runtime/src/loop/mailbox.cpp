#include <lariat/loop/mailbox.hpp>

#include "driver/driver.hpp"

#include <thread>

namespace lariat {

bool mailbox::post(detail::posted& message) noexcept {
    if (queue_.push(message) == push_outcome::refused) return false;
    // Sequentially consistent, as push is: either the loop sees the message in sleep(), or we see
    // here that it sleeps. A loop that is awake looks by itself before it sleeps.
    if (sleeping_.load(std::memory_order_seq_cst) &&
        sleeping_.exchange(false, std::memory_order_acq_rel)) {
        driver_->wake();
        wakes_paid_.fetch_add(1, std::memory_order_release);  // to the acquire in close
    }
    return true;
}

bool mailbox::sleep() noexcept {
    sleeping_.store(true, std::memory_order_seq_cst);  // pairs with the load in post
    if (queue_.empty()) return true;
    awake();
    return false;
}

void mailbox::awake() noexcept {
    if (!sleeping_.exchange(false, std::memory_order_acq_rel)) ++wakes_owed_;
}

void mailbox::close() noexcept {
    auto left = queue_.close();
    while (!left.empty()) {
        detail::posted& message = left.pop_front();
        message.ended(message, detail::posted::end::drop);
    }
    // The driver may go only when nobody is about to wake it.
    while (wakes_paid_.load(std::memory_order_acquire) != wakes_owed_) std::this_thread::yield();
}

}  // namespace lariat

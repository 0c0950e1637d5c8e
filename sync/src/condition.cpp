#include <lariat/sync/condition.hpp>

namespace lariat {

void condition::notify(std::size_t n) noexcept {
    for (; n != 0 && !line_.empty(); --n) {
        auto& first = static_cast<wait_base&>(line_.front());
        first.unlink();
        first.take_lock();
    }
}

void condition::wait_base::take_lock() noexcept {
    set_kind(kind_of_relock);
    relock_(*this);
}

void condition::wait_base::leave(waiter& w) noexcept {
    auto& self = static_cast<wait_base&>(w);
    self.unlink();
    self.cut_ = true;
    self.take_lock();
}

const wait_kind condition::wait_base::kind_of_wait{"a condition to be notified", &wait_base::leave};
// It has been notified, or cut once already: nothing but the lock ends this.
const wait_kind condition::wait_base::kind_of_relock{"the lock of a condition, to go on",
                                                     [](waiter&) noexcept {}};

}  // namespace lariat

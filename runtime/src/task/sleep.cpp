#include <lariat/task/sleep.hpp>

namespace lariat {

const wait_kind sleep_awaiter::kind_of_wait{"a sleep to end", &sleep_awaiter::leave};

void sleep_awaiter::due(timer_entry& self) noexcept { static_cast<sleep_awaiter&>(self).wake(); }

void sleep_awaiter::leave(waiter& w) noexcept {
    auto& self = static_cast<sleep_awaiter&>(w);
    this_scheduler->timers.disarm(self);
    self.wake(wake_reason::cut);
}

}  // namespace lariat

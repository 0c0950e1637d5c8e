#include <lariat/loop/timer.hpp>

#include <lariat/loop/loop.hpp>

namespace lariat {

timer& timer::operator=(timer&& other) noexcept {
    if (this != &other) {
        cancel();
        action_ = std::move(other.action_);
        length_ = other.length_;
        call_ = std::exchange(other.call_, call_handle());
    }
    return *this;
}

void timer::start() {
    detail::require(action_ != nullptr, "this timer was moved from");
    // The call keeps the function: it may destroy the timer.
    call_handle next = loop::current().call_later(length_, [kept = action_] { kept->call(*kept); });
    call_.cancel();
    call_ = std::move(next);
}

}  // namespace lariat

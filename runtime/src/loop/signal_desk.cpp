#include "loop/signal_desk.hpp"

#include <lariat/base/assert.hpp>

#include "loop/loop_state.hpp"

#include <bit>

namespace lariat::detail {

void signal_desk::need_seat() {
    if (seat_ == nullptr) seat_ = &signal_hub::instance().take_seat(*driver_);
}

std::uint64_t signal_desk::union_of_wanted() noexcept {
    std::uint64_t all = own_;
    for (const signal_subscription& entry : entries_) all |= entry.wanted_;
    return all;
}

void signal_desk::hand_out() noexcept {
    if (seat_ == nullptr) return;
    // Acquires what the handler noted before it set the flag; what it notes from now on sets it
    // anew.
    if (!seat_->news.exchange(false, std::memory_order_acquire)) return;
    const std::uint64_t arrived = seat_->arrived.exchange(0, std::memory_order_relaxed);
    run_asked_ = true;
    if ((arrived & own_) != 0) dump_asked_ = true;
    for (signal_subscription& entry : entries_) entry.receive(arrived);
}

void signal_desk::add(signal_subscription& entry) {
    need_seat();
    hand_out();  // what came before is not for the newcomer
    signal_hub::instance().want(*seat_, union_of_wanted() | entry.wanted_);
    entries_.push_back(entry);
}

void signal_desk::remove(signal_subscription& entry) noexcept {
    entry.unlink();
    if (!guard_.at_home()) return;
    hand_out();  // what nobody wants any more must not wait here for the next who does
    signal_hub::instance().want(*seat_, union_of_wanted());
}

void signal_desk::begin_run(bool interruptible, bool dumps) {
    interrupt_taken_ = false;
    if (!interruptible && !dumps) return;
    signal_hub& hub = signal_hub::instance();
    need_seat();
    if (dumps && hub.is_unhandled(SIGQUIT)) {
        hub.want(*seat_, union_of_wanted() | signal_bit(SIGQUIT));
        own_ = signal_bit(SIGQUIT);
    }
    interruptible_ = interruptible && hub.begin_interruptible(*seat_);
}

void signal_desk::end_run() noexcept {
    if (!guard_.at_home()) return;
    signal_hub& hub = signal_hub::instance();
    if (std::exchange(interruptible_, false)) hub.end_interruptible();
    if (std::exchange(own_, 0) != 0) hub.want(*seat_, union_of_wanted());
}

signal_desk::run_news signal_desk::take_run_news() noexcept {
    hand_out();
    run_asked_ = false;
    run_news news;
    news.dump = std::exchange(dump_asked_, false);
    if (interruptible_ && !interrupt_taken_) {
        news.interrupt = seat_->interrupts.load(std::memory_order_relaxed) != 0;
        interrupt_taken_ = news.interrupt;
    }
    return news;
}

void signal_desk::close() noexcept {
    end_run();
    while (!entries_.empty()) entries_.pop_front().desk_ = nullptr;
    if (seat_ == nullptr || !guard_.at_home()) return;
    signal_hub::instance().want(*seat_, 0);
    signal_hub::instance().leave_seat(*std::exchange(seat_, nullptr));
}

signal_subscription::signal_subscription(std::uint64_t wanted) : wanted_(wanted) {
    signal_desk& desk = loop_state::current().signals_;
    desk.add(*this);
    desk_ = &desk;
}

signal_subscription::~signal_subscription() {
    require(waiting_ == nullptr, "a signal_watch must outlive the task that waits for it");
    if (desk_ != nullptr) desk_->remove(*this);
}

int signal_subscription::take() noexcept {
    if (pending_ == 0) return 0;
    const int number = std::countr_zero(pending_) + 1;
    pending_ &= pending_ - 1;
    return number;
}

void signal_subscription::end() noexcept {
    if (std::exchange(ended_, true)) return;
    if (desk_ != nullptr) {
        desk_->hand_out();  // what the process was told already is not lost
        std::exchange(desk_, nullptr)->remove(*this);
    }
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr)->wake();
}

void signal_subscription::receive(std::uint64_t arrived) noexcept {
    pending_ |= arrived & wanted_;
    if (pending_ == 0 || waiting_ == nullptr) return;
    signal_wait& woken = *std::exchange(waiting_, nullptr);
    woken.number_ = take();
    woken.wake();
}

const wait_kind signal_wait::kind_of_wait{"a signal", &signal_wait::leave};

bool signal_wait::must_wait() noexcept {
    if (from_->ended_) {
        number_ = from_->take();
        return false;
    }
    require(from_->desk_ == &loop_state::current().signals_,
            "a signal_watch belongs to the loop that it was made on");
    require(from_->waiting_ == nullptr, "one task at a time may wait for a signal_watch");
    number_ = from_->take();
    if (number_ != 0) return false;
    from_->waiting_ = this;
    return true;
}

void signal_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<signal_wait&>(w);
    self.from_->desk_->hand_out();  // what the process was told already is not lost to a cut
    if (self.from_->waiting_ == nullptr) return;
    self.from_->waiting_ = nullptr;
    self.wake(wake_reason::cut);
}

}  // namespace lariat::detail

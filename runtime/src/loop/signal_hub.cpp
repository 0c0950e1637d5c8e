#include "loop/signal_hub.hpp"

#include <lariat/base/error.hpp>

#include "driver/driver.hpp"

#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include <pthread.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constinit signal_hub the_hub;

constexpr int highest_signal = 64;  // the kernel's _NSIG (signal(7))

}  // namespace

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<driver*>::is_always_lock_free,
              "a signal handler may use them only if they take no lock");

signal_hub& signal_hub::instance() noexcept { return the_hub; }

signal_seat& signal_hub::take_seat(driver& wakes) {
    const std::lock_guard held(mutex_);
    if (!fork_handlers_) {
        if (::pthread_atfork(&lock_for_fork, &unlock_in_parent, &reset_in_child) != 0)
            throw std::bad_alloc();
        fork_handlers_ = true;
    }
    signal_seat* seat = seats_.load(std::memory_order_relaxed);
    while (seat != nullptr && seat->taken) seat = seat->next;
    if (seat == nullptr) {
        seat = new signal_seat;
        seat->next = seats_.load(std::memory_order_relaxed);
        seats_.store(seat, std::memory_order_release);  // to the acquire in tell_seats
    }
    seat->taken = true;
    seat->arrived.store(0, std::memory_order_relaxed);
    seat->interrupts.store(0, std::memory_order_relaxed);
    seat->news.store(false, std::memory_order_relaxed);
    seat->wakes.store(&wakes, std::memory_order_release);  // to the load in tell_seats
    return *seat;
}

void signal_hub::leave_seat(signal_seat& seat) noexcept {
    // Sequentially consistent, as is the visitor's increment before its load: either the visitor
    // sees null, or we see the visitor.
    seat.wakes.store(nullptr, std::memory_order_seq_cst);
    while (seat.visitors.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
    const std::lock_guard held(mutex_);
    seat.taken = false;
}

void signal_hub::want(signal_seat& seat, std::uint64_t wanted) {
    const std::lock_guard held(mutex_);
    const std::uint64_t before = seat.wanted.load(std::memory_order_relaxed);
    // Told before the handler stands: it never finds a signal that nobody seems to want.
    seat.wanted.store(before | wanted, std::memory_order_release);
    for (int number = 1; number <= highest_signal; ++number) {
        if ((wanted & ~before & signal_bit(number)) == 0) continue;
        const int failed = hold(number);
        if (failed == 0) continue;
        for (int undone = 1; undone < number; ++undone)
            if ((wanted & ~before & signal_bit(undone)) != 0) release(undone);
        seat.wanted.store(before, std::memory_order_release);
        throw_error(system_code(-failed), "handling signal " + std::to_string(number));
    }
    for (int number = 1; number <= highest_signal; ++number)
        if ((before & ~wanted & signal_bit(number)) != 0) release(number);
    seat.wanted.store(wanted, std::memory_order_release);
}

bool signal_hub::begin_interruptible(signal_seat& seat) noexcept {
    if (::getpid() != ::gettid()) return false;
    const std::lock_guard held(mutex_);
    if (disposition_beneath(SIGINT).sa_handler != SIG_DFL) return false;
    seat.interrupts.store(0, std::memory_order_relaxed);
    interruptible_.store(&seat, std::memory_order_release);
    if (hold(SIGINT) == 0) return true;
    interruptible_.store(nullptr, std::memory_order_release);
    return false;
}

void signal_hub::end_interruptible() noexcept {
    const std::lock_guard held(mutex_);
    // Only the main thread's handler could note an interrupt beside this, or one on another thread,
    // which then writes to a seat that is never freed.
    release(SIGINT);
    interruptible_.store(nullptr, std::memory_order_release);
}

bool signal_hub::is_unhandled(int number) noexcept {
    const std::lock_guard held(mutex_);
    const struct sigaction beneath = disposition_beneath(number);
    return beneath.sa_handler == SIG_DFL || beneath.sa_handler == SIG_IGN;
}

void signal_hub::die_of(int number) noexcept {
    struct sigaction plain{};
    plain.sa_handler = SIG_DFL;
    ::sigaction(number, &plain, nullptr);
    ::raise(number);
}

void signal_hub::on_signal(int number) noexcept {
    const int kept = errno;
    if (!the_hub.tell_seats(number) && number == SIGINT) the_hub.interrupt();
    errno = kept;
}

bool signal_hub::tell_seats(int number) noexcept {
    bool wanted = false;
    signal_seat* seat = seats_.load(std::memory_order_acquire);
    for (; seat != nullptr; seat = seat->next) {
        seat->visitors.fetch_add(1, std::memory_order_seq_cst);  // see leave_seat
        driver* const wakes = seat->wakes.load(std::memory_order_seq_cst);
        const std::uint64_t wants = seat->wanted.load(std::memory_order_acquire);
        if (wakes != nullptr && (wants & signal_bit(number)) != 0) {
            wanted = true;
            seat->arrived.fetch_or(signal_bit(number), std::memory_order_relaxed);
            seat->news.store(true, std::memory_order_release);  // to the exchange in hand_out
            wakes->wake();
        }
        seat->visitors.fetch_sub(1, std::memory_order_release);  // to the load in leave_seat
    }
    return wanted;
}

// In the handler, so that the second one ends a program whose loop is stuck as well.
void signal_hub::interrupt() noexcept {
    signal_seat* const seat = interruptible_.load(std::memory_order_acquire);
    if (seat == nullptr) return;
    seat->visitors.fetch_add(1, std::memory_order_seq_cst);  // as in tell_seats
    if (driver* const wakes = seat->wakes.load(std::memory_order_seq_cst)) {
        if (seat->interrupts.fetch_add(1, std::memory_order_relaxed) != 0) die_of(SIGINT);
        seat->news.store(true, std::memory_order_release);
        wakes->wake();
    }
    seat->visitors.fetch_sub(1, std::memory_order_release);
}

struct sigaction signal_hub::disposition_beneath(int number) const noexcept {
    struct sigaction now{};
    ::sigaction(number, nullptr, &now);
    const auto index = static_cast<std::size_t>(number);
    return now.sa_handler == &on_signal && holders_[index] != 0 ? previous_[index] : now;
}

int signal_hub::hold(int number) noexcept {
    const auto index = static_cast<std::size_t>(number);
    if (holders_[index] == 0) {
        struct sigaction ours{};
        ours.sa_handler = &on_signal;
        // On another stack where the thread has one: the interrupted one may be a green thread's.
        ours.sa_flags = SA_RESTART | SA_ONSTACK;
        ::sigfillset(&ours.sa_mask);
        if (::sigaction(number, &ours, &previous_[index]) != 0) return errno;
    }
    ++holders_[index];
    return 0;
}

void signal_hub::release(int number) noexcept {
    if (--holders_[static_cast<std::size_t>(number)] == 0) put_back(number);
}

void signal_hub::put_back(int number) noexcept {
    struct sigaction now{};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler == &on_signal)
        ::sigaction(number, &previous_[static_cast<std::size_t>(number)], nullptr);
}

void signal_hub::lock_for_fork() noexcept { the_hub.mutex_.lock(); }
void signal_hub::unlock_in_parent() noexcept { the_hub.mutex_.unlock(); }

// The loops are the parent's, and so are the event counters that a wake would write to.
void signal_hub::reset_in_child() noexcept {
    for (int number = 1; number <= highest_signal; ++number) {
        auto& holders = the_hub.holders_[static_cast<std::size_t>(number)];
        if (holders != 0) the_hub.put_back(number);
        holders = 0;
    }
    the_hub.interruptible_.store(nullptr, std::memory_order_relaxed);
    signal_seat* seat = the_hub.seats_.load(std::memory_order_relaxed);
    for (; seat != nullptr; seat = seat->next) {
        seat->wakes.store(nullptr, std::memory_order_relaxed);
        seat->wanted.store(0, std::memory_order_relaxed);
        seat->visitors.store(0, std::memory_order_relaxed);
        seat->taken = false;
    }
    the_hub.mutex_.unlock();
}

}  // namespace lariat::detail

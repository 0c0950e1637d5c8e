#pragma once

#include <lariat/loop/signal_subscription.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstdint>

namespace lariat {

/// A set of signals to wait for. A value: copies wait for the same signals.
///
///     int number = co_await lariat::signals(SIGINT, SIGTERM).wait();
///
/// While somebody in the process waits (or watches, see below) for a signal, Lariat handles it;
/// with the last one gone what had been there before is put back: often the default, which ends the
/// program. So a task that waits again and again does it through a signal_watch, which misses none.
///
/// Order        everybody who waits gets the signal, on every loop
/// Threads      any; a wait is its loop's. The signal may reach any thread that does not block it
/// Allocation   none for the value
/// Limits       signals that come faster than they are taken are counted once (signal(7))
class LARIAT_EXPORT signals {
 public:
    /// Empty: waits for nothing.
    signals() noexcept = default;
    /// Errors: std::invalid_argument for what is no signal (1 to 64), cannot be caught (SIGKILL,
    /// SIGSTOP), is a fault of the thread it hits (SIGSEGV, SIGBUS, SIGFPE, SIGILL), or is the C
    /// library's own (32, 33).
    template <std::same_as<int>... Number>
        requires(sizeof...(Number) > 0)
    explicit signals(Number... numbers) : set_((bit_of(numbers) | ...)) {}

    [[nodiscard]] bool empty() const noexcept { return set_ == 0; }
    [[nodiscard]] bool contains(int number) const noexcept {
        return number >= 1 && number <= 64 && ((set_ >> (number - 1)) & 1) != 0;
    }

    /// Suspends until one of them comes, from the await on · Returns its number · Errors:
    /// std::system_error when the kernel refuses a handler · Cancel: none was taken; one that came
    /// first is delivered. Pre: not empty.
    [[nodiscard]] task<int> wait() const;

    friend bool operator==(const signals&, const signals&) noexcept = default;

 private:
    friend class signal_watch;
    [[nodiscard]] static std::uint64_t bit_of(int number);

    std::uint64_t set_ = 0;
};

/// Some signals as a sequence: from its making on, none is missed between two waits.
///
///     lariat::signal_watch reloads(lariat::signals(SIGHUP));
///     while (const int number = co_await reloads.next()) {
///         co_await reload();          // a SIGHUP in the meantime is given by the next next()
///     }
///
/// It ends when it is closed. Any number of them, on any loops, may hold on to one signal; each
/// gets it.
///
/// Threads      one loop: the one it was made on
/// Lifetime     outlives its wait; may outlive the loop
class LARIAT_EXPORT signal_watch {
 public:
    /// Pre: not empty; a loop runs on this thread. Errors: std::system_error when the kernel
    /// refuses a handler.
    explicit signal_watch(signals which);

    /// Suspends until one of them comes; not at all if one came before · Returns its number, the
    /// lowest first; 0 once it is closed and what came before was given · Cancel: none was taken ·
    /// Overlap: one task at a time.
    [[nodiscard]] detail::signal_wait next() noexcept { return detail::signal_wait(subscription_); }
    /// The same without suspending; 0 if none came.
    [[nodiscard]] int try_next() noexcept { return subscription_.take(); }
    /// Ends the sequence, for whoever waits too. With the last one that held on to a signal, what
    /// had been there before, often the default, is put back. The watch's own end does the same.
    void close() noexcept { subscription_.end(); }

 private:
    detail::signal_subscription subscription_;
};

}  // namespace lariat

#include <lariat/offload/signals.hpp>

#include <lariat/base/assert.hpp>

#include <csignal>
#include <stdexcept>
#include <string>

namespace lariat {

namespace {

const char* why_not(int number) noexcept {
    switch (number) {
        case SIGKILL:
        case SIGSTOP: return "the kernel lets nobody catch it";
        case SIGSEGV:
        case SIGBUS:
        case SIGFPE:
        case SIGILL: return "it is a fault of the thread it hits, which cannot go on";
        case 32:
        case 33: return "the C library keeps it for itself";  // signal(7), "Real-time signals"
        default: return number < 1 || number > 64 ? "a signal is 1 to 64" : nullptr;
    }
}

// The watch lies in this frame: nothing refers to the value that was asked.
task<int> wait_for(signals which) {
    signal_watch watch(which);
    const int number = co_await watch.next();
    co_return number;
}

std::uint64_t checked(const signals& which, std::uint64_t set) noexcept {
    detail::require(!which.empty(), "an empty set of signals never comes: name one to wait for");
    return set;
}

}  // namespace

std::uint64_t signals::bit_of(int number) {
    if (const char* reason = why_not(number)) {
        throw std::invalid_argument("signal " + std::to_string(number) +
                                    " cannot be waited for: " + reason);
    }
    return std::uint64_t{1} << (number - 1);
}

task<int> signals::wait() const { return wait_for(*this); }

signal_watch::signal_watch(signals which) : subscription_(checked(which, which.set_)) {}

}  // namespace lariat

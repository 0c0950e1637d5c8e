#pragma once

#include <pthread.h>
#include <signal.h>

namespace lariat::detail {

/// Blocks every signal of this thread for its lifetime. Threads made meanwhile inherit that; a
/// child made by vfork runs no handler in our memory.
class signals_blocked {
 public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &kept_);
    }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &kept_, nullptr); }

 private:
    sigset_t kept_;
};

}  // namespace lariat::detail

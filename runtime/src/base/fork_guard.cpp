#include "base/fork_guard.hpp"

#include <new>

#include <pthread.h>

namespace lariat::detail {

fork_guard::fork_guard() : generation_(current.load(std::memory_order_relaxed)) {
    static const int registered = ::pthread_atfork(
        nullptr, nullptr, +[] { current.fetch_add(1, std::memory_order_relaxed); });
    if (registered != 0) throw std::bad_alloc();
}

}  // namespace lariat::detail

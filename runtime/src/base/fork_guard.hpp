#pragma once

#include <lariat/base/assert.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// Tells a process from the forked child that inherited its objects, at the price of one load.
///
/// Threads      any
class fork_guard {
 public:
    /// Remembers this process. Errors: std::bad_alloc when the handler cannot be registered.
    fork_guard();

    /// True in the process that made it, false in a child forked since (fork(2); not vfork).
    [[nodiscard]] bool at_home() const noexcept {
        return generation_ == current.load(std::memory_order_relaxed);
    }
    void require_home() const noexcept {
        require(at_home(),
                "a loop inherited through fork is unusable in the child: make a new one there, and "
                "leave the parent's alone");
    }

 private:
    // Relaxed: it changes in a child that has one thread yet.
    static inline constinit std::atomic<std::uint32_t> current{0};
    std::uint32_t generation_ = 0;
};

}  // namespace lariat::detail

#pragma once

#include <cstddef>

namespace lariat::test {

/// While it lives, this thread finds no memory for blocks of exactly `bytes` bytes: so the one that
/// a test is about fails, and no other. The first `spared` of them are still given.
///
/// Threads      one at a time in a thread; other threads notice nothing
class heap_fault {
 public:
    explicit heap_fault(std::size_t bytes, std::size_t spared = 0) noexcept;
    heap_fault(const heap_fault&) = delete;
    heap_fault& operator=(const heap_fault&) = delete;
    ~heap_fault();

    /// How many blocks were refused.
    [[nodiscard]] std::size_t struck() const noexcept;
};

}  // namespace lariat::test

#pragma once

#include <cstddef>

#if defined(__SANITIZE_THREAD__)
#define LARIAT_TEST_OWN_NEW 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LARIAT_TEST_OWN_NEW 0
#endif
#endif
#ifndef LARIAT_TEST_OWN_NEW
#define LARIAT_TEST_OWN_NEW 1
#endif

namespace lariat::test {

/// While it lives, this thread finds no memory for blocks of exactly `bytes` bytes: so the one that
/// a test is about fails, and no other. The first `spared` of them are still given.
///
/// Threads      one at a time in a thread; other threads notice nothing
class heap_fault {
 public:
    /// False under ThreadSanitizer, which brings operator new itself: nothing fails there.
    static constexpr bool strikes = LARIAT_TEST_OWN_NEW != 0;

    explicit heap_fault(std::size_t bytes, std::size_t spared = 0) noexcept;
    heap_fault(const heap_fault&) = delete;
    heap_fault& operator=(const heap_fault&) = delete;
    ~heap_fault();

    /// How many blocks were refused.
    [[nodiscard]] std::size_t struck() const noexcept;
};

/// How many blocks this thread has taken from the heap since it began; 0 under ThreadSanitizer.
[[nodiscard]] std::size_t blocks_taken() noexcept;

}  // namespace lariat::test

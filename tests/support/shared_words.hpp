#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>
#include <sys/mman.h>

namespace lariat::test {

/// Words, 0 at first, that a child forked from here shares.
class shared_words {
 public:
    using word = std::atomic<std::uint32_t>;
    static constexpr std::size_t count = 2048;

    shared_words()
        : memory_(
              ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        REQUIRE(memory_ != MAP_FAILED);
    }
    shared_words(const shared_words&) = delete;
    shared_words& operator=(const shared_words&) = delete;
    ~shared_words() { ::munmap(memory_, bytes); }

    [[nodiscard]] word& operator[](std::size_t at) { return static_cast<word*>(memory_)[at]; }

 private:
    static constexpr std::size_t bytes = count * sizeof(word);
    void* memory_;
};

}  // namespace lariat::test

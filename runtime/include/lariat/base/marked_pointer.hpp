#pragma once

#include <cstdint>

namespace lariat::detail {

/// A pointer and a number from 0 to 3 in one word: the pointer's lowest two bits are free.
///
/// Pre          what it points to is aligned to 4 bytes or more
/// Cost         of its making the pointer's alone: the number begins as 0
template <class T>
class marked_pointer {
 public:
    explicit marked_pointer(T& to) noexcept : word_(reinterpret_cast<std::uintptr_t>(&to)) {
        static_assert(alignof(T) > most);
    }

    [[nodiscard]] T& operator*() const noexcept { return *reinterpret_cast<T*>(word_ & ~most); }
    [[nodiscard]] T* operator->() const noexcept { return &**this; }
    [[nodiscard]] unsigned mark() const noexcept { return static_cast<unsigned>(word_ & most); }
    void set_mark(unsigned number) noexcept { word_ = (word_ & ~most) | (number & most); }

 private:
    static constexpr std::uintptr_t most = 3;

    std::uintptr_t word_;
};

}  // namespace lariat::detail

#pragma once

#include <lariat/base/config.hpp>

#include <atomic>
#include <cstdint>

namespace lariat::detail {

/// Whether this program lies elsewhere in this process than in the family's others: one that was
/// executed anew (process::spawn_fresh). Set before anything else of the library runs there.
inline constinit LARIAT_EXPORT std::atomic<bool> lies_elsewhere{false};
[[nodiscard]] LARIAT_EXPORT std::uintptr_t said_elsewhere(std::uintptr_t here) noexcept;
[[nodiscard]] LARIAT_EXPORT std::uintptr_t found_elsewhere(std::uintptr_t said) noexcept;

/// An address in the program or in its libraries, as the processes of the family tell it each
/// other: where it is in those that were forked, which have one image. 0, or a null pointer, if it
/// is in nothing that both sides have loaded.
[[nodiscard]] inline std::uintptr_t said_address(std::uintptr_t here) noexcept {
    if (lies_elsewhere.load(std::memory_order_relaxed)) [[unlikely]]
        return said_elsewhere(here);
    return here;
}
[[nodiscard]] inline std::uintptr_t found_address(std::uintptr_t said) noexcept {
    if (lies_elsewhere.load(std::memory_order_relaxed)) [[unlikely]]
        return found_elsewhere(said);
    return said;
}

/// A pointer to a constant of the program, in a message or in shared memory. A value of 8 bytes.
template <class T>
class image_pointer {
 public:
    constexpr image_pointer() noexcept = default;
    image_pointer(const T* here) noexcept
        : said_(said_address(reinterpret_cast<std::uintptr_t>(here))) {}

    [[nodiscard]] const T* get() const noexcept {
        return reinterpret_cast<const T*>(found_address(static_cast<std::uintptr_t>(said_)));
    }

 private:
    std::uint64_t said_ = 0;
};

}  // namespace lariat::detail

#pragma once

#include <cstdint>
#include <vector>

namespace lariat::detail {

/// What is loaded at the moment: the program and its libraries, as address ranges.
///
/// A library that is unloaded, and another that takes its place, are not told apart.
class loaded_modules {
 public:
    /// Errors: std::bad_alloc.
    [[nodiscard]] static loaded_modules now();
    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept;

 private:
    struct range {
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
    };
    std::vector<range> ranges_;
};

/// The file that an address lies in, for messages; empty if nobody knows.
[[nodiscard]] const char* module_file(std::uintptr_t address) noexcept;

}  // namespace lariat::detail

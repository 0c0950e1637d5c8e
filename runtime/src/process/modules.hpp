#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lariat::detail {

/// What is loaded from one file: the program, or a library. A value of plain bytes.
struct loaded_module {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    /// What tells one build of a file from another: its build id (ld --build-id), cut; of a file
    /// that has none, what its segments look like.
    std::array<std::byte, 24> build{};

    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
        return address >= begin && address < end;
    }
    [[nodiscard]] bool is_the_same_as(const loaded_module& other) const noexcept {
        return build == other.build && end - begin == other.end - other.begin;
    }
};

/// All modules at the moment; the program is the first. Errors: std::bad_alloc.
///
/// A library that is unloaded, and another that takes its place, are not told apart.
[[nodiscard]] std::vector<loaded_module> loaded_modules();
[[nodiscard]] const loaded_module* module_of(const std::vector<loaded_module>& all,
                                             std::uintptr_t address) noexcept;

/// The file that an address lies in, for messages; empty if nobody knows.
[[nodiscard]] const char* module_file(std::uintptr_t address) noexcept;

/// The modules that two processes of one program have both loaded, each wherever it lies.
///
/// Threads      any, once it is made
class module_map {
 public:
    module_map() = default;
    /// Errors: std::bad_alloc.
    module_map(const std::vector<loaded_module>& here, const std::vector<loaded_module>& there);

    /// The same place in the other process; 0 for what it has not loaded.
    [[nodiscard]] std::uintptr_t there(std::uintptr_t here) const noexcept;
    [[nodiscard]] std::uintptr_t here(std::uintptr_t there) const noexcept;

 private:
    struct pair {
        std::uintptr_t here;
        std::uintptr_t there;
        std::uintptr_t bytes;
    };
    std::vector<pair> both_;
};

/// From now on the addresses in messages and in shared memory (image_pointer) are those of another
/// process. Pre: this one has one thread, and has told nobody any address. Errors: std::bad_alloc.
void tell_addresses_as_in(const std::vector<loaded_module>& there);

}  // namespace lariat::detail

#pragma once

#include <chrono>
#include <cstdint>

namespace lariat {

enum class file_type : std::uint8_t {
    unknown,  ///< of a directory_entry too: the file system does not tell
    regular,
    directory,
    symlink,
    pipe,
    socket,
    character_device,
    block_device,
};

/// CLOCK_REALTIME as files have it, to the nanosecond.
using file_time = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

/// What statx(2) says about a file.
struct file_status {
    std::uint64_t size = 0;  ///< bytes; 0 under /proc, whatever can be read there
    file_type type = file_type::unknown;
    std::uint16_t permissions = 0;  ///< the lower twelve bits of its mode
    std::uint32_t owner = 0;
    std::uint32_t group = 0;
    std::uint32_t links = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;           ///< of two files, with the inode: whether they are one
    std::uint64_t allocated_bytes = 0;  ///< less than `size` for a file with holes
    file_time accessed;
    file_time modified;  ///< its bytes
    file_time changed;   ///< its bytes, name, owner or permissions

    [[nodiscard]] bool is_regular() const noexcept { return type == file_type::regular; }
    [[nodiscard]] bool is_directory() const noexcept { return type == file_type::directory; }

    file_status() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

}  // namespace lariat

#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

namespace lariat::detail {

/// Which socket lies at a path: one that is bound there anew is another.
struct socket_file {
    dev_t device = 0;
    ino_t number = 0;

    [[nodiscard]] bool operator==(const socket_file&) const = default;
};

/// None, with errno: there is no file (ENOENT), or it is no socket, be it a link to one (EEXIST).
[[nodiscard]] std::optional<socket_file> socket_file_at(const std::string& path) noexcept;
/// Removes the file if that is the one. (unlink(2) asks nothing: one that is put there between the
/// look and the call is lost.) False: it is another, or stays.
bool remove_socket_file(const std::string& path, const socket_file& file) noexcept;

}  // namespace lariat::detail

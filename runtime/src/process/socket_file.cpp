#include "process/socket_file.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

namespace lariat::detail {

std::optional<socket_file> socket_file_at(const std::string& path) noexcept {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) return std::nullopt;
    if (!S_ISSOCK(found.st_mode)) {
        errno = EEXIST;
        return std::nullopt;
    }
    return socket_file{found.st_dev, found.st_ino};
}

bool remove_socket_file(const std::string& path, const socket_file& file) noexcept {
    return socket_file_at(path) == file && ::unlink(path.c_str()) == 0;
}

}  // namespace lariat::detail

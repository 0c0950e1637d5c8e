#include <lariat/base/unique_fd.hpp>

#include <cerrno>

#include <unistd.h>

namespace lariat {

void unique_fd::reset(int fd) noexcept {
    if (fd_ >= 0) {
        const int kept = errno;
        ::close(fd_);
        errno = kept;
    }
    fd_ = fd;
}

}  // namespace lariat

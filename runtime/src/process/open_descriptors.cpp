#include "process/open_descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

void close_from_to(unsigned first, unsigned last) noexcept {
    if (first > last || ::syscall(SYS_close_range, first, last, 0) == 0) return;
    rlimit most{};  // before 5.9
    (void)::getrlimit(RLIMIT_NOFILE, &most);
    const auto end = static_cast<unsigned>(std::min<rlim_t>(most.rlim_max, INT_MAX));
    for (unsigned fd = first; fd <= std::min(last, end); ++fd) ::close(static_cast<int>(fd));
}

}  // namespace

// As the C library does for setuid programs. Opened with O_PATH it is neither read nor written, as
// nothing was before; and it is not closed on exec, as standard streams are not.
int occupy_closed_streams() noexcept {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
        if (::fcntl(stream, F_GETFD) >= 0) continue;
        if (::open("/dev/null", O_PATH) < 0) return errno;  // the lowest number that is free
    }
    return 0;
}

void close_all_but(std::span<int> kept) noexcept {
    std::sort(kept.begin(), kept.end());
    unsigned from = STDERR_FILENO + 1;
    for (const int fd : kept) {
        if (fd < static_cast<int>(from)) continue;
        const auto next = static_cast<unsigned>(fd);
        close_from_to(from, next - 1);
        from = next + 1;
    }
    close_from_to(from, UINT_MAX);
}

}  // namespace lariat::detail

#include "driver/file_ops.hpp"

#include "driver/would_block.hpp"

#include <cerrno>
#include <cstdint>

#include <sys/types.h>
#include <sys/uio.h>

namespace lariat::detail {

namespace {

/// What is copied in a few microseconds: more would hold up the loop.
constexpr std::uint32_t small_read = 64 * 1024;

}  // namespace

int read_cached(const op& o) noexcept {
    if (o.code != op_code::read || o.offset == op::at_position || o.argument != 0 ||
        o.length > small_read)
        return would_block;
    const iovec room{o.address, o.length};
    const ssize_t got = ::preadv2(o.fd, &room, 1, static_cast<off_t>(o.offset), RWF_NOWAIT);
    // Less than was asked for: at the file's end, or at that of what is in memory.
    if (got == 0 || got == static_cast<ssize_t>(o.length)) return static_cast<int>(got);
    if (got > 0) return would_block;
    // EOPNOTSUPP: not on this file system. preadv2(2), 4.14.
    const bool elsewhere =
        errno == EAGAIN || errno == EOPNOTSUPP || errno == EINTR || errno == ENOSYS;
    return elsewhere ? would_block : -errno;
}

}  // namespace lariat::detail

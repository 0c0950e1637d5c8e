#pragma once

#include <cstddef>
#include <cstdint>

namespace lariat {

/// What an operation asks of the kernel. The address, length and argument fields mean:
///
///   code      address          length      argument       result (>= 0)
///   nop       -                -           -              0
///   accept    -                -           MSG_DONTWAIT   the new descriptor (CLOEXEC)
///   connect   sockaddr         its size    -              0
///   recv      buffer           its size    MSG_ flags     bytes, 0 at the end of the stream
///   send      bytes            how many    MSG_ flags     bytes taken (SIGPIPE is never raised)
///   recv_msg  msghdr           -           MSG_ flags     bytes
///   send_msg  msghdr           -           MSG_ flags     bytes taken
///   read      buffer           its size    -              bytes (at `offset`, or the position)
///   write     bytes            how many    -              bytes taken (at `offset`, or the
///             position)
///   poll      -                -           POLL events    the events that hold
///   close     -                -           -              0; the descriptor is gone whatever it is
///
/// Waiting for a 32-bit word of memory that other processes may map too (futex(2), not private). A
/// driver that cannot answers -EOPNOTSUPP at once (see the driver's contract).
///
///   futex_wait  the word   -     the value expected  0: woken; -EAGAIN: it has another value
///
/// Operations on files; a driver that cannot do them answers -EOPNOTSUPP at once (see the driver's
/// contract). A path begins at the directory `fd`, or at the working directory (AT_FDCWD).
///
///   read, write at an offset, as above; argument: RWF_ flags
///   open            path   permissions     O_ flags       the new descriptor
///   status          path   STATX_ mask     AT_ flags      0; `second` is a struct statx, filled
///   sync            -      -               1: data alone  0
///   truncate        -      -               -              0; the file's size is `offset`
///   rename          path   AT_FDCWD        RENAME_ flags  0; `second` is the new path
///   remove          path   -               AT_REMOVEDIR   0
///   make_directory  path   permissions     -              0
enum class op_code : std::uint8_t {
    nop,
    accept,
    connect,
    recv,
    send,
    recv_msg,
    send_msg,
    read,
    write,
    poll,
    close,
    futex_wait,
    open,
    status,
    sync,
    truncate,
    rename,
    remove,
    make_directory,
};

inline constexpr std::size_t op_code_count = static_cast<std::size_t>(op_code::make_directory) + 1;

/// One operation as data. It lies in the frame (or object) that waits and belongs to the driver
/// from `submit` until its last completion; until then neither it nor the memory it names may go.
///
/// A multishot operation (accept and recv only) completes many times: `more` says that it is still
/// armed. A multishot recv has no buffer of its own: each completion lends one of the driver's, at
/// `address` with `result` bytes under the name `lent`, to be given back by `driver::give_back`.
///
/// Threads      the loop's own
/// Allocation   none; 64 bytes
struct op {
    using completion = void (*)(op&) noexcept;

    op_code code = op_code::nop;
    bool multishot = false;
    bool more = false;       ///< out: further completions follow
    std::uint8_t state = 0;  ///< the driver's own
    int fd = -1;
    void* address = nullptr;   ///< in, and out for lent memory
    std::uint32_t length = 0;  ///< bytes
    std::uint32_t argument = 0;
    std::uint64_t offset = at_position;
    std::int32_t result = 0;  ///< out: >= 0, or a negated errno
    std::uint32_t lent = 0;   ///< out: the lent buffer's name; 0 is none
    completion complete = nullptr;
    op* next = nullptr;  ///< the driver's own, as is `prev`
    op* prev = nullptr;

    /// The second address, where there is one: it takes the place of `offset`, as in the kernel.
    void set_second(const void* second) noexcept {
        offset = reinterpret_cast<std::uintptr_t>(second);
    }
    [[nodiscard]] void* second() const noexcept {
        return reinterpret_cast<void*>(static_cast<std::uintptr_t>(offset));
    }

    static constexpr std::uint64_t at_position = ~std::uint64_t{0};
};

static_assert(sizeof(op) == 64);

}  // namespace lariat

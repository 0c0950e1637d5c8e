#pragma once

#include <cstddef>
#include <cstdint>

namespace lariat {

/// What an operation asks of the kernel. The address, length and argument fields mean:
///
///   code      address          length      argument       result (>= 0)
///   nop       -                -           -              0
///   accept    -                -           -              the new descriptor (CLOEXEC)
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
};

inline constexpr std::size_t op_code_count = static_cast<std::size_t>(op_code::close) + 1;

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

    static constexpr std::uint64_t at_position = ~std::uint64_t{0};
};

static_assert(sizeof(op) == 64);

}  // namespace lariat

#pragma once

#include <lariat/driver/op.hpp>

#include "driver/would_block.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace lariat::detail {

enum class io_side : std::uint8_t { reading, writing };

/// A verb as the epoll driver knows it: one system call that does not block, and the side of the
/// descriptor whose readiness is worth another try.
struct attempt_row {
    io_side side = io_side::reading;
    int (*attempt)(const op&) noexcept = nullptr;
    bool needs_nonblocking = false;  ///< the call has no MSG_DONTWAIT (read, write: off a socket)
};

/// By op code. `nop`, `poll`, `close`, `futex_wait` and what is asked of files have no row: they
/// are no attempts.
extern const std::array<attempt_row, op_code_count> attempt_rows;

[[nodiscard]] inline const attempt_row& row_of(const op& operation) noexcept {
    return attempt_rows[static_cast<std::size_t>(operation.code)];
}

/// recv into any memory, as `attempt` does it for an op's own.
[[nodiscard]] int attempt_recv(int fd, void* at, std::size_t bytes, std::uint32_t flags) noexcept;

/// Makes a file O_NONBLOCK. Returns 0 or a negated errno.
[[nodiscard]] int make_nonblocking(int fd) noexcept;

}  // namespace lariat::detail

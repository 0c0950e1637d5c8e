#pragma once

#include <lariat/driver/op.hpp>

#include <climits>

#include <sys/socket.h>

namespace lariat::detail {

/// What an attempt says instead of a result: not now, wait until it is ready. (A number of its own,
/// as EAGAIN is a connect's answer when a Unix listener's queue is full.)
inline constexpr int would_block = INT_MIN;

/// True: the caller gave MSG_DONTWAIT, so that EAGAIN is the answer and no reason to wait.
[[nodiscard]] inline bool never_waits(const op& o) noexcept {
    const bool has_flags = o.code == op_code::accept || o.code == op_code::recv ||
                           o.code == op_code::send || o.code == op_code::recv_msg ||
                           o.code == op_code::send_msg;
    return has_flags && (o.argument & MSG_DONTWAIT) != 0;
}

}  // namespace lariat::detail

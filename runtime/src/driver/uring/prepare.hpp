#pragma once

#include <lariat/driver/op.hpp>

#include <cstdint>

struct io_uring_sqe;

namespace lariat::detail {

/// How an op becomes a submission entry on this kernel.
struct entry_style {
    bool multishot_accept = false;
    bool multishot_recv = false;
    bool quiet_writes = true;  ///< RWF_NOSIGNAL, until a kernel refuses it
};

/// Fills a zeroed entry with what `from` asks. `user_data` is left to the caller.
void prepare_op(io_uring_sqe& entry, const op& from, const entry_style& style) noexcept;

/// Fills a zeroed entry with a wait until what `from` asks can be tried again.
void prepare_readiness(io_uring_sqe& entry, const op& from) noexcept;

}  // namespace lariat::detail

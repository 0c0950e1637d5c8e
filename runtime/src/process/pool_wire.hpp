#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/process/packed_call.hpp>

#include "process/pool_board.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// What a pool says to a worker. A message holds many: each an order and, for a call, its
/// arguments' bytes. Arguments that are large, or have descriptors or references, are the next
/// message.
struct pool_order {
    enum class verb : std::uint32_t { call, call_that_follows, cancel, stop };

    verb what = verb::stop;
    std::uint32_t slot = 0;
    std::uint64_t id = 0;
    image_pointer<call_entry> entry;
    std::uint64_t bytes = 0;
};
static_assert(sizeof(pool_order) == 32);

/// Larger arguments have a message of their own.
inline constexpr std::size_t most_in_order = std::size_t{16} << 10;

// A worker's messages, of what its board does not hold: many answers, each its header and its
// bytes; or ends with a header that says so, and the answer is the next message.

/// What a worker begins with.
struct worker_seed {
    message_stream stream;
    unique_fd bell;  ///< an eventfd(2), the same for all workers of a pool
    cell_ref board;
    std::chrono::microseconds spin{0};  ///< its loop's
    bool brief_spin = true;             ///< the same
    packed_call initializer;            ///< its entry is null where there is none

    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static worker_seed unpack_from(parcel_reader& from);
};

/// The function of a worker's process.
void serve_pool(worker_seed seed);

/// Workers let answers gather for so long while they have more calls to make; the pool then looks
/// by itself, a little later, as the next call may take for ever.
inline constexpr std::chrono::microseconds bell_pause{50};
inline constexpr std::chrono::microseconds look_after{120};
/// A worker that has begun nothing for so long, once or twice, is stopped, or kept from its core:
/// an idle one gets what it was sent.
inline constexpr std::chrono::milliseconds late_after{50};

}  // namespace lariat::detail

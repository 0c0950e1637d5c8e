#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/process/packed_call.hpp>

#include "process/pool_board.hpp"

#include <chrono>
#include <cstdint>

namespace lariat::detail {

/// What a pool says to a worker. A message holds many: each an order, after that, for a call, its
/// arguments' bytes; descriptors and references are attached in the same order.
struct pool_order {
    enum class verb : std::uint32_t { call, cancel, stop };

    verb what = verb::stop;
    std::uint32_t slot = 0;
    std::uint64_t id = 0;
    image_pointer<call_entry> entry;
    std::uint64_t bytes = 0;
    std::uint32_t descriptors = 0;
    std::uint32_t references = 0;
};
static_assert(sizeof(pool_order) == 40);

/// What a worker begins with.
struct worker_seed {
    message_stream stream;
    unique_fd bell;  ///< an eventfd(2), the same for all workers of a pool
    cell_ref board;
    packed_call initializer;  ///< its entry is null where there is none

    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static worker_seed unpack_from(parcel_reader& from);
};

/// The function of a worker's process.
void serve_pool(worker_seed seed);

/// Workers let answers gather for so long while they have more calls to make; the pool then looks
/// by itself, a little later, as the next call may take for ever.
inline constexpr std::chrono::microseconds bell_pause{50};
inline constexpr std::chrono::microseconds look_after{120};

}  // namespace lariat::detail

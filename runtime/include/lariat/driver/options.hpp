#pragma once

#include <cstdint>
#include <string>

namespace lariat {

enum class backend : std::uint8_t { automatic, uring, epoll, sim };

/// What of io_uring may be used; a bit masked out is treated as if the kernel lacked it, which is
/// how the older paths are tested on a newer kernel. Versions: liburing's man pages.
enum class uring_feature : std::uint32_t {
    single_issuer = 1U << 0,        // 6.0
    defer_taskrun = 1U << 1,        // 6.1
    coop_taskrun = 1U << 2,         // 5.19
    registered_ring = 1U << 3,      // 5.18
    multishot_accept = 1U << 4,     // 5.19
    multishot_recv = 1U << 5,       // 6.0
    buffer_ring = 1U << 6,          // 5.19
    incremental_buffers = 1U << 7,  // 6.12
    no_iowait = 1U << 8,            // 6.15
    submit_all = 1U << 9,           // 5.18
    file_operations = 1U << 10,     // 5.15: all but truncate
    truncate = 1U << 11,            // 6.9
    futex = 1U << 12,               // 6.7
};
inline constexpr std::uint32_t all_uring_features = ~0U;

/// How a loop's driver is made. Sizes are rounded up to powers of two.
struct driver_options {
    lariat::backend backend = backend::automatic;
    std::uint32_t submission_entries = 1024;
    std::uint32_t completion_entries = 4096;
    std::uint32_t uring_features = all_uring_features;
    /// One lent buffer, from 64 bytes to 1 GiB; memory is touched lazily.
    std::uint32_t lent_buffer_bytes = 256 * 1024;
    std::uint32_t lent_buffer_count = 64;  ///< at most so many, to 32,768; they are made on demand
    /// While all of those are held, receives go on in blocks of their own, each as large as what
    /// came: so many bytes of them at most. Then receives wait until something is given back.
    std::uint64_t lent_spare_bytes = ~std::uint64_t{0};
    std::uint64_t seed = 1;  ///< sim: the order of completions

    driver_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

/// Counters of one driver; monotonic unless said otherwise.
struct driver_stats {
    lariat::backend backend = backend::automatic;
    std::uint64_t in_flight = 0;  ///< now: submitted, last completion still to come
    std::uint64_t submitted = 0;
    std::uint64_t completed = 0;
    std::uint64_t kernel_entries = 0;  ///< io_uring_enter or epoll_wait calls
    std::uint64_t lent = 0;            ///< now: buffers in users' hands, counted by lease
    std::uint64_t spare = 0;           ///< now: those of them that are blocks of their own
    std::uint64_t starved = 0;    ///< a receive found no buffer to fill: it took a block, or waits
    std::uint64_t overflows = 0;  ///< the completion queue overflowed (nothing was lost)
};

}  // namespace lariat

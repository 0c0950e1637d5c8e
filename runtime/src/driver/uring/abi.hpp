#pragma once

#include <cstdint>

/// What of io_uring's interface the headers of liburing 2.3 lack; each with the kernel that brought
/// it (include/uapi/linux/io_uring.h and fs.h of that kernel). Used only after a probe at run time.
namespace lariat::detail::abi {

inline constexpr std::uint32_t enter_absolute_timer = 1U << 5;  // 6.12: IORING_ENTER_ABS_TIMER
inline constexpr std::uint32_t enter_no_iowait = 1U << 7;       // 6.15: IORING_ENTER_NO_IOWAIT
inline constexpr std::uint16_t accept_without_waiting = 2;      // 6.10: IORING_ACCEPT_DONTWAIT
inline constexpr std::uint8_t op_ftruncate = 55;                // 6.9: IORING_OP_FTRUNCATE
inline constexpr std::uint8_t op_futex_wait = 51;               // 6.7: IORING_OP_FUTEX_WAIT
inline constexpr std::uint32_t feature_no_iowait = 1U << 17;    // 6.15: IORING_FEAT_NO_IOWAIT

// 6.12: IOU_PBUF_RING_INC. liburing 2.3 calls the field of io_uring_buf_reg that bears it `pad`.
inline constexpr std::uint16_t buffer_ring_incremental = 2;

// 6.7, linux/futex.h: FUTEX2_SIZE_U32, and without FUTEX2_PRIVATE beside it: other processes may
// wake. FUTEX_BITSET_MATCH_ANY: by any wake.
inline constexpr int futex_shared_word = 0x02;
inline constexpr std::uint64_t futex_any_wake = 0xffff'ffff;

// 6.18: RWF_NOSIGNAL, write without SIGPIPE. Older kernels answer -EOPNOTSUPP to the whole write.
inline constexpr int write_no_signal = 0x100;

// include/linux/errno.h of the kernel, where user space is not to see them: an interrupted call's
// own results, before a return to user space would have made EINTR of them, or begun it again. A
// worker thread of the ring's reports them as they are.
inline constexpr int restart_sys = 512;            // ERESTARTSYS
inline constexpr int restart_no_intr = 513;        // ERESTARTNOINTR
inline constexpr int restart_no_handler = 514;     // ERESTARTNOHAND
inline constexpr int restart_restart_block = 516;  // ERESTART_RESTARTBLOCK

}  // namespace lariat::detail::abi

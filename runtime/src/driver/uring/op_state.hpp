#pragma once

#include <lariat/driver/op.hpp>

#include <cstdint>

namespace lariat::detail {

/// How uring_driver keeps an op's way in `op::state`: a stage, and marks beside it.
enum uring_stage : std::uint8_t { idle = 0, issued = 1, polling = 2, starved = 3, finished = 4 };

inline constexpr std::uint8_t stage_bits = 0x07;
inline constexpr std::uint8_t unqueued = 0x08;         // on the backlog: has no entry yet
inline constexpr std::uint8_t cancelling = 0x10;       // asked to end
inline constexpr std::uint8_t cancel_unqueued = 0x20;  // the cancellation has no entry yet
inline constexpr std::uint8_t tried_again = 0x40;      // issued a second time after a refusal
inline constexpr std::uint8_t in_need = 0x80;          // found no buffer since its last bytes

[[nodiscard]] inline uring_stage stage_of(const op& operation) noexcept {
    return static_cast<uring_stage>(operation.state & stage_bits);
}
[[nodiscard]] inline bool is_marked(const op& operation, std::uint8_t mark) noexcept {
    return (operation.state & mark) != 0;
}
inline void set_stage(op& operation, uring_stage stage) noexcept {
    operation.state = static_cast<std::uint8_t>((operation.state & ~stage_bits) | stage);
}
inline void set_mark(op& operation, std::uint8_t mark) noexcept {
    operation.state = static_cast<std::uint8_t>(operation.state | mark);
}
inline void clear_mark(op& operation, std::uint8_t mark) noexcept {
    operation.state = static_cast<std::uint8_t>(operation.state & ~mark);
}

/// user_data is an op's address, or one of these: no op lies there.
inline constexpr std::uint64_t cancel_tag = 0;
inline constexpr std::uint64_t wake_tag = 1;

[[nodiscard]] inline std::uint64_t user_data_of(const op& operation) noexcept {
    return reinterpret_cast<std::uintptr_t>(&operation);
}

}  // namespace lariat::detail

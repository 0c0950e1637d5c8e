#pragma once

#include "process/new_process.hpp"

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// The environment variable that tells a program executed anew where its orders are:
/// "descriptor:attempt". It is taken away before main().
inline constexpr const char* orders_variable = "LARIAT_FRESH_PROCESS";

/// What begins its orders, which lie in a memfd; a parcel goes on with the name, the modules as
/// they lie in the family, the references, the arguments' bytes and descriptors. The descriptors
/// are inherited under the numbers given.
struct fresh_orders {
    static constexpr std::uint64_t right_mark = 0x6c61726961743031;

    std::uint64_t mark = right_mark;
    image_pointer<call_entry> entry;
    std::uint64_t arena = 0;  ///< where it lies in the family
    std::uint64_t arena_bytes = 0;
    std::int64_t core = -1;
    std::int32_t pid = 0;  ///< whom they are for: what else finds the variable is not meant
    std::int32_t parent = 0;
    std::int32_t server = 0;
    std::int32_t memory = -1;  ///< the arena's descriptor
    std::int32_t channel = -1;
    std::int32_t body = -1;
    owner_id owner = nobody;
    std::uint32_t daemon = 0;
};

/// Becomes the program executed anew, from the file that this one was executed from, be it replaced
/// or deleted meanwhile; with its arguments and environment. Pre: forked from the fork server a
/// moment ago.
[[noreturn]] void execute_anew(birth& as) noexcept;

/// Before main(), in each program: takes the orders, if there are any, and puts shared memory in
/// its place; executes the program once more if something lies there.
void take_fresh_orders() noexcept;
/// Where the family would begin: does not return from where there were orders.
void follow_fresh_orders() noexcept;

}  // namespace lariat::detail

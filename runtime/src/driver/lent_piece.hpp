#pragma once

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// Where the next receive may write.
struct lent_space {
    std::byte* at = nullptr;
    std::uint32_t bytes = 0;  ///< 0: none now
    std::uint32_t name = 0;
};

/// A part of lent memory, in a user's hands until its name is given back.
struct lent_piece {
    std::byte* address = nullptr;
    std::uint32_t name = 0;  ///< 0: nothing is lent
};

}  // namespace lariat::detail

#pragma once

namespace lariat {

struct waiter;

namespace detail {

/// Where a wait that takes its leave later says how it went as an arm of a select (lariat/sync/
/// selectable.hpp): it is then not parked itself, and wakes nobody.
struct late_arm_reports {
    void (*over)(waiter& arm) noexcept;  ///< it has what it came for, or its error
    void (*left)(waiter& arm) noexcept;  ///< it was withdrawn, and took nothing
};

}  // namespace detail

}  // namespace lariat

#pragma once

#include <lariat/base/config.hpp>

#include <cstdint>
#include <utility>

namespace lariat::detail {

/// Gives a reference under way back to the arena. No effect for an id that names none.
LARIAT_EXPORT void give_back_transit(std::uint64_t id) noexcept;

/// A counted reference to a shared object on its way in a message; eight bytes on the wire. It is
/// given back if nobody takes it.
///
/// Threads      distinct objects
class LARIAT_EXPORT transit_ref {
 public:
    transit_ref() noexcept = default;
    explicit transit_ref(std::uint64_t id) noexcept : id_(id) {}
    transit_ref(transit_ref&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
    transit_ref& operator=(transit_ref&& other) noexcept {
        transit_ref old(std::exchange(id_, std::exchange(other.id_, 0)));
        return *this;
    }
    ~transit_ref() {
        if (id_ != 0) give_back_transit(id_);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return id_ != 0; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    /// For the sender: from now on the message on the wire owns it.
    [[nodiscard]] std::uint64_t release() noexcept { return std::exchange(id_, 0); }

 private:
    std::uint64_t id_ = 0;
};

}  // namespace lariat::detail
